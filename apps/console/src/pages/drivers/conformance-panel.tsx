/** What the conformance kit said of uploaded versions, and who says that it did. */
import { List, ListItem } from '@patternfly/react-core';
import type { ReactElement } from 'react';

import { Ago } from '../../components/instant.tsx';
import { ListTable, type Column } from '../../components/list-table.tsx';
import { State } from '../../components/states.tsx';
import { Panel } from '../../components/thing-page.tsx';
import type { Driver } from './drivers-page.tsx';

type Version = Driver['versions'][number];
type Conformance = NonNullable<Version['conformance']>;

/** Nothing for a driver that comes with the release alone: it is tested with it. */
export function ConformancePanel({ driver }: { driver: Driver }): ReactElement | null {
  const uploaded = driver.versions.filter(({ builtin }) => !builtin);
  if (uploaded.length === 0) return null;
  return (
    <Panel title="Conformance reports">
      <p>
        Each is a statement of whoever uploaded it (<code>cyborg driver-conformance</code>): this
        server has not tried the driver.
      </p>
      <ListTable
        label="Conformance reports"
        items={uploaded}
        columns={columns}
        keyOf={({ version }) => version}
      />
    </Panel>
  );
}

const columns: readonly Column<Version>[] = [
  { title: 'Version', cell: ({ version }) => version },
  { title: 'Verdict', cell: ({ conformance }) => <Verdict conformance={conformance} /> },
  { title: 'Clauses', cell: ifAny(countsOf), wraps: true },
  { title: 'Broken', cell: ifAny(failuresOf), wraps: true },
  { title: 'Kit', cell: ifAny(kitOf) },
  { title: 'Says', cell: ifAny(saidBy) },
];

function ifAny(cell: (conformance: Conformance) => Cell): (version: Version) => Cell {
  return ({ conformance }) => (conformance === null ? '' : cell(conformance));
}

type Cell = ReactElement | string;

export function Verdict({ conformance }: Pick<Version, 'conformance'>): ReactElement {
  if (conformance === null) return <>no conformance report</>;
  return <State state={conformance.passed ? 'conforms' : 'does not conform'} />;
}

function countsOf(conformance: Conformance): string {
  const {
    clauses_passed: passed,
    clauses_failed: failed,
    clauses_untested: untested,
    clauses_not_run: notRun,
  } = conformance;
  return `${passed} hold, ${failed} broken, ${untested} do not apply, ${notRun} not run`;
}

function failuresOf({ failures, left_out: leftOut }: Conformance): Cell {
  if (failures.length === 0 && leftOut.length === 0) return 'none';
  return (
    <List isPlain>
      {failures.map(({ clause, text, reason }) => (
        <ListItem key={clause}>
          <strong>{clause}</strong> {text} {reason}
        </ListItem>
      ))}
      {leftOut.map((kind) => (
        <ListItem key={kind}>Not tried: kind {kind}</ListItem>
      ))}
    </List>
  );
}

function kitOf({ kit_version: kit, duration_ms: ms }: Conformance): string {
  return `${kit}, in ${Math.round(ms / 1000)} s`;
}

function saidBy({ uploaded_by: by, uploaded_at: at }: Conformance): ReactElement {
  return (
    <>
      {by ?? 'somebody'}, <Ago at={at} />
    </>
  );
}

/** How much there is of each type, and in which state: as a bar, and in figures that lead to the list. */
import type { ReactElement } from 'react';
import { Table, Tbody, Td, Th, Thead, Tr } from '@patternfly/react-table';
import { Link } from 'react-router';

import { Empty } from '../../components/outcomes.tsx';
import { acceleratorStates, stateWords } from '../../components/states.tsx';
import type { Summary } from './overview-page.tsx';

type Row = Summary['accelerators'][number];

export function Capacity({ rows }: { rows: readonly Row[] }): ReactElement {
  if (rows.length === 0) {
    return (
      <Empty title="No accelerators">
        None that you may see. Members see what their project holds; operators install a driver to
        have hosts look for accelerators.
      </Empty>
    );
  }
  const types = [...new Set(rows.map(({ type }) => type))];
  const states = acceleratorStates.filter((state) => rows.some((row) => row.state === state));
  const count = (type: string, state: string): number =>
    rows.find((row) => row.type === type && row.state === state)?.count ?? 0;
  return (
    <div className="console-scroll" tabIndex={0} role="region" aria-label="Capacity">
      <Table
        aria-label="Accelerators by type and state"
        role="table"
        variant="compact"
        gridBreakPoint=""
      >
        <Thead>
          <Tr>
            <Th>Type</Th>
            {states.map((state) => (
              <Th key={state} modifier="nowrap">
                <span className={`console-dot console-state-${state}`} />
                {stateWords(state)}
              </Th>
            ))}
            <Th screenReaderText="Shares" width={30} />
          </Tr>
        </Thead>
        <Tbody>
          {types.map((type) => (
            <Tr key={type}>
              <Th scope="row">
                <Link to={`/accelerators?type=${type}`}>{type}</Link>
              </Th>
              {states.map((state) => (
                <Td key={state} dataLabel={stateWords(state)}>
                  <Count type={type} state={state} count={count(type, state)} />
                </Td>
              ))}
              <Td>
                <Bar counts={states.map((state) => ({ state, count: count(type, state) }))} />
              </Td>
            </Tr>
          ))}
        </Tbody>
      </Table>
    </div>
  );
}

function Count({ type, state, count }: Row): ReactElement {
  if (count === 0) return <>0</>;
  return (
    <Link
      to={`/accelerators?type=${type}&state=${state}`}
      aria-label={`${count} ${type} ${stateWords(state)}`}
    >
      {count}
    </Link>
  );
}

function Bar({ counts }: { counts: readonly { state: string; count: number }[] }): ReactElement {
  return (
    <div className="console-bar" aria-hidden="true">
      {counts
        .filter(({ count }) => count > 0)
        .map(({ state, count }) => (
          <span key={state} className={`console-state-${state}`} style={{ flexGrow: count }} />
        ))}
    </div>
  );
}

import { Button, Label, type LabelProps } from '@patternfly/react-core';
import type { ReactElement } from 'react';

import type { Result } from '../../api/call.ts';
import { Ago } from '../../components/instant.tsx';
import { ListTable, type Column } from '../../components/list-table.tsx';
import { Empty } from '../../components/outcomes.tsx';

type Line = Result<'showBackend'>['log'][number];

const colors: Readonly<Record<Line['level'], NonNullable<LabelProps['color']>>> = {
  debug: 'grey',
  info: 'blue',
  warn: 'orange',
  error: 'red',
  stderr: 'purple',
  agent: 'teal',
};

const columns: readonly Column<Line>[] = [
  { title: 'When', cell: ({ at }) => <Ago at={at} /> },
  {
    title: 'Level',
    cell: ({ level }) => (
      <Label color={colors[level]} isCompact>
        {level}
      </Label>
    ),
  },
  {
    title: 'Message',
    cell: ({ message }) => <span className="console-mono">{message}</span>,
    wraps: true,
  },
];

export interface DriverLogProps {
  /** Oldest first. */
  readonly log: readonly Line[];
  readonly again: () => void;
}

/** Agents report it now and then, and no event tells of a line: whoever wants the newest asks. */
export function DriverLog({ log, again }: DriverLogProps): ReactElement {
  if (log.length === 0) {
    return (
      <Empty title="Nothing yet" action={<ReadAgain again={again} />}>
        The last lines of its driver, up to half a minute old, are shown here.
      </Empty>
    );
  }
  return (
    <>
      <ListTable
        label="What its driver says"
        items={log.map((line, at) => ({ ...line, at_line: at })).toReversed()}
        columns={columns}
        keyOf={({ at_line: line, at }) => `${at} ${line}`}
      />
      <ReadAgain again={again} />
    </>
  );
}

function ReadAgain({ again }: { again: () => void }): ReactElement {
  return (
    <Button variant="link" isInline onClick={again}>
      Read again
    </Button>
  );
}

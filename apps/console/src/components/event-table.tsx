import { List, ListItem } from '@patternfly/react-core';
import type { ReactElement } from 'react';
import { Link } from 'react-router';

import type { LedgerEvent } from '../live/event-stream.ts';
import { Ago } from './instant.tsx';
import { placeOf, ShortId } from './links.tsx';
import { ListTable, type Column } from './list-table.tsx';

const columnsWith = (more: Column<LedgerEvent>['cell']): readonly Column<LedgerEvent>[] => [
  { title: 'Number', cell: ({ number }) => number },
  { title: 'When', cell: ({ at }) => <Ago at={at} /> },
  { title: 'What', cell: ({ kind }) => <span className="console-mono">{kind}</span> },
  { title: 'Subject', cell: (event) => <Subject event={event} /> },
  { title: 'Host', cell: ({ host }) => host ?? '' },
  { title: 'By', cell: ({ user_id: user }) => user ?? '' },
  { title: 'More', cell: more, wraps: true },
];

const brief = columnsWith(({ data }) => <More data={data} />);
const whole = columnsWith(({ data: { evidence, ...data } }) => (
  <>
    <More data={data} />
    <Evidence lines={evidence} />
  </>
));

/** @param isWhole  with the evidence of cleanings, where one thing is looked at */
export function EventTable({
  events,
  isWhole = false,
}: {
  events: readonly LedgerEvent[];
  isWhole?: boolean;
}): ReactElement {
  return (
    <ListTable
      label="Events"
      items={events}
      columns={isWhole ? whole : brief}
      keyOf={({ number }) => String(number)}
    />
  );
}

function Subject({ event }: { event: LedgerEvent }): ReactElement {
  const { subject_kind: kind, subject_id: id, host, data } = event;
  const place = placeOf(kind, id, host);
  const isUuid = /^[0-9a-f]{8}-/.test(id);
  const known = typeof data['name'] === 'string' ? data['name'] : undefined;
  const name = known ?? (isUuid ? <ShortId id={id} /> : id);
  return (
    <>
      {kind} {place === undefined ? name : <Link to={place}>{name}</Link>}
    </>
  );
}

const charsMax = 160;

function More({ data }: { data: LedgerEvent['data'] }): ReactElement {
  const text = Object.entries(data)
    .filter(([name, value]) => name !== 'name' && value !== null && value !== '')
    .map(([name, value]) => `${name}: ${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join(', ');
  return (
    <small className="console-mono" title={text}>
      {text.length > charsMax ? `${text.slice(0, charsMax)}…` : text}
    </small>
  );
}

/** What was done and seen there: it is not cut short. */
function Evidence({ lines }: { lines: unknown }): ReactElement | null {
  if (!Array.isArray(lines) || lines.length === 0) return null;
  return (
    <List aria-label="Evidence">
      {[...new Set(lines.map(String))].map((line) => (
        <ListItem key={line}>
          <small>{line}</small>
        </ListItem>
      ))}
    </List>
  );
}

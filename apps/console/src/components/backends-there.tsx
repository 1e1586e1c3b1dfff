/** The backends of a host or of a driver, with what a person must do about each. */
import type { ReactElement } from 'react';
import { Link } from 'react-router';

import type { Args, Result } from '../api/call.ts';
import { useRead } from '../api/read.ts';
import { usePermission } from '../session/who.ts';
import { freeOf } from './counts.ts';
import { BackendLink, HostLink } from './links.tsx';
import { ListTable, type Column } from './list-table.tsx';
import { Empty, Failure, Loading } from './outcomes.tsx';
import { troubleOfBackend } from './remedies.ts';
import { State } from './states.tsx';
import { Panel } from './thing-page.tsx';

type Backend = Result<'listBackends'>['items'][number];

/** The list of backends has all. */
const limit = 200;

const columns: readonly Column<Backend>[] = [
  { title: 'Backend', cell: ({ host, name }) => <BackendLink host={host} name={name} /> },
  { title: 'Host', cell: ({ host }) => <HostLink host={host} /> },
  {
    title: 'Driver',
    cell: ({ driver_id: id, version }) => (
      <Link to={`/drivers/${encodeURIComponent(id)}`}>{`${id} ${version ?? ''}`}</Link>
    ),
  },
  { title: 'State', cell: ({ state }) => <State state={state} /> },
  {
    title: 'Free',
    cell: freeOf,
  },
  { title: 'What to do', cell: (backend) => <WhatToDo backend={backend} />, wraps: true },
];

export interface BackendsThereProps {
  readonly title: string;
  readonly query: NonNullable<Args<'listBackends'>['query']>;
}

export function BackendsThere({ title, query }: BackendsThereProps): ReactElement | null {
  const { isAllowed } = usePermission('backend:list');
  const { data, error, again } = useRead(
    'listBackends',
    { query: { ...query, limit } },
    { enabled: isAllowed },
  );
  if (!isAllowed) return null;
  return (
    <Panel title={title}>
      {error !== null && <Failure error={error} what="The backends" again={again} />}
      {error === null && data === undefined && <Loading what="backends" rows={2} />}
      {data !== undefined && error === null && <Listed items={data.items} title={title} />}
      {data?.next && <p>Only the first {limit} are shown here; the list of backends has all.</p>}
    </Panel>
  );
}

function Listed({ items, title }: { items: readonly Backend[]; title: string }): ReactElement {
  if (items.length === 0) {
    return <Empty title="None">Install on the page of a driver puts one there.</Empty>;
  }
  return <ListTable label={title} items={items} columns={columns} keyOf={({ id }) => id} />;
}

function WhatToDo({ backend }: { backend: Backend }): ReactElement {
  const trouble = troubleOfBackend(backend);
  if (trouble === undefined) return <>{backend.reason ?? 'Nothing: it serves.'}</>;
  return (
    <>
      <strong>{trouble.title}.</strong> {backend.reason} {trouble.remedy}
    </>
  );
}

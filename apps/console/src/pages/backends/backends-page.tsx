import { useState, type ReactElement } from 'react';
import { Link } from 'react-router';

import type { Result } from '../../api/call.ts';
import { ActButton } from '../../components/act-button.tsx';
import { freeOf } from '../../components/counts.ts';
import { DiscoverDialog } from '../../components/discover-dialog.tsx';
import { Ago } from '../../components/instant.tsx';
import { BackendLink, HostLink } from '../../components/links.tsx';
import { ListPage } from '../../components/list-page.tsx';
import type { Column } from '../../components/list-table.tsx';
import { State } from '../../components/states.tsx';

type Backend = Result<'listBackends'>['items'][number];

const columns: readonly Column<Backend>[] = [
  { title: 'Name', cell: ({ host, name }) => <BackendLink host={host} name={name} /> },
  { title: 'Host', cell: ({ host }) => <HostLink host={host} /> },
  {
    title: 'Driver',
    cell: ({ driver_id: id, version }) => (
      <Link to={`/drivers/${id}`}>{`${id} ${version ?? ''}`}</Link>
    ),
  },
  { title: 'Kind', cell: ({ kind }) => kind },
  { title: 'State', cell: ({ state }) => <State state={state} /> },
  { title: 'Status', cell: ({ status }) => <State state={status} /> },
  {
    title: 'Free',
    cell: freeOf,
  },
  {
    title: 'Inventory changed',
    cell: ({ inventory_changed_at: at }) => (at === null ? 'never' : <Ago at={at} />),
  },
  { title: 'Reason', cell: ({ reason }) => reason ?? '', wraps: true },
];

export function BackendsPage(): ReactElement {
  const [isDiscovering, setIsDiscovering] = useState(false);
  return (
    <>
      <ListPage
        name="listBackends"
        title="Backends"
        about="Sources of accelerators: a driver with a configuration, on a host."
        filters={[
          { name: 'host', label: 'Host' },
          { name: 'backend', label: 'Backend' },
          { name: 'driver_id', label: 'Driver' },
        ]}
        columns={columns}
        keyOf={({ id }) => id}
        empty={
          <>No driver is installed where you may look. Install one from its page under Drivers.</>
        }
        actions={
          <ActButton
            action="discovery:create"
            variant="primary"
            onClick={() => setIsDiscovering(true)}
          >
            Discover everywhere
          </ActButton>
        }
      />
      {isDiscovering && <DiscoverDialog close={() => setIsDiscovering(false)} />}
    </>
  );
}

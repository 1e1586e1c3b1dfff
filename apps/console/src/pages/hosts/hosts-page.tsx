import type { ReactElement } from 'react';

import type { Result } from '../../api/call.ts';
import { Ago } from '../../components/instant.tsx';
import { HostLink } from '../../components/links.tsx';
import { ListPage } from '../../components/list-page.tsx';
import type { Column } from '../../components/list-table.tsx';
import { State } from '../../components/states.tsx';

export type Host = Result<'showHost'>;

const columns: readonly Column<Host>[] = [
  { title: 'Name', cell: ({ name }) => <HostLink host={name} /> },
  { title: 'State', cell: ({ state }) => <State state={state} /> },
  { title: 'Status', cell: ({ status }) => <State state={status} /> },
  {
    title: 'Hypervisors',
    cell: ({ hypervisors }) => hypervisors.map((one) => one.hypervisor).join(', '),
  },
  { title: 'Agent', cell: ({ agent_version: version }) => version ?? '' },
  { title: 'Enrolled', cell: ({ created_at: at }) => <Ago at={at} /> },
  {
    title: 'Conditions',
    cell: ({ conditions }) => conditions.map(({ message }) => message).join('; '),
    wraps: true,
  },
];

export function HostsPage(): ReactElement {
  return (
    <ListPage
      name="listHosts"
      title="Hosts"
      about="Machines with an agent, and whether it reports."
      filters={[{ name: 'state', label: 'State', options: ['up', 'down'] }]}
      columns={columns}
      keyOf={({ id }) => id}
      empty={
        <>
          No host has enrolled, or none is granted to your project. An operator makes a join token
          with <code>cyborg host-enroll</code> and gives it to the agent.
        </>
      }
    />
  );
}

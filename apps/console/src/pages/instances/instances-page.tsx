import type { ReactElement } from 'react';

import type { Result } from '../../api/call.ts';
import { HostLink, InstanceLink } from '../../components/links.tsx';
import { ListPage } from '../../components/list-page.tsx';
import type { Column } from '../../components/list-table.tsx';
import { State } from '../../components/states.tsx';

export type Instance = Result<'showInstance'>;

const columns: readonly Column<Instance>[] = [
  { title: 'Name', cell: ({ id, name }) => <InstanceLink id={id} name={name} /> },
  { title: 'State', cell: ({ state }) => <State state={state} /> },
  {
    title: 'Seen',
    cell: ({ presence }) => <State state={presence} />,
  },
  { title: 'Host', cell: ({ host }) => <HostLink host={host} /> },
  { title: 'Hypervisor', cell: ({ hypervisor }) => hypervisor },
  { title: 'Project', cell: ({ project_id: project }) => project ?? 'not known' },
  { title: 'Holds', cell: ({ attachments_total: total }) => total },
];

export function InstancesPage(): ReactElement {
  return (
    <ListPage
      name="listInstances"
      title="Instances"
      about="Virtual machines, and what each holds."
      filters={[
        { name: 'host', label: 'Host' },
        { name: 'project_id', label: 'Project' },
      ]}
      columns={columns}
      keyOf={({ id }) => id}
      empty={
        <>
          No instance is known of your project. Hosts report theirs; an operator says which project
          a stand-alone instance belongs to.
        </>
      }
    />
  );
}

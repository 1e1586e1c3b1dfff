import { acceleratorTypes } from '@cyborg/model/accelerator-types';
import { useState, type ReactElement } from 'react';

import type { Result } from '../../api/call.ts';
import { ActButton } from '../../components/act-button.tsx';
import type { Filter } from '../../components/filters.tsx';
import { AcceleratorLink, BackendLink, HostLink, InstanceLink } from '../../components/links.tsx';
import { ListPage } from '../../components/list-page.tsx';
import type { Column } from '../../components/list-table.tsx';
import { State, acceleratorStates } from '../../components/states.tsx';
import { CreateAcceleratorDialog } from './create-accelerator-dialog.tsx';

export type Accelerator = Result<'showAccelerator'>;

const filters: readonly Filter[] = [
  { name: 'name', label: 'Name begins with' },
  { name: 'type', label: 'Type', options: acceleratorTypes },
  { name: 'state', label: 'State', options: acceleratorStates },
  { name: 'host', label: 'Host' },
  { name: 'backend', label: 'Backend' },
  { name: 'trait', label: 'Trait' },
  { name: 'project_id', label: 'Project' },
];

const columns: readonly Column<Accelerator>[] = [
  { title: 'Name', sort: 'name', cell: ({ id, name }) => <AcceleratorLink id={id} name={name} /> },
  { title: 'Type', sort: 'type', cell: ({ type }) => type },
  { title: 'State', sort: 'state', cell: (accelerator) => <States accelerator={accelerator} /> },
  { title: 'Host', cell: ({ host }) => <HostLink host={host} /> },
  { title: 'Backend', cell: ({ host, backend }) => <BackendLink host={host} name={backend} /> },
  {
    title: 'Held by',
    cell: ({ instance_id: id }) => (id === null ? '' : <InstanceLink id={id} />),
  },
  { title: 'Reason', cell: ({ reason }) => reason ?? '', wraps: true },
];

export function AcceleratorsPage(): ReactElement {
  const [isCreating, setIsCreating] = useState(false);
  return (
    <>
      <ListPage
        name="listAccelerators"
        title="Accelerators"
        about="What can be given to an instance, and who holds it."
        filters={filters}
        known={['instance_id', 'driver_id', 'sort']}
        columns={columns}
        keyOf={({ id }) => id}
        empty={
          <>
            None that you may see. Members see what their project holds; operators install a driver
            to have hosts look for accelerators.
          </>
        }
        actions={
          <ActButton action="accelerator:create" onClick={() => setIsCreating(true)}>
            Create
          </ActButton>
        }
      />
      {isCreating && <CreateAcceleratorDialog close={() => setIsCreating(false)} />}
    </>
  );
}

function States({ accelerator }: { accelerator: Accelerator }): ReactElement {
  const { state, presence, health } = accelerator;
  const isNotable = health !== 'healthy' && health !== 'unknown';
  return (
    <>
      <State state={state} /> {presence !== 'present' && <State state={presence} />}{' '}
      {isNotable && <State state={health} />}
    </>
  );
}

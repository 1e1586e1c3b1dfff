import { PageSection } from '@patternfly/react-core';
import { acceleratorTypes } from '@cyborg/model/accelerator-types';
import type { ReactElement } from 'react';

import type { Result } from '../../api/call.ts';
import { useRead } from '../../api/read.ts';
import { Filters, type Filter } from '../../components/filters.tsx';
import { AcceleratorLink, BackendLink, HostLink, InstanceLink } from '../../components/links.tsx';
import { pick, useListQuery } from '../../components/list-query.ts';
import { ListTable, type Column } from '../../components/list-table.tsx';
import { Empty, Failure, Loading } from '../../components/outcomes.tsx';
import { PageHead } from '../../components/page-head.tsx';
import { Pager } from '../../components/pager.tsx';
import { State, acceleratorStates } from '../../components/states.tsx';

export type Accelerator = Result<'showAccelerator'>;

const rowsPerPage = 50;

const filters: readonly Filter[] = [
  { name: 'name', label: 'Name begins with' },
  { name: 'type', label: 'Type', options: acceleratorTypes },
  { name: 'state', label: 'State', options: acceleratorStates },
  { name: 'host', label: 'Host' },
  { name: 'backend', label: 'Backend' },
  { name: 'trait', label: 'Trait' },
  { name: 'project_id', label: 'Project' },
];

const known = [
  ...(['name', 'type', 'state', 'host', 'backend', 'trait', 'project_id'] as const),
  ...(['instance_id', 'driver_id', 'sort', 'marker'] as const),
] as const;

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
  { title: 'Reason', cell: ({ reason }) => reason ?? '' },
];

export function AcceleratorsPage(): ReactElement {
  const query = useListQuery();
  const given = pick(query.values, known);
  const reading = useRead(
    'listAccelerators',
    { query: { ...given, limit: rowsPerPage } },
    { keeps: true },
  );
  const { data, error, again, isOld } = reading;
  return (
    <>
      <PageHead title="Accelerators" about="What can be given to an instance, and who holds it." />
      <PageSection isFilled>
        <Filters query={query} filters={filters} />
        {error !== null && <Failure error={error} what="The list" again={again} />}
        {error === null && data === undefined && <Loading what="accelerators" rows={10} />}
        {error === null && data !== undefined && data.items.length === 0 && (
          <Nothing hasFilters={query.hasFilters} />
        )}
        {error === null && data !== undefined && data.items.length > 0 && (
          <>
            <ListTable
              label="Accelerators"
              items={data.items}
              columns={columns}
              keyOf={({ id }) => id}
              sort={given.sort}
              onSort={(sort) => query.set({ sort })}
              isOld={isOld}
            />
            <Pager query={query} next={data.next} count={data.items.length} />
          </>
        )}
      </PageSection>
    </>
  );
}

function States({ accelerator }: { accelerator: Accelerator }): ReactElement {
  const { state, presence, health } = accelerator;
  return (
    <>
      <State state={state} />
      {presence !== 'present' && (
        <>
          {' '}
          <State state={presence} />
        </>
      )}
      {health !== 'healthy' && health !== 'unknown' && (
        <>
          {' '}
          <State state={health} />
        </>
      )}
    </>
  );
}

function Nothing({ hasFilters }: { hasFilters: boolean }): ReactElement {
  return hasFilters ? (
    <Empty title="Nothing fits">No accelerator fits these filters: take one away.</Empty>
  ) : (
    <Empty title="No accelerators">
      None that you may see. Members see what their project holds; operators install a driver to
      have hosts look for accelerators.
    </Empty>
  );
}

import { useState, type ReactElement } from 'react';

import type { Result } from '../../api/call.ts';
import { ActButton } from '../../components/act-button.tsx';
import { ActDialog } from '../../components/act-dialog.tsx';
import { freeOf } from '../../components/counts.ts';
import { Ago } from '../../components/instant.tsx';
import { BackendLink, HostLink } from '../../components/links.tsx';
import { ListPage } from '../../components/list-page.tsx';
import type { Column } from '../../components/list-table.tsx';
import { State } from '../../components/states.tsx';
import { useToasts } from '../../components/toasts.tsx';

type Service = Result<'showService'>;

function columnsWith(open: (service: Service) => void): readonly Column<Service>[] {
  return [
    { title: 'Name', cell: ({ name }) => name },
    { title: 'Kind', cell: ({ kind }) => kind },
    { title: 'Host', cell: ({ host }) => (host === null ? '' : <HostLink host={host} />) },
    {
      title: 'Backend',
      cell: ({ host, backend }) =>
        host === null || backend === null ? '' : <BackendLink host={host} name={backend} />,
    },
    { title: 'State', cell: ({ state }) => <State state={state} /> },
    { title: 'Status', cell: ({ status }) => <State state={status} /> },
    {
      title: 'Free',
      cell: (service) => (service.kind === 'control' ? '' : freeOf(service)),
    },
    { title: 'Heard of', cell: ({ updated_at: at }) => (at === null ? '' : <Ago at={at} />) },
    { title: 'Reason', cell: ({ reason }) => reason ?? '', wraps: true },
    {
      title: 'Acts',
      cell: (service) =>
        service.kind === 'control' ? (
          ''
        ) : (
          <ActButton action="service:update" variant="link" size="sm" onClick={() => open(service)}>
            {service.status === 'enabled' ? 'Disable' : 'Enable'}
          </ActButton>
        ),
    },
  ];
}

export function ServicesPage(): ReactElement {
  const { say } = useToasts();
  const [service, setService] = useState<Service>();
  const verb = service?.status === 'enabled' ? 'Disable' : 'Enable';
  return (
    <>
      <ListPage
        name="listServices"
        title="Services"
        about="The control plane's own, the functions that backends offer, and the daemons that they run."
        filters={[
          { name: 'name', label: 'Name' },
          { name: 'host', label: 'Host' },
          { name: 'backend', label: 'Backend' },
        ]}
        columns={columnsWith(setService)}
        keyOf={({ id }) => id}
        empty={<>No service is known. Functions appear when a backend has its first inventory.</>}
      />
      {service !== undefined && (
        <ActDialog
          name="updateService"
          title={`${verb} ${service.name}`}
          verb={verb}
          isDangerous={service.status === 'enabled'}
          args={{
            params: { id: service.id },
            body: { status: service.status === 'enabled' ? 'disabled' : 'enabled' },
          }}
          close={() => setService(undefined)}
          onDone={({ name, status }) => say(`${name} is ${status} now.`)}
        />
      )}
    </>
  );
}

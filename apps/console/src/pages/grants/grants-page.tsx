import { useState, type ReactElement } from 'react';

import type { Result } from '../../api/call.ts';
import { ActButton } from '../../components/act-button.tsx';
import { ActDialog } from '../../components/act-dialog.tsx';
import { Ago } from '../../components/instant.tsx';
import { BackendLink, HostLink } from '../../components/links.tsx';
import { ListPage } from '../../components/list-page.tsx';
import type { Column } from '../../components/list-table.tsx';
import { useToasts } from '../../components/toasts.tsx';
import { CreateGrantDialog } from './create-grant-dialog.tsx';

type Grant = Result<'listGrants'>['items'][number];

function columnsWith(remove: (grant: Grant) => void): readonly Column<Grant>[] {
  return [
    { title: 'Project', cell: ({ project_id: project }) => project },
    { title: 'Host', cell: ({ host }) => <HostLink host={host} /> },
    {
      title: 'Backend',
      cell: ({ host, backend }) =>
        backend === null ? 'all of the host' : <BackendLink host={host} name={backend} />,
    },
    { title: 'By', cell: ({ created_by: by }) => by },
    { title: 'Since', cell: ({ created_at: at }) => <Ago at={at} /> },
    {
      title: 'Acts',
      cell: (grant) => (
        <ActButton action="grant:delete" variant="link" size="sm" onClick={() => remove(grant)}>
          Take back
        </ActButton>
      ),
    },
  ];
}

export function GrantsPage(): ReactElement {
  const { say } = useToasts();
  const [removing, setRemoving] = useState<Grant>();
  const [isCreating, setIsCreating] = useState(false);
  return (
    <>
      <ListPage
        name="listGrants"
        title="Grants"
        about="Which projects' managers may install drivers on which hosts, or configure one backend there."
        filters={[{ name: 'project_id', label: 'Project' }]}
        columns={columnsWith(setRemoving)}
        keyOf={({ id }) => id}
        empty={<>Only admins manage hosts so far. An admin gives a project a part with Grant.</>}
        actions={
          <ActButton action="grant:create" variant="primary" onClick={() => setIsCreating(true)}>
            Grant
          </ActButton>
        }
      />
      {isCreating && <CreateGrantDialog close={() => setIsCreating(false)} />}
      {removing !== undefined && (
        <ActDialog
          name="deleteGrant"
          title={`Take ${partOf(removing)} back from ${removing.project_id}`}
          verb="Take back"
          isDangerous
          args={{ params: { id: removing.id } }}
          close={() => setRemoving(undefined)}
          onDone={() => say(`${removing.project_id} manages ${partOf(removing)} no more.`)}
        />
      )}
    </>
  );
}

function partOf({ host, backend }: Grant): string {
  return backend === null ? host : `${host}@${backend}`;
}

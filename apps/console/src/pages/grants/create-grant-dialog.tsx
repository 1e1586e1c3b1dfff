import { useState, type ReactElement } from 'react';

import { useRead } from '../../api/read.ts';
import { ActDialog } from '../../components/act-dialog.tsx';
import { ChoiceField, TextField } from '../../components/fields.tsx';
import { useToasts } from '../../components/toasts.tsx';

const limit = 1000;

export function CreateGrantDialog({ close }: { close: () => void }): ReactElement {
  const { say } = useToasts();
  const [project, setProject] = useState('');
  const [host, setHost] = useState('');
  const [backend, setBackend] = useState('');
  const hosts = useRead('listHosts', { query: { limit } });
  const backends = useRead('listBackends', { query: { host, limit } }, { enabled: host !== '' });
  const body = { project_id: project, host, ...(backend === '' ? {} : { backend }) };
  return (
    <ActDialog
      name="createGrant"
      title="Grant a host to a project"
      verb="Grant"
      args={project === '' || host === '' ? undefined : { body }}
      close={close}
      onDone={() => say(`The managers of ${project} may manage it now.`)}
    >
      <TextField
        id="grant-project"
        label="Project"
        isRequired
        value={project}
        onChange={(text) => setProject(text.trim())}
        help="Its id, as the identity service says it."
      />
      <ChoiceField
        id="grant-host"
        label="Host"
        isRequired
        value={host}
        onChange={(next) => {
          setHost(next);
          setBackend('');
        }}
        nothing={hosts.data?.items.length === 0 ? 'There is none' : 'Choose one'}
        choices={(hosts.data?.items ?? []).map(({ name }) => ({ value: name, label: name }))}
      />
      <ChoiceField
        id="grant-backend"
        label="Backend"
        value={backend}
        onChange={setBackend}
        nothing="All of the host"
        choices={(backends.data?.items ?? []).map(({ name }) => ({ value: name, label: name }))}
      />
    </ActDialog>
  );
}

import { FormGroup, TextInput } from '@patternfly/react-core';
import { useState, type ReactElement } from 'react';

import { ActDialog } from '../../components/act-dialog.tsx';
import { useToasts } from '../../components/toasts.tsx';
import type { Instance } from './instances-page.tsx';

export interface ProjectDialogProps {
  readonly instance: Instance;
  readonly etag: string | undefined;
  readonly close: () => void;
}

export function ProjectDialog({ instance, etag, close }: ProjectDialogProps): ReactElement {
  const { say } = useToasts();
  const [project, setProject] = useState(instance.project_id ?? '');
  return (
    <ActDialog
      name="updateInstance"
      title={`Project of ${instance.name}`}
      verb="Save"
      args={{
        params: { instance_id: instance.id },
        body: { project_id: project === '' ? null : project },
      }}
      ifMatch={etag}
      close={close}
      onDone={() => say('Saved.')}
    >
      <FormGroup label="Project (empty: none, only admins see it)" fieldId="instance-project">
        <TextInput
          id="instance-project"
          value={project}
          onChange={(_event, text) => setProject(text)}
        />
      </FormGroup>
    </ActDialog>
  );
}

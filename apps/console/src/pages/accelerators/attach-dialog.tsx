import { Alert, FormGroup, FormSelect, FormSelectOption } from '@patternfly/react-core';
import { useState, type ReactElement } from 'react';

import { useRead } from '../../api/read.ts';
import { ActDialog } from '../../components/act-dialog.tsx';
import { useToasts } from '../../components/toasts.tsx';
import type { DialogProps } from './accelerator-dialog.tsx';

const instancesMax = 1000;

export function AttachDialog({ accelerator, close }: DialogProps): ReactElement {
  const { follow } = useToasts();
  const [instance, setInstance] = useState('');
  const { data } = useRead('listInstances', {
    query: { host: accelerator.host, limit: instancesMax },
  });
  const body = { accelerator: accelerator.id };
  return (
    <ActDialog
      name="createAttachments"
      title={`Attach ${accelerator.name}`}
      verb="Attach"
      args={instance === '' ? undefined : { params: { instance_id: instance }, body }}
      close={close}
      onDone={({ id }) => follow(id)}
    >
      <FormGroup label={`Instance on ${accelerator.host}`} isRequired fieldId="attach-instance">
        <FormSelect
          id="attach-instance"
          value={instance}
          onChange={(_event, value) => setInstance(value)}
        >
          <FormSelectOption value="" label={data === undefined ? 'Reading …' : 'Choose one'} />
          {data?.items.map(({ id, name, state }) => (
            <FormSelectOption key={id} value={id} label={`${name} (${state})`} />
          ))}
        </FormSelect>
      </FormGroup>
      {data?.items.length === 0 && (
        <Alert
          isInline
          isPlain
          variant="info"
          title={`No instance of yours is on ${accelerator.host}.`}
        />
      )}
    </ActDialog>
  );
}

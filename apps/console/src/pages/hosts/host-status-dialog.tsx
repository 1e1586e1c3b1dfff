import { Checkbox, FormGroup, TextInput } from '@patternfly/react-core';
import { useState, type ReactElement } from 'react';

import { ActDialog } from '../../components/act-dialog.tsx';
import { useToasts } from '../../components/toasts.tsx';
import type { Host } from './hosts-page.tsx';

export interface HostStatusDialogProps {
  readonly host: Host;
  readonly etag: string | undefined;
  readonly close: () => void;
}

export function HostStatusDialog({ host, etag, close }: HostStatusDialogProps): ReactElement {
  const { say } = useToasts();
  const [reason, setReason] = useState('');
  const [force, setForce] = useState(false);
  const isDisabling = host.status === 'enabled';
  const body = isDisabling
    ? { status: 'disabled' as const, ...(reason === '' ? {} : { reason }) }
    : { status: 'enabled' as const };
  return (
    <ActDialog
      name="updateHost"
      title={`${isDisabling ? 'Disable' : 'Enable'} ${host.name}`}
      verb={isDisabling ? 'Disable' : 'Enable'}
      isDangerous={isDisabling}
      args={{ params: { host: host.name }, query: force ? { force } : {}, body }}
      ifMatch={etag}
      close={close}
      onDone={({ status }) => say(`${host.name} is ${status} now.`)}
    >
      {isDisabling && (
        <>
          <FormGroup label="Why" fieldId="host-reason">
            <TextInput
              id="host-reason"
              value={reason}
              onChange={(_event, text) => setReason(text)}
            />
          </FormGroup>
          <Checkbox
            id="host-force"
            label="Although something is in use there: it stays attached"
            isChecked={force}
            onChange={(_event, checked) => setForce(checked)}
          />
        </>
      )}
    </ActDialog>
  );
}

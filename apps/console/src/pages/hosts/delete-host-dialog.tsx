import { FormGroup, TextInput } from '@patternfly/react-core';
import { useState, type ReactElement } from 'react';
import { useNavigate } from 'react-router';

import { ActDialog } from '../../components/act-dialog.tsx';
import { useToasts } from '../../components/toasts.tsx';
import type { Host } from './hosts-page.tsx';

export interface DeleteHostDialogProps {
  readonly host: Host;
  readonly etag: string | undefined;
  readonly close: () => void;
}

export function DeleteHostDialog({ host, etag, close }: DeleteHostDialogProps): ReactElement {
  const { say } = useToasts();
  const navigate = useNavigate();
  const [reason, setReason] = useState('');
  return (
    <ActDialog
      name="deleteHost"
      title={`Delete ${host.name}`}
      verb="Delete"
      isDangerous
      args={{ params: { host: host.name }, query: reason === '' ? {} : { reason } }}
      ifMatch={etag}
      close={close}
      onDone={() => {
        say(`${host.name} is gone from the ledger.`);
        void navigate('/hosts');
      }}
    >
      <FormGroup
        label="Why what is not clean need not be cleaned any more (only where something is not)"
        fieldId="delete-host-reason"
      >
        <TextInput
          id="delete-host-reason"
          value={reason}
          onChange={(_event, value) => setReason(value)}
        />
      </FormGroup>
    </ActDialog>
  );
}

import { useState, type ReactElement } from 'react';

import { ActDialog } from '../../components/act-dialog.tsx';
import { TextField } from '../../components/fields.tsx';
import type { JoinToken } from './join-token-shown.tsx';

export interface JoinTokenDialogProps {
  readonly close: () => void;
  readonly onDone: (token: JoinToken) => void;
}

export function JoinTokenDialog({ close, onDone }: JoinTokenDialogProps): ReactElement {
  const [host, setHost] = useState('');
  return (
    <ActDialog
      name="createJoinToken"
      title="Make a join token"
      verb="Make it"
      args={{ body: host === '' ? {} : { host } }}
      close={close}
      onDone={onDone}
    >
      <TextField
        id="join-token-host"
        label="Host"
        value={host}
        onChange={(text) => setHost(text.trim())}
        help="Only a host of this name may use it; empty: any new host."
      />
    </ActDialog>
  );
}

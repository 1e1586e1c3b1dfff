/** A card that appeared, and that somebody knows to be one that is gone from elsewhere. */
import { useState, type ReactElement } from 'react';
import { useNavigate } from 'react-router';

import { useRead } from '../../api/read.ts';
import { ActDialog } from '../../components/act-dialog.tsx';
import { ChoiceField, TextField } from '../../components/fields.tsx';
import { useToasts } from '../../components/toasts.tsx';
import type { DialogProps } from './accelerator-dialog.tsx';

const limit = 1000;

export function IdentifyDialog({ accelerator, close }: DialogProps): ReactElement {
  const { say } = useToasts();
  const navigate = useNavigate();
  const [same, setSame] = useState('');
  const [reason, setReason] = useState('');
  const { id, name, host, backend, type } = accelerator;
  const { data } = useRead('listAccelerators', {
    query: { host, backend: `${host}@${backend}`, type, sort: 'name', limit },
  });
  const gone = (data?.items ?? []).filter(({ presence }) => presence === 'absent');
  const isComplete = same !== '' && reason !== '';
  return (
    <ActDialog
      name="identifyAccelerator"
      title={`Say which card ${name} is`}
      verb="It is this one"
      args={isComplete ? { params: { id }, body: { same_as: same, reason } } : undefined}
      close={close}
      onDone={(found) => {
        say(`It is ${found.name} again.`);
        void navigate(`/accelerators/${found.id}`);
      }}
    >
      <ChoiceField
        id="identify-same"
        label="The one that is gone"
        isRequired
        value={same}
        onChange={setSame}
        nothing={gone.length === 0 ? `No ${type} of ${host}@${backend} is gone` : 'Choose one'}
        choices={gone.map((one) => ({ value: one.id, label: `${one.name} (${one.state})` }))}
      />
      <TextField
        id="identify-reason"
        label="How you know"
        isRequired
        value={reason}
        onChange={setReason}
        help="Kept as evidence. What is attached to the old one follows."
      />
    </ActDialog>
  );
}

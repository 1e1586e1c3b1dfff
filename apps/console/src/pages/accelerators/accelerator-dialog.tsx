/** What can be done with an accelerator, each with the server's own preview. */
import { FormGroup, TextArea, TextInput } from '@patternfly/react-core';
import { useState, type ReactElement } from 'react';
import { useNavigate } from 'react-router';

import { ActDialog } from '../../components/act-dialog.tsx';
import { TextField } from '../../components/fields.tsx';
import { useToasts } from '../../components/toasts.tsx';
import { togetherWith, useWhole } from '../../components/whole-group.ts';
import type { Accelerator } from './accelerators-page.tsx';
import { AttachDialog } from './attach-dialog.tsx';
import { EditDialog } from './edit-dialog.tsx';
import { IdentifyDialog } from './identify-dialog.tsx';
import { ProgramDialog } from './program-dialog.tsx';

export type DialogKind =
  | 'approve'
  | 'withhold'
  | 'clean'
  | 'edit'
  | 'attach'
  | 'detach'
  | 'identify'
  | 'program'
  | 'delete';

export interface DialogProps {
  readonly accelerator: Accelerator;
  readonly etag: string | undefined;
  readonly close: () => void;
}

const dialogs: Readonly<Record<DialogKind, (props: DialogProps) => ReactElement>> = {
  approve: ApproveDialog,
  withhold: WithholdDialog,
  clean: CleanDialog,
  edit: EditDialog,
  attach: AttachDialog,
  detach: DetachDialog,
  identify: IdentifyDialog,
  program: ProgramDialog,
  delete: DeleteDialog,
};

export function AcceleratorDialog({
  kind,
  ...props
}: DialogProps & { kind: DialogKind }): ReactElement {
  const Dialog = dialogs[kind];
  return <Dialog {...props} />;
}

function ApproveDialog({ accelerator, etag, close }: DialogProps): ReactElement {
  const { say } = useToasts();
  const [reason, setReason] = useState('');
  const [resetless, setResetless] = useState('');
  const needsReason = accelerator.state === 'cleaning_failed';
  const isComplete = !needsReason || reason !== '';
  const body = {
    state: 'available' as const,
    ...(reason === '' ? {} : { reason }),
    ...(resetless === '' ? {} : { resetless_reason: resetless }),
  };
  return (
    <ActDialog
      name="updateAccelerator"
      title={`Approve ${accelerator.name}`}
      verb="Approve"
      args={isComplete ? { params: { id: accelerator.id }, body } : undefined}
      ifMatch={etag}
      close={close}
      onDone={({ state }) => say(`${accelerator.name} is ${state} now.`)}
    >
      <FormGroup
        label={needsReason ? 'Why it is clean after all' : 'Why (optional)'}
        isRequired={needsReason}
        fieldId="approve-reason"
      >
        <TextInput
          id="approve-reason"
          value={reason}
          onChange={(_event, value) => setReason(value)}
        />
      </FormGroup>
      <FormGroup
        label="Why it may be given out though it has no reset (only where it has none)"
        fieldId="approve-resetless"
      >
        <TextInput
          id="approve-resetless"
          value={resetless}
          onChange={(_event, value) => setResetless(value)}
        />
      </FormGroup>
    </ActDialog>
  );
}

function WithholdDialog({ accelerator, etag, close }: DialogProps): ReactElement {
  const { say } = useToasts();
  const [reason, setReason] = useState('');
  const body = { state: 'withheld' as const, reason };
  return (
    <ActDialog
      name="updateAccelerator"
      title={`Withhold ${accelerator.name}`}
      verb="Withhold"
      args={reason === '' ? undefined : { params: { id: accelerator.id }, body }}
      ifMatch={etag}
      close={close}
      onDone={({ state }) =>
        say(
          state === 'withheld'
            ? `${accelerator.name} is withheld now.`
            : `${accelerator.name} will be withheld when it comes back.`,
        )
      }
    >
      <FormGroup label="Why" isRequired fieldId="withhold-reason">
        <TextArea
          id="withhold-reason"
          value={reason}
          onChange={(_event, value) => setReason(value)}
          autoResize
        />
      </FormGroup>
    </ActDialog>
  );
}

function CleanDialog({ accelerator, etag, close }: DialogProps): ReactElement {
  const { say } = useToasts();
  const [reason, setReason] = useState('');
  const body = { state: 'cleaning' as const, ...(reason === '' ? {} : { reason }) };
  return (
    <ActDialog
      name="updateAccelerator"
      title={`Clean ${accelerator.name} again`}
      verb="Clean again"
      args={{ params: { id: accelerator.id }, body }}
      ifMatch={etag}
      close={close}
      onDone={() => say(`${accelerator.name} is being cleaned.`)}
    >
      <p>
        Its driver resets, cleans and verifies it once more. It is available when it is clean; else
        it stays out and says why.
      </p>
      <TextField
        id="clean-reason"
        label="What was mended (optional)"
        value={reason}
        onChange={setReason}
        help="Kept with what became of it."
      />
    </ActDialog>
  );
}

function DetachDialog({ accelerator, close }: DialogProps): ReactElement {
  const { follow } = useToasts();
  const instance = accelerator.instance_id;
  const whole = useWhole(instance, accelerator.id);
  const together = whole === undefined ? undefined : togetherWith(whole);
  const args =
    instance === null || whole === undefined
      ? undefined
      : { params: { instance_id: instance }, query: { accelerators: [...whole.ids] } };
  return (
    <ActDialog
      name="deleteAttachments"
      title={`Detach ${accelerator.name}`}
      verb="Detach"
      isDangerous
      args={args}
      close={close}
      onDone={({ id }) => follow(id)}
    >
      <p>The instance {instance} loses it; it is cleaned, and available again when it is clean.</p>
      {together !== undefined && <p>{together}</p>}
    </ActDialog>
  );
}

function DeleteDialog({ accelerator, etag, close }: DialogProps): ReactElement {
  const { say } = useToasts();
  const navigate = useNavigate();
  return (
    <ActDialog
      name="deleteAccelerator"
      title={`Delete ${accelerator.name}`}
      verb="Delete"
      isDangerous
      args={{ params: { id: accelerator.id } }}
      ifMatch={etag}
      close={close}
      onDone={() => {
        say(`${accelerator.name} is no more on offer.`);
        void navigate('/accelerators');
      }}
    >
      <p>What was made by request goes; a function of a card is withheld again.</p>
    </ActDialog>
  );
}

import {
  FormGroup,
  FormHelperText,
  HelperText,
  HelperTextItem,
  TextArea,
  TextInput,
} from '@patternfly/react-core';
import { useState, type ReactElement } from 'react';

import { ActDialog } from '../../components/act-dialog.tsx';
import { useToasts } from '../../components/toasts.tsx';
import { useWho } from '../../session/who.ts';
import type { DialogProps } from './accelerator-dialog.tsx';

export function EditDialog({ accelerator, etag, close }: DialogProps): ReactElement {
  const { say } = useToasts();
  const { caller } = useWho();
  const isManager = caller.roles.includes('manager');
  const isAdmin = caller.roles.includes('admin');
  const [name, setName] = useState(accelerator.name);
  const [description, setDescription] = useState(accelerator.description ?? '');
  const [labels, setLabels] = useState(toLines(accelerator.labels));
  const [reservedFor, setReservedFor] = useState(accelerator.reserved_for ?? '');
  const parsed = fromLines(labels);
  const body = {
    name,
    ...(isManager ? { description: description === '' ? null : description } : {}),
    ...(isAdmin ? { reserved_for: reservedFor === '' ? null : reservedFor } : {}),
    ...(parsed === undefined ? {} : { labels: parsed }),
  };
  const isComplete = name !== '' && parsed !== undefined;
  return (
    <ActDialog
      name="updateAccelerator"
      title={`Edit ${accelerator.name}`}
      verb="Save"
      args={isComplete ? { params: { id: accelerator.id }, body } : undefined}
      ifMatch={etag}
      close={close}
      onDone={() => say('Saved.')}
    >
      <Field id="edit-name" label="Name" value={name} onChange={setName} />
      {isManager && (
        <Field
          id="edit-description"
          label="Description"
          value={description}
          onChange={setDescription}
        />
      )}
      {isAdmin && (
        <Field
          id="edit-reserved"
          label="Reserved for project (empty: for all)"
          value={reservedFor}
          onChange={setReservedFor}
        />
      )}
      <FormGroup label="Labels" fieldId="edit-labels">
        <TextArea
          id="edit-labels"
          value={labels}
          onChange={(_event, value) => setLabels(value)}
          validated={parsed === undefined ? 'error' : 'default'}
          autoResize
        />
        <FormHelperText>
          <HelperText>
            <HelperTextItem variant={parsed === undefined ? 'error' : 'default'}>
              One a line, as name=value.
            </HelperTextItem>
          </HelperText>
        </FormHelperText>
      </FormGroup>
    </ActDialog>
  );
}

interface FieldProps {
  readonly id: string;
  readonly label: string;
  readonly value: string;
  readonly onChange: (value: string) => void;
}

function Field({ id, label, value, onChange }: FieldProps): ReactElement {
  return (
    <FormGroup label={label} fieldId={id}>
      <TextInput id={id} value={value} onChange={(_event, text) => onChange(text)} />
    </FormGroup>
  );
}

function toLines(labels: Readonly<Record<string, string>>): string {
  return Object.entries(labels)
    .map(([name, value]) => `${name}=${value}`)
    .join('\n');
}

/** @returns undefined when a line is none. */
function fromLines(text: string): Record<string, string> | undefined {
  const labels: Record<string, string> = {};
  for (const line of text.split('\n').map((each) => each.trim())) {
    if (line === '') continue;
    const at = line.indexOf('=');
    if (at < 1) return undefined;
    labels[line.slice(0, at).trim()] = line.slice(at + 1).trim();
  }
  return labels;
}

/** By profile, by picking one, or any of a driver; the preview names what would be taken, or the nearest misses. */
import {
  FormGroup,
  FormSelect,
  FormSelectOption,
  NumberInput,
  Radio,
} from '@patternfly/react-core';
import { useState, type ReactElement } from 'react';

import { useRead } from '../../api/read.ts';
import { ActDialog } from '../../components/act-dialog.tsx';
import { useToasts } from '../../components/toasts.tsx';
import type { Instance } from './instances-page.tsx';

export interface AttachToDialogProps {
  readonly instance: Instance;
  readonly close: () => void;
}

type Way = 'accelerator' | 'profile' | 'any';

const countMax = 64;

export function AttachToDialog({ instance, close }: AttachToDialogProps): ReactElement {
  const { follow } = useToasts();
  const [way, setWay] = useState<Way>('profile');
  const [choice, setChoice] = useState('');
  const [count, setCount] = useState(1);
  const isComplete = way === 'any' || choice !== '';
  const body =
    way === 'accelerator'
      ? { accelerator: choice }
      : { ...(way === 'profile' ? { profile: choice } : {}), count };
  const choose = (next: Way): void => {
    setWay(next);
    setChoice('');
  };
  return (
    <ActDialog
      name="createAttachments"
      title={`Attach to ${instance.name}`}
      verb="Attach"
      args={isComplete ? { params: { instance_id: instance.id }, body } : undefined}
      close={close}
      onDone={({ id }) => follow(id)}
    >
      <FormGroup role="radiogroup" label="What" fieldId="attach-way" isStack>
        <Way id="profile" label="What a device profile asks for" way={way} choose={choose} />
        <Way id="accelerator" label="One that I pick" way={way} choose={choose} />
        <Way id="any" label="Whatever is free, when it is of one kind" way={way} choose={choose} />
      </FormGroup>
      {way === 'profile' && <Profiles value={choice} onChange={setChoice} />}
      {way === 'accelerator' && <Free host={instance.host} value={choice} onChange={setChoice} />}
      {way !== 'accelerator' && (
        <FormGroup label="How many times" fieldId="attach-count">
          <NumberInput
            inputName="attach-count"
            inputAriaLabel="How many times"
            minusBtnAriaLabel="One less"
            plusBtnAriaLabel="One more"
            min={1}
            max={countMax}
            value={count}
            onMinus={() => setCount(Math.max(1, count - 1))}
            onPlus={() => setCount(Math.min(countMax, count + 1))}
            onChange={(event) => setCount(clamp(Number(event.currentTarget.value)))}
          />
        </FormGroup>
      )}
    </ActDialog>
  );
}

function clamp(count: number): number {
  return Number.isInteger(count) ? Math.min(countMax, Math.max(1, count)) : 1;
}

interface WayProps {
  readonly id: Way;
  readonly label: string;
  readonly way: Way;
  readonly choose: (way: Way) => void;
}

function Way({ id, label, way, choose }: WayProps): ReactElement {
  return (
    <Radio
      id={`attach-way-${id}`}
      name="attach-way"
      label={label}
      isChecked={way === id}
      onChange={() => choose(id)}
    />
  );
}

interface ChoiceProps {
  readonly value: string;
  readonly onChange: (value: string) => void;
}

function Profiles({ value, onChange }: ChoiceProps): ReactElement {
  const { data } = useRead('listProfiles', { query: { limit: 1000 } });
  return (
    <FormGroup label="Device profile" isRequired fieldId="attach-profile">
      <FormSelect id="attach-profile" value={value} onChange={(_event, next) => onChange(next)}>
        <FormSelectOption
          value=""
          label={data?.items.length === 0 ? 'There is none' : 'Choose one'}
        />
        {data?.items.map(({ id, name }) => (
          <FormSelectOption key={id} value={name} label={name} />
        ))}
      </FormSelect>
    </FormGroup>
  );
}

function Free({ host, value, onChange }: ChoiceProps & { host: string }): ReactElement {
  const { data } = useRead('listAccelerators', {
    query: { host, state: 'available', sort: 'name', limit: 1000 },
  });
  return (
    <FormGroup label={`Free on ${host}`} isRequired fieldId="attach-accelerator">
      <FormSelect id="attach-accelerator" value={value} onChange={(_event, next) => onChange(next)}>
        <FormSelectOption
          value=""
          label={data?.items.length === 0 ? 'There is none' : 'Choose one'}
        />
        {data?.items.map(({ id, name, type }) => (
          <FormSelectOption key={id} value={id} label={`${name} (${type})`} />
        ))}
      </FormSelect>
    </FormGroup>
  );
}

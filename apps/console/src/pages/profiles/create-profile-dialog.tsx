/** A form that knows which resource classes and traits there are: those of the accelerators that one sees. */
import {
  Button,
  FormFieldGroup,
  FormFieldGroupHeader,
  FormGroup,
  FormSelect,
  FormSelectOption,
  NumberInput,
  TextInput,
} from '@patternfly/react-core';
import { useMemo, useState, type ReactElement } from 'react';

import { useRead } from '../../api/read.ts';
import { ActDialog } from '../../components/act-dialog.tsx';
import { useToasts } from '../../components/toasts.tsx';
import { emptyGroup, toGroups, type Group } from './groups.ts';

export function CreateProfileDialog({ close }: { close: () => void }): ReactElement {
  const { say } = useToasts();
  const [name, setName] = useState('');
  const [description, setDescription] = useState('');
  const [groups, setGroups] = useState<readonly Group[]>([emptyGroup]);
  const offer = useOffer();
  const isComplete = name !== '' && groups.every((group) => group.resourceClass !== '');
  const body = {
    name,
    ...(description === '' ? {} : { description }),
    groups: toGroups(groups),
  };
  const change = (at: number, group: Group): void =>
    setGroups(groups.map((one, index) => (index === at ? group : one)));
  return (
    <ActDialog
      name="createProfile"
      title="Create a device profile"
      verb="Create"
      args={isComplete ? { body } : undefined}
      close={close}
      onDone={(profile) => say(`${profile.name} is made.`)}
    >
      <FormGroup label="Name" isRequired fieldId="profile-name">
        <TextInput id="profile-name" value={name} onChange={(_event, text) => setName(text)} />
      </FormGroup>
      <FormGroup label="Description" fieldId="profile-description">
        <TextInput
          id="profile-description"
          value={description}
          onChange={(_event, text) => setDescription(text)}
        />
      </FormGroup>
      {groups.map((group, at) => (
        <GroupFields
          key={at}
          at={at}
          group={group}
          offer={offer}
          change={(next) => change(at, next)}
          remove={
            groups.length > 1
              ? () => setGroups(groups.filter((_one, index) => index !== at))
              : undefined
          }
        />
      ))}
      <Button variant="link" isInline onClick={() => setGroups([...groups, emptyGroup])}>
        Ask for another kind as well
      </Button>
    </ActDialog>
  );
}

interface Offer {
  readonly classes: readonly string[];
  readonly traits: readonly string[];
}

const lookedAt = 1000;

function useOffer(): Offer {
  const { data } = useRead('listAccelerators', { query: { limit: lookedAt } });
  return useMemo(() => {
    const items = data?.items ?? [];
    return {
      classes: [...new Set(items.map((one) => one.resource_class))].toSorted(),
      traits: [...new Set(items.flatMap((one) => one.traits))].toSorted(),
    };
  }, [data]);
}

interface GroupFieldsProps {
  readonly at: number;
  readonly group: Group;
  readonly offer: Offer;
  readonly change: (group: Group) => void;
  readonly remove: (() => void) | undefined;
}

function GroupFields({ at, group, offer, change, remove }: GroupFieldsProps): ReactElement {
  const { resourceClass, amount } = group;
  const id = `profile-group-${at}`;
  return (
    <FormFieldGroup
      header={
        <FormFieldGroupHeader
          titleText={{ text: `Kind ${at + 1}`, id: `${id}-title` }}
          actions={
            remove !== undefined && (
              <Button variant="link" onClick={remove}>
                Remove
              </Button>
            )
          }
        />
      }
    >
      <FormGroup label="Resource class" isRequired fieldId={`${id}-class`}>
        <TextInput
          id={`${id}-class`}
          list={`${id}-classes`}
          value={resourceClass}
          placeholder={offer.classes[0] ?? 'CUSTOM_…'}
          onChange={(_event, text) => change({ ...group, resourceClass: text.trim() })}
        />
        <datalist id={`${id}-classes`}>
          {offer.classes.map((one) => (
            <option key={one} value={one} />
          ))}
        </datalist>
      </FormGroup>
      <FormGroup label="How many" fieldId={`${id}-amount`}>
        <NumberInput
          inputAriaLabel="How many"
          minusBtnAriaLabel="One less"
          plusBtnAriaLabel="One more"
          min={1}
          value={amount}
          onMinus={() => change({ ...group, amount: Math.max(1, amount - 1) })}
          onPlus={() => change({ ...group, amount: amount + 1 })}
          onChange={(event) =>
            change({ ...group, amount: Math.max(1, Number(event.currentTarget.value) || 1) })
          }
        />
      </FormGroup>
      <Traits id={id} group={group} offer={offer} change={change} />
    </FormFieldGroup>
  );
}

type TraitsProps = Pick<GroupFieldsProps, 'group' | 'offer' | 'change'> & { readonly id: string };

function Traits({ id, group, offer, change }: TraitsProps): ReactElement {
  const { traits } = group;
  return (
    <FormGroup label="Traits" fieldId={`${id}-trait`}>
      <FormSelect
        id={`${id}-trait`}
        value=""
        onChange={(_event, trait) => change({ ...group, traits: [...new Set([...traits, trait])] })}
      >
        <FormSelectOption value="" label="Add one" />
        {offer.traits.map((trait) => (
          <FormSelectOption key={trait} value={trait} label={trait} />
        ))}
      </FormSelect>
      {traits.map((trait) => (
        <Button
          key={trait}
          variant="link"
          isInline
          aria-label={`Take ${trait} away`}
          onClick={() => change({ ...group, traits: traits.filter((one) => one !== trait) })}
        >
          {trait} ×
        </Button>
      ))}
    </FormGroup>
  );
}

/** One more accelerator on offer: what that means is the backend's kind's. */
import { useState, type ReactElement } from 'react';
import { useNavigate } from 'react-router';

import type { Result } from '../../api/call.ts';
import { useRead } from '../../api/read.ts';
import { ActDialog } from '../../components/act-dialog.tsx';
import { ChoiceField, TextField } from '../../components/fields.tsx';
import { toObject } from '../../components/json-text.ts';
import { useToasts } from '../../components/toasts.tsx';

type Backend = Result<'listBackends'>['items'][number];

const limit = 1000;
/** Kinds of which there can be more by request. */
const extensible = new Set(['pci', 'virtual', 'static']);

interface Wish {
  /** Of a `pci` backend. */
  readonly address: string;
  /** Of a `virtual` one. */
  readonly function: string;
  /** Of a `static` one, as typed. */
  readonly item: string;
}

const emptyWish: Wish = { address: '', function: '', item: '' };

export function CreateAcceleratorDialog({ close }: { close: () => void }): ReactElement {
  const { say } = useToasts();
  const navigate = useNavigate();
  const [id, setId] = useState('');
  const [name, setName] = useState('');
  const [wish, setWish] = useState(emptyWish);
  const { data } = useRead('listBackends', { query: { limit } });
  const backends = (data?.items ?? []).filter(({ kind }) => extensible.has(kind));
  const backend = backends.find((one) => one.id === id);
  const what = toWhat(backend, wish);
  const body = backend &&
    what && { backend: backend.id, ...(name === '' ? {} : { name }), ...what };
  return (
    <ActDialog
      name="createAccelerator"
      title="Offer one more accelerator"
      verb="Create"
      args={body && { body }}
      close={close}
      onDone={(accelerator) => {
        say(`${accelerator.name} is there.`);
        void navigate(`/accelerators/${accelerator.id}`);
      }}
    >
      <ChoiceField
        id="create-backend"
        label="Backend"
        isRequired
        value={id}
        onChange={(next) => {
          setId(next);
          setWish(emptyWish);
        }}
        nothing={backends.length === 0 ? 'There is none that can have more' : 'Choose one'}
        choices={backends.map((one) => ({
          value: one.id,
          label: `${one.host}@${one.name} (${one.kind})`,
        }))}
      />
      {backend !== undefined && (
        <What backend={backend} wish={wish} onChange={(more) => setWish({ ...wish, ...more })} />
      )}
      <TextField
        id="create-name"
        label="Name"
        value={name}
        onChange={setName}
        help="Empty: one is made up."
      />
    </ActDialog>
  );
}

interface WhatProps {
  readonly backend: Backend;
  readonly wish: Wish;
  readonly onChange: (more: Partial<Wish>) => void;
}

function What({ backend, wish, onChange }: WhatProps): ReactElement {
  if (backend.kind === 'pci')
    return <Addresses backend={backend} wish={wish} onChange={onChange} />;
  if (backend.kind === 'virtual') {
    return (
      <ChoiceField
        id="create-function"
        label="Function"
        isRequired
        value={wish.function}
        onChange={(next) => onChange({ function: next })}
        nothing="Choose one"
        choices={functions.map((value) => ({ value, label: value }))}
      />
    );
  }
  return (
    <TextField
      id="create-item"
      label="What is declared, as JSON"
      isRequired
      isCode
      value={wish.item}
      onChange={(item) => onChange({ item })}
      help="As one item of the backend's configuration."
      fault={toObject(wish.item) === undefined ? 'It must be a JSON object.' : undefined}
    />
  );
}

function Addresses({ backend, wish, onChange }: WhatProps): ReactElement {
  const { data } = useRead('listAccelerators', {
    query: { backend: `${backend.host}@${backend.name}`, state: 'withheld', limit },
  });
  const withheld = (data?.items ?? []).flatMap(({ address, name }) =>
    address === null ? [] : [{ value: address, label: `${address} (${name})` }],
  );
  return (
    <ChoiceField
      id="create-address"
      label="Function that is withheld"
      isRequired
      value={wish.address}
      onChange={(address) => onChange({ address })}
      nothing={withheld.length === 0 ? 'There is none' : 'Choose one'}
      choices={withheld}
    />
  );
}

const functions = ['crypto', 'entropy'] as const;

type Offer =
  | { readonly address: string }
  | { readonly function: (typeof functions)[number] }
  | { readonly item: Record<string, unknown> };

/** Undefined while something is missing or not right. */
function toWhat(backend: Backend | undefined, wish: Wish): Offer | undefined {
  if (backend === undefined) return undefined;
  switch (backend.kind) {
    case 'pci':
      return wish.address === '' ? undefined : { address: wish.address };
    case 'virtual': {
      const chosen = functions.find((one) => one === wish.function);
      return chosen && { function: chosen };
    }
    case 'static': {
      const item = wish.item === '' ? undefined : toObject(wish.item);
      return item && { item };
    }
    default:
      return undefined;
  }
}

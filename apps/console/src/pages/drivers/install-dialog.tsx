import { useState, type ReactElement } from 'react';

import { ActDialog } from '../../components/act-dialog.tsx';
import { ChoiceField, TextField, toNames, type Choice } from '../../components/fields.tsx';
import { toObject } from '../../components/json-text.ts';
import { useToasts } from '../../components/toasts.tsx';
import { ConfigField } from './config-field.tsx';
import type { Driver } from './drivers-page.tsx';
import { PaceFields, paceOf, toRollout, type Pace, type Rollout } from './rollout-fields.tsx';

export interface InstallDialogProps {
  readonly driver: Driver;
  readonly close: () => void;
}

interface Wish {
  readonly version: string;
  readonly hosts: string;
  /** Empty: the default backends. */
  readonly kind: string;
  readonly name: string;
  readonly config: string;
  readonly pace: Pace;
}

const emptyWish: Wish = {
  version: '',
  hosts: '',
  kind: '',
  name: '',
  config: '',
  pace: paceOf(),
};

export function InstallDialog({ driver, close }: InstallDialogProps): ReactElement {
  const { follow } = useToasts();
  const [wish, setWish] = useState(emptyWish);
  const change = (more: Partial<Wish>): void => setWish({ ...wish, ...more });
  const body = toBody(wish);
  const kind = driver.kinds.find((one) => one.kind === wish.kind);
  return (
    <ActDialog
      name="installDriver"
      title={`Install ${driver.id}`}
      verb="Install"
      args={body === undefined ? undefined : { params: { driver_id: driver.id }, body }}
      close={close}
      onDone={({ id }) => follow(id)}
    >
      <ChoiceField
        id="install-version"
        label="Version"
        value={wish.version}
        onChange={(version) => change({ version })}
        nothing={`The one that is installed, or ${driver.version}`}
        choices={approvedOf(driver)}
      />
      <ChoiceField
        id="install-kind"
        label="What it serves"
        value={wish.kind}
        onChange={(next) => change({ kind: next, config: '' })}
        nothing="Its default backends"
        choices={driver.kinds.map((one) => ({
          value: one.kind,
          label: `One more backend: ${one.title} (${one.kind})`,
        }))}
      />
      {kind !== undefined && (
        <>
          <TextField
            id="install-name"
            label="Name of the backend"
            isRequired
            value={wish.name}
            onChange={(text) => change({ name: text.trim() })}
          />
          <ConfigField
            id="install-config"
            kind={kind}
            value={wish.config}
            onChange={(config) => change({ config })}
          />
        </>
      )}
      <TextField
        id="install-hosts"
        label="Hosts"
        value={wish.hosts}
        onChange={(hosts) => change({ hosts })}
        help="Names, with commas between them; empty: every host that you may use."
      />
      <PaceFields pace={wish.pace} onChange={(pace) => change({ pace })} />
    </ActDialog>
  );
}

export function approvedOf({ versions }: Driver): Choice[] {
  return versions
    .filter(({ state }) => state === 'approved')
    .map(({ version }) => ({ value: version, label: version }));
}

interface Body {
  version?: string;
  rollout?: Rollout;
  hosts?: string[];
  backends?: { name: string; kind: string; hosts?: string[]; config?: Record<string, unknown> }[];
}

/** Undefined while something is missing or not right. */
function toBody({ version, hosts: typed, kind, name, config: text, pace }: Wish): Body | undefined {
  const rollout = toRollout(pace);
  const config = toObject(text);
  if (rollout === undefined || config === undefined) return undefined;
  if (kind !== '' && name === '') return undefined;
  const hosts = toNames(typed);
  const there = hosts.length === 0 ? {} : { hosts };
  return {
    ...(version === '' ? {} : { version }),
    ...(Object.keys(rollout).length === 0 ? {} : { rollout }),
    ...(kind === '' ? there : { backends: [{ name, kind, config, ...there }] }),
  };
}

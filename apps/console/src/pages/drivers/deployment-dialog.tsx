/** What can be done with an installed driver. */
import { Checkbox } from '@patternfly/react-core';
import { useState, type ReactElement } from 'react';

import type { Result } from '../../api/call.ts';
import { ActDialog } from '../../components/act-dialog.tsx';
import { ChoiceField, TextField, toNames } from '../../components/fields.tsx';
import { toObject } from '../../components/json-text.ts';
import { useToasts } from '../../components/toasts.tsx';
import { useIsAdmin } from '../../session/who.ts';
import { ConfigField } from './config-field.tsx';
import type { Driver } from './drivers-page.tsx';
import { approvedOf } from './install-dialog.tsx';
import { PaceFields, paceOf, toRollout } from './rollout-fields.tsx';

export type Deployment = Result<'showDeployment'>;
export type WantedBackend = Deployment['backends'][number];

export interface DeploymentDialogProps {
  readonly driver: Driver;
  readonly deployment: Deployment;
  readonly etag: string | undefined;
  readonly close: () => void;
}

export function UpdateDialog(props: DeploymentDialogProps): ReactElement {
  const { driver, deployment, etag, close } = props;
  const { follow } = useToasts();
  const [version, setVersion] = useState(driver.version ?? deployment.version);
  const [pace, setPace] = useState(paceOf(deployment.rollout));
  const rollout = toRollout(pace);
  return (
    <ActDialog
      name="updateDriver"
      title={`Update ${driver.id}`}
      verb="Update"
      args={
        rollout === undefined
          ? undefined
          : { params: { driver_id: driver.id }, body: { version, rollout } }
      }
      ifMatch={etag}
      close={close}
      onDone={({ id }) => follow(id)}
    >
      <ChoiceField
        id="update-version"
        label="To version"
        value={version === deployment.version ? '' : version}
        onChange={(next) => setVersion(next === '' ? deployment.version : next)}
        nothing={`${deployment.version}, as it is: only the pace changes`}
        choices={approvedOf(driver).filter(({ value }) => value !== deployment.version)}
      />
      <PaceFields pace={pace} onChange={setPace} />
      <p>
        On each host the new version starts beside the old one, and is taken when it has found
        everything that is held.
      </p>
    </ActDialog>
  );
}

export type RolloutAct = 'pause' | 'resume' | 'rollback';

const verbs = { pause: 'Pause', resume: 'Resume', rollback: 'Roll back' } as const;
const meanings = {
  pause: 'What has begun is ended; no other host is begun.',
  resume: 'It goes on, and tries again where it has failed.',
  rollback: 'Every host goes back to the version before.',
} as const;

export interface RolloutDialogProps extends Omit<DeploymentDialogProps, 'driver'> {
  readonly act: RolloutAct;
}

export function RolloutDialog({ act, deployment, etag, close }: RolloutDialogProps): ReactElement {
  const { follow } = useToasts();
  const { driver_id: driver, version, previous_version: previous } = deployment;
  const to = act === 'rollback' ? ` from ${version} to ${previous}` : '';
  return (
    <ActDialog
      name="updateDriver"
      title={`${verbs[act]} ${driver}${to}`}
      verb={verbs[act]}
      isDangerous={act === 'rollback'}
      args={{ params: { driver_id: driver }, body: { act } }}
      ifMatch={etag}
      close={close}
      onDone={({ id }) => follow(id)}
    >
      <p>{meanings[act]}</p>
    </ActDialog>
  );
}

export interface ConfigureDialogProps extends DeploymentDialogProps {
  readonly backend: WantedBackend;
}

export function ConfigureDialog(props: ConfigureDialogProps): ReactElement {
  const { driver, backend, etag, close } = props;
  const { follow } = useToasts();
  const [text, setText] = useState(JSON.stringify(backend.config, null, 2));
  const [force, setForce] = useState(false);
  const config = toObject(text);
  const body = { backends: [{ name: backend.name, config: changesOf(backend.config, config) }] };
  return (
    <ActDialog
      name="updateDriver"
      title={`Configure ${backend.name} of ${driver.id}`}
      verb="Save"
      args={
        config === undefined
          ? undefined
          : { params: { driver_id: driver.id }, query: force ? { force } : {}, body }
      }
      ifMatch={etag}
      close={close}
      onDone={({ id }) => follow(id)}
    >
      <ConfigField
        id="configure-config"
        kind={driver.kinds.find(({ kind }) => kind === backend.kind)}
        value={text}
        onChange={setText}
      />
      <Force isChecked={force} onChange={setForce} />
    </ActDialog>
  );
}

/** The server merges keys: one that was taken away returns to its default. */
function changesOf(
  before: WantedBackend['config'],
  after: WantedBackend['config'] = {},
): WantedBackend['config'] {
  const gone = Object.keys(before).filter((key) => !(key in after));
  return { ...after, ...Object.fromEntries(gone.map((key) => [key, null])) };
}

export function UninstallDialog(props: DeploymentDialogProps): ReactElement {
  const { driver, deployment, etag, close } = props;
  const { follow } = useToasts();
  const [hosts, setHosts] = useState('');
  const [backend, setBackend] = useState('');
  const isAdmin = useIsAdmin();
  const [uses, setUses] = useState('');
  const from = toNames(hosts);
  const query = {
    ...(from.length === 0 ? {} : { host: from }),
    ...(backend === '' ? {} : { backend }),
    ...(uses === '' ? {} : { [uses]: true }),
  };
  return (
    <ActDialog
      name="uninstallDriver"
      title={`Uninstall ${driver.id}`}
      verb="Uninstall"
      isDangerous
      args={{ params: { driver_id: driver.id }, query }}
      ifMatch={etag}
      close={close}
      onDone={({ id }) => follow(id)}
    >
      <ChoiceField
        id="uninstall-backend"
        label="Backend"
        value={backend}
        onChange={setBackend}
        nothing="All of them"
        choices={[...new Set(deployment.backends.map(({ name }) => name))].map((name) => ({
          value: name,
          label: name,
        }))}
      />
      <TextField
        id="uninstall-hosts"
        label="From these hosts"
        value={hosts}
        onChange={setHosts}
        help="Names, with commas between them; empty: from every host."
      />
      {isAdmin && (
        <ChoiceField
          id="uninstall-uses"
          label="What is in use"
          value={uses}
          onChange={setUses}
          nothing="Keeps it from being uninstalled"
          choices={[
            { value: 'force', label: 'Is detached and cleaned first' },
            { value: 'keep_attached', label: 'Stays attached, without its driver' },
          ]}
        />
      )}
    </ActDialog>
  );
}

interface ForceProps {
  readonly isChecked: boolean;
  readonly onChange: (isChecked: boolean) => void;
}

function Force({ isChecked, onChange }: ForceProps): ReactElement | null {
  if (!useIsAdmin()) return null;
  return (
    <Checkbox
      id="deployment-force"
      label="Although something is in use"
      isChecked={isChecked}
      onChange={(_event, checked) => onChange(checked)}
    />
  );
}

/** Where a driver is installed, and how far a version has come. */
import { Progress, ProgressMeasureLocation } from '@patternfly/react-core';
import { ApiError } from '@cyborg/api-client/errors';
import type { ReactElement } from 'react';

import type { Reading } from '../../api/read.ts';
import { ActButton } from '../../components/act-button.tsx';
import { BackendLink, HostLink } from '../../components/links.tsx';
import { ListTable, type Column } from '../../components/list-table.tsx';
import { Empty, Failure, Loading } from '../../components/outcomes.tsx';
import { State } from '../../components/states.tsx';
import { Panel } from '../../components/thing-page.tsx';
import type { Deployment, RolloutAct, WantedBackend } from './deployment-dialog.tsx';

type Installation = Deployment['installations'][number];

export interface DeploymentPanelProps {
  readonly mayShow: boolean;
  readonly reading: Reading<Deployment>;
  readonly onAct: (act: RolloutAct) => void;
  readonly onConfigure: (backend: WantedBackend) => void;
}

export function DeploymentPanel(props: DeploymentPanelProps): ReactElement {
  return (
    <Panel title="Where it is installed">
      <Content {...props} />
    </Panel>
  );
}

function Content({ mayShow, reading, onAct, onConfigure }: DeploymentPanelProps): ReactElement {
  const { data, error, again } = reading;
  if (!mayShow) {
    return <Empty title="Not for you">Admins and managers see where drivers are installed.</Empty>;
  }
  if (error instanceof ApiError && error.status === 404) {
    return (
      <Empty title="Nowhere">
        Install puts its default backends on the hosts that you may use.
      </Empty>
    );
  }
  if (error !== null) return <Failure error={error} what="The deployment" again={again} />;
  if (data === undefined) return <Loading what="installations" />;
  return (
    <>
      <RollOut deployment={data} onAct={onAct} />
      <ListTable
        label="Installations"
        items={data.installations}
        columns={installationColumns}
        keyOf={({ host }) => host}
      />
      <ListTable
        label="Backends of the deployment"
        items={data.backends}
        columns={backendColumnsWith(onConfigure)}
        keyOf={({ name, hosts }) => `${name} ${hosts?.join(' ')}`}
      />
    </>
  );
}

const rolloutWords = {
  running: 'is coming to its hosts',
  paused: 'is paused: no other host is begun before Resume',
  stopped:
    'has stopped, because too many hosts have failed: mend what their reasons name, then Resume; or Roll back',
  done: 'runs wherever it is wanted',
} as const;

interface RollOutProps {
  readonly deployment: Deployment;
  readonly onAct: (act: RolloutAct) => void;
}

function RollOut({ deployment, onAct }: RollOutProps): ReactElement {
  const { version, previous_version: previous, rollout_state: state, installations } = deployment;
  const done = installations.filter((one) => isDone(one, version)).length;
  const failed = installations.filter((one) => one.failed_version === version).length;
  const total = installations.length;
  const isGoing = state === 'running';
  return (
    <div className="console-rollout">
      <Progress
        title={`Version ${version} ${rolloutWords[state]}`}
        value={total === 0 ? 0 : (100 * done) / total}
        label={`${done} of ${total} hosts${failed === 0 ? '' : `, ${failed} went back`}`}
        measureLocation={ProgressMeasureLocation.outside}
        {...variantOf(state)}
      />
      <div className="console-acts">
        <ActButton
          action="deployment:update"
          obstacle={isGoing ? undefined : 'Nothing is under way.'}
          onClick={() => onAct('pause')}
        >
          Pause
        </ActButton>
        <ActButton
          action="deployment:update"
          obstacle={
            state === 'paused' || state === 'stopped' ? undefined : 'It has not been paused.'
          }
          onClick={() => onAct('resume')}
        >
          Resume
        </ActButton>
        <ActButton
          action="deployment:update"
          obstacle={previous === null ? 'There was no version before this one.' : undefined}
          onClick={() => onAct('rollback')}
        >
          Roll back
        </ActButton>
      </div>
    </div>
  );
}

function isDone({ state, running_version: running }: Installation, version: string): boolean {
  return state === 'ready' && running === version;
}

function variantOf(state: Deployment['rollout_state']): {
  variant?: 'success' | 'warning' | 'danger';
} {
  if (state === 'done') return { variant: 'success' };
  if (state === 'stopped') return { variant: 'danger' };
  return state === 'paused' ? { variant: 'warning' } : {};
}

const installationColumns: readonly Column<Installation>[] = [
  { title: 'Host', cell: ({ host }) => <HostLink host={host} /> },
  { title: 'Wanted', cell: ({ wanted_version: version }) => version },
  { title: 'Running', cell: ({ running_version: version }) => version ?? 'none' },
  { title: 'State', cell: ({ state }) => <State state={state} /> },
  { title: 'Reason', cell: reasonOf, wraps: true },
];

function reasonOf({ reason, failed_version: failed, failed_reason: why }: Installation): string {
  const back = failed === null ? '' : `Went back from ${failed}: ${why ?? 'it gave no reason'}`;
  return [reason ?? '', back].filter((text) => text !== '').join(' ');
}

function backendColumnsWith(
  onConfigure: (backend: WantedBackend) => void,
): readonly Column<WantedBackend>[] {
  return [
    {
      title: 'Backend',
      cell: ({ name, hosts }) =>
        hosts?.length === 1 ? <BackendLink host={hosts[0] ?? ''} name={name} /> : name,
    },
    { title: 'Kind', cell: ({ kind }) => kind },
    { title: 'Hosts', cell: placeOf, wraps: true },
    {
      title: 'Configuration',
      cell: ({ config }) => <code>{JSON.stringify(config)}</code>,
      wraps: true,
    },
    {
      title: 'Acts',
      cell: (backend) => (
        <ActButton
          action="deployment:update"
          variant="link"
          size="sm"
          onClick={() => onConfigure(backend)}
        >
          Configure
        </ActButton>
      ),
    },
  ];
}

function placeOf({ hosts, labels }: WantedBackend): string {
  return hosts?.join(', ') ?? (labels === null ? 'all' : JSON.stringify(labels));
}

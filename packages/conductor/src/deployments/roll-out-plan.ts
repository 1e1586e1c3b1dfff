/** What a deployment still wants of the hosts: a function of values, so that every case can be tested. */
import {
  installationLifecycle,
  type InstallationState,
} from '@cyborg/model/installation-lifecycle';
import type {
  BackendConfig,
  BackendState,
  HostSelector,
  Rollout,
} from '@cyborg/store/schema-deployments';
import { isDeepStrictEqual } from 'node:util';

import { selects, type SelectableHost } from './selectors.ts';

export interface WantedBackend {
  readonly name: string;
  readonly kind: string;
  readonly config: BackendConfig;
  readonly selector: HostSelector;
}

export interface FoundInstallation {
  readonly id: string;
  readonly host_id: string;
  readonly wanted_version: string;
  readonly failed_version: string | null;
  readonly state: InstallationState;
}

export interface FoundBackend {
  readonly id: string;
  readonly host_id: string;
  readonly name: string;
  readonly kind: string;
  readonly config: BackendConfig;
  readonly state: BackendState;
  readonly generation: number;
  readonly observed_generation: number;
  readonly refused_generation: number | null;
}

export interface RollOutHost extends SelectableHost {
  readonly name: string;
  readonly isUp: boolean;
}

export interface RollOutFacts {
  readonly version: string;
  readonly rollout: Rollout;
  readonly isPaused: boolean;
  /** When the next batch begins; null: not said yet. */
  readonly resumeAt: Date | null;
  readonly now: Date;
  readonly wanted: readonly WantedBackend[];
  /** Enabled ones. */
  readonly hosts: readonly RollOutHost[];
  readonly installations: readonly FoundInstallation[];
  readonly backends: readonly FoundBackend[];
}

export interface HostPlan {
  readonly hostId: string;
  /** Undefined: as it should be. */
  readonly installation: 'add' | 'again' | 'update' | undefined;
  readonly found: FoundInstallation | undefined;
  readonly addedBackends: readonly WantedBackend[];
  /** Changed, or wanted again after a forced uninstall. */
  readonly changedBackends: readonly { readonly id: string; readonly wanted: WantedBackend }[];
}

export interface RollOutPlan {
  readonly hosts: readonly HostPlan[];
  /** Hosts that wait for others of their batch. */
  readonly waiting: number;
  /** Too many have failed: nothing more is begun. */
  readonly stoppedBy: string | undefined;
  /** To be written down: when the next batch begins; null when it has begun. Undefined: as it was. */
  readonly resumeAt: Date | null | undefined;
}

export function planRollOut(facts: RollOutFacts): RollOutPlan {
  const plans = inOrder(facts).flatMap((host) => planHost(facts, host) ?? []);
  const idle = { hosts: [], waiting: plans.length, stoppedBy: undefined, resumeAt: undefined };
  if (facts.isPaused) return idle;
  const stoppedBy = stopOf(facts);
  if (!isStaged(facts.rollout)) {
    // One that failed on a host is brought to no host that was away.
    const hosts = plans.filter((plan) => stoppedBy === undefined || plan.installation !== 'update');
    return { ...idle, hosts, waiting: plans.length - hosts.length, stoppedBy };
  }
  if (stoppedBy !== undefined) return { ...idle, stoppedBy };
  const away = new Set(facts.hosts.filter(({ isUp }) => !isUp).map(({ id }) => id));
  // Those that are away would keep all others waiting: they catch up when they are back.
  const ready = plans.filter(({ hostId }) => !away.has(hostId));
  const busy = busyHosts(facts, plans).filter((id) => !away.has(id)).length;
  return { ...idle, ...nextWave(facts, { ready, busy, all: plans.length }) };
}

export function isStaged({ batch, canary, canary_hosts, pause_seconds }: Rollout): boolean {
  return [batch, canary, canary_hosts, pause_seconds].some((part) => part !== undefined);
}

interface Wave {
  readonly ready: readonly HostPlan[];
  readonly busy: number;
  readonly all: number;
}

function nextWave(
  facts: RollOutFacts,
  { ready, busy, all }: Wave,
): Pick<RollOutPlan, 'hosts' | 'waiting' | 'resumeAt'> {
  const { rollout, resumeAt, now } = facts;
  const begun = begunHosts(facts);
  const canary = Math.max(rollout.canary ?? 0, rollout.canary_hosts?.length ?? 0);
  const pauseMs = (rollout.pause_seconds ?? 0) * 1000;
  const isFirst = begun < Math.max(canary, 1);
  const inWaves = pauseMs > 0 || (canary > 0 && begun <= canary);
  const waiting = { hosts: [], waiting: all, resumeAt: undefined };
  if (!isFirst && inWaves && busy > 0) return waiting;
  if (!isFirst && pauseMs > 0 && ready.length > 0) {
    if (resumeAt === null) return { ...waiting, resumeAt: new Date(now.getTime() + pauseMs) };
    if (resumeAt > now) return waiting;
  }
  const room = (rollout.batch ?? Number.POSITIVE_INFINITY) - busy;
  const free = Math.max(0, isFirst && canary > 0 ? Math.min(room, canary - begun) : room);
  const hosts = ready.slice(0, free);
  const hasBegun = hosts.length > 0 && resumeAt !== null;
  return { hosts, waiting: all - hosts.length, resumeAt: hasBegun ? null : undefined };
}

/** The hosts that were named to go first do; the others by name. */
function inOrder({ hosts, rollout }: RollOutFacts): readonly RollOutHost[] {
  const first = new Set(rollout.canary_hosts);
  return [
    ...hosts.filter(({ name }) => first.has(name)),
    ...hosts.filter(({ name }) => !first.has(name)),
  ];
}

/** The host with which there were too many failures. */
function stopOf(facts: RollOutFacts): string | undefined {
  return failedHosts(facts).at(facts.rollout.max_failures ?? 0);
}

export type FailableInstallation = Pick<
  FoundInstallation,
  'host_id' | 'failed_version' | 'state' | 'wanted_version'
>;
export type RefusableBackend = Pick<
  FoundBackend,
  'host_id' | 'name' | 'kind' | 'config' | 'generation' | 'refused_generation'
>;
type Failable = Pick<RollOutFacts, 'version' | 'rollout' | 'wanted'> & {
  readonly installations: readonly FailableInstallation[];
  readonly backends: readonly RefusableBackend[];
};

/** A configuration that is refused stops a paced roll-out; one without a pace has given it to every host already. */
export function failedHosts(facts: Failable): string[] {
  const { installations, version, rollout } = facts;
  const failed = [
    ...installations.filter((row) => hasFailed(row, version)),
    ...(isStaged(rollout) ? facts.backends.filter((row) => hasRefused(row, facts)) : []),
  ];
  return [...new Set(failed.map(({ host_id }) => host_id))];
}

function hasFailed(row: FailableInstallation, version: string): boolean {
  return (
    row.failed_version === version || (row.state === 'failed' && row.wanted_version === version)
  );
}

/** Its driver, in the version that is wanted, said of the configuration that is wanted that it cannot be. */
function hasRefused(row: RefusableBackend, { wanted, installations, version }: Failable): boolean {
  if (row.refused_generation !== row.generation) return false;
  const wish = wanted.find(({ name }) => name === row.name);
  const isWanted = wish?.kind === row.kind && isDeepStrictEqual(row.config, wish.config);
  return (
    isWanted &&
    installations.some((one) => one.host_id === row.host_id && one.wanted_version === version)
  );
}

/** Hosts of the deployment that this version was brought to, whatever became of it. */
function begunHosts({ wanted, hosts, installations, version }: RollOutFacts): number {
  return hosts.filter((host) => {
    const isMeant = wanted.some(({ selector }) => selects(selector, host));
    const row = installations.find(({ host_id }) => host_id === host.id);
    if (!isMeant || row === undefined || row.state === 'removed') return false;
    return row.wanted_version === version || row.failed_version === version;
  }).length;
}

function busyHosts(facts: RollOutFacts, plans: readonly HostPlan[]): string[] {
  const planned = new Set(plans.map(({ hostId }) => hostId));
  return facts.hosts
    .map(({ id }) => id)
    .filter((id) => (!planned.has(id) || hasBegunVersion(facts, id)) && isBusy(facts, id));
}

function hasBegunVersion({ installations, version }: RollOutFacts, hostId: string): boolean {
  return installations.some((row) => row.host_id === hostId && row.wanted_version === version);
}

function isBusy(facts: RollOutFacts, hostId: string): boolean {
  const installation = facts.installations.find(({ host_id }) => host_id === hostId);
  if (installation !== undefined && !installationLifecycle.rules[installation.state].settled) {
    return true;
  }
  return facts.backends.some(
    (backend) => backend.host_id === hostId && backend.observed_generation < backend.generation,
  );
}

function planHost(facts: RollOutFacts, host: SelectableHost): HostPlan | undefined {
  const wanted = facts.wanted.filter(({ selector }) => selects(selector, host));
  if (wanted.length === 0) return undefined;
  const found = facts.installations.find(({ host_id }) => host_id === host.id);
  // It is on its way out: what is wanted again begins when it is gone.
  if (found?.state === 'removing') return undefined;
  const backends = facts.backends.filter(({ host_id }) => host_id === host.id);
  const installation = installationChange(found, facts.version);
  const addedBackends = wanted.filter(({ name }) => !backends.some((row) => row.name === name));
  const changedBackends = wanted.flatMap((wish) => {
    const row = backends.find(({ name }) => name === wish.name);
    return row !== undefined && mustChange(row, wish) ? [{ id: row.id, wanted: wish }] : [];
  });
  if (installation === undefined && addedBackends.length + changedBackends.length === 0) {
    return undefined;
  }
  return { hostId: host.id, installation, found, addedBackends, changedBackends };
}

function installationChange(
  found: FoundInstallation | undefined,
  version: string,
): HostPlan['installation'] {
  if (found === undefined) return 'add';
  if (found.state === 'removed') return 'again';
  // It went back from it, and waits for a person.
  if (found.failed_version === version) return undefined;
  return found.wanted_version === version ? undefined : 'update';
}

function mustChange(row: FoundBackend, wish: WantedBackend): boolean {
  // What is wanted again begins when it is gone.
  if (row.state === 'draining') return false;
  if (row.state === 'removing') return row.observed_generation >= row.generation;
  return !isDeepStrictEqual(row.config, wish.config) || row.kind !== wish.kind;
}

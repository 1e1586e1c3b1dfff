/** What a deployment still wants of the hosts: a function of values, so that every case can be tested. */
import {
  installationLifecycle,
  type InstallationState,
} from '@cyborg/model/installation-lifecycle';
import type { BackendConfig, BackendState, HostSelector, Rollout } from '@cyborg/store/schema';
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
}

export interface RollOutFacts {
  readonly version: string;
  readonly rollout: Rollout;
  readonly wanted: readonly WantedBackend[];
  /** Enabled ones. */
  readonly hosts: readonly SelectableHost[];
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
  /** With a batch size, a host that failed stops the roll-out. */
  readonly stoppedBy: string | undefined;
}

export function planRollOut(facts: RollOutFacts): RollOutPlan {
  const plans = facts.hosts.flatMap((host) => planHost(facts, host) ?? []);
  const { batch } = facts.rollout;
  if (batch === undefined) return { hosts: plans, waiting: 0, stoppedBy: undefined };
  const failed = facts.installations.find(
    ({ state, wanted_version }) => state === 'failed' && wanted_version === facts.version,
  );
  if (failed !== undefined) {
    return { hosts: [], waiting: plans.length, stoppedBy: failed.host_id };
  }
  const planned = new Set(plans.map(({ hostId }) => hostId));
  const busy = facts.hosts.filter(({ id }) => !planned.has(id) && isBusy(facts, id)).length;
  const free = Math.max(0, batch - busy);
  return {
    hosts: plans.slice(0, free),
    waiting: Math.max(0, plans.length - free),
    stoppedBy: undefined,
  };
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
  return found.wanted_version === version ? undefined : 'update';
}

function mustChange(row: FoundBackend, wish: WantedBackend): boolean {
  if (row.state === 'removing') return row.observed_generation >= row.generation;
  return !isDeepStrictEqual(row.config, wish.config) || row.kind !== wish.kind;
}

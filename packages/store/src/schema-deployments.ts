/** The tables of drivers on hosts: what is wanted of them, and what is there (migrations/deployment-tables.ts). */
import type { InstallationState } from '@cyborg/model/installation-lifecycle';
import type { Generated } from 'kysely';

import type {
  Instant,
  Json,
  JsonWithDefault,
  Strings,
  Timestamps,
  WorkItem,
} from './schema-columns.ts';

export interface Rollout {
  /** Hosts changed at once; absent = all. */
  readonly batch?: number;
  /** So many hosts go first, and all others wait until they are done. */
  readonly canary?: number;
  /** Names of hosts that go before all others. */
  readonly canary_hosts?: readonly string[];
  /** After a batch, before the next. */
  readonly pause_seconds?: number;
  /** Hosts that may fail before nothing more is begun; absent = 0. */
  readonly max_failures?: number;
}

export interface DeploymentTable extends Timestamps {
  id: string;
  driver_id: string;
  version: string;
  previous_version: string | null;
  /** Set by a rollback, until another version is wanted. */
  rolled_back_from: string | null;
  rollout: JsonWithDefault<Rollout>;
  /** By somebody: nothing more is begun. */
  rollout_paused: Generated<boolean>;
  /** When the next batch begins; null while one runs. */
  rollout_resume_at: Instant | null;
  generation: Generated<number>;
}

/**
 * Which hosts a backend is for: all of them, these (ids), or those that carry all of these labels. `except_host_ids` are
 * the hosts that it has been uninstalled from.
 */
export type HostSelector =
  | { readonly kind: 'all'; readonly except_host_ids?: readonly string[] }
  | { readonly kind: 'hosts'; readonly host_ids: readonly string[] }
  | {
      readonly kind: 'labels';
      readonly labels: Strings;
      readonly except_host_ids?: readonly string[];
    };

export type BackendConfig = Readonly<Record<string, unknown>>;

export interface DeploymentBackendTable extends Timestamps {
  id: string;
  deployment_id: string;
  name: string;
  kind: string;
  config: Json<BackendConfig>;
  selector: Json<HostSelector>;
  created_by_project: string | null;
}

export interface InstallationTable extends Timestamps, WorkItem {
  id: string;
  host_id: string;
  driver_id: string;
  wanted_version: string;
  running_version: string | null;
  /** The version that the host went back from, until somebody wants another one or has it tried again. */
  failed_version: string | null;
  failed_reason: string | null;
  state: InstallationState;
  reason: string | null;
  /** Since when its driver, which kept dying, is not started again by itself. */
  quarantined_at: Instant | null;
  /** The last lines of its driver, oldest first. */
  log: JsonWithDefault<readonly DriverLogLine[]>;
  /** What its driver measured last, by the backend's name. */
  stats: JsonWithDefault<Readonly<Record<string, BackendStats>>>;
  restart_requested: Generated<number>;
  restart_done: Generated<number>;
  generation: Generated<number>;
}

export interface BackendStats {
  /** By the host's clock. */
  readonly at: string;
  readonly figures: Readonly<Record<string, number>>;
}

export interface DriverLogLine {
  /** By the host's clock. */
  readonly at: string;
  readonly level: 'debug' | 'info' | 'warn' | 'error' | 'stderr' | 'agent';
  readonly message: string;
}

/** `draining`: uninstalled by force, and goes as soon as nobody has an accelerator of it. */
export type BackendState =
  | 'pending'
  | 'ready'
  | 'stale'
  | 'failed'
  | 'blocked'
  | 'draining'
  | 'removing';

/** An accelerator made by request on a backend (`accelerator-create`): the driver reads it in its configuration. */
export interface BackendAddition {
  readonly key: string;
  readonly [field: string]: unknown;
}

export interface BackendTable extends Timestamps {
  id: string;
  host_id: string;
  installation_id: string;
  name: string;
  driver_id: string;
  kind: string;
  config: Json<BackendConfig>;
  additions: JsonWithDefault<readonly BackendAddition[]>;
  generation: Generated<number>;
  observed_generation: Generated<number>;
  /** Generation whose configuration its driver said cannot be. */
  refused_generation: number | null;
  status: Generated<'enabled' | 'disabled'>;
  state: BackendState;
  reason: string | null;
  stale_since: Instant | null;
  inventory_hash: string | null;
  inventory_changed_at: Instant | null;
  discovery_requested: Generated<number>;
  discovery_done: Generated<number>;
}

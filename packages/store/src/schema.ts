/** The tables as Kysely sees them: one interface a table, columns as the migrations made them. */
import type { AcceleratorState } from '@cyborg/model/accelerator-lifecycle';
import type {
  AttachmentOrigin,
  AttachmentState,
  ObservedPlug,
  PluggedBy,
} from '@cyborg/model/attachment-lifecycle';
import type { InstallationState } from '@cyborg/model/installation-lifecycle';
import type { OperationKind, OperationState } from '@cyborg/model/operation-lifecycle';
import type { HealthStatus } from '@cyborg/model/offering';
import type { ColumnType, Generated, GeneratedAlways } from 'kysely';

import type {
  BigInteger,
  Instant,
  Json,
  JsonWithDefault,
  Strings,
  Timestamps,
  WorkItem,
} from './schema-columns.ts';
import type {
  ConsoleKeyTable,
  EventCounterTable,
  EventTable,
  IdempotencyKeyTable,
  KeptEventTable,
  LedgerTable,
  ReplicaTable,
} from './schema-control.ts';
import type {
  DriverPackagePieceTable,
  DriverPackageTable,
  DriverTable,
  DriverVersionTable,
} from './schema-drivers.ts';
import type {
  NovaEventTable,
  NovaServerTable,
  NovaWatchTable,
  PlacementProviderTable,
} from './schema-openstack.ts';
import type {
  ArqBindTable,
  ProgrammingTable,
  StagedImagePieceTable,
  StagedImageTable,
} from './schema-programs.ts';

export interface HostCondition {
  readonly kind: string;
  readonly message: string;
  readonly blocks_attaching: boolean;
}

export interface HostPlug {
  readonly hypervisor: string;
  readonly healthy: boolean;
  readonly reason: string | null;
  readonly plugs: readonly string[];
}

export interface HostTable extends Timestamps {
  id: string;
  name: string;
  node_name: string;
  service_host: string | null;
  status: Generated<'enabled' | 'disabled'>;
  status_reason: string | null;
  labels: JsonWithDefault<Strings>;
  simulated: Generated<boolean>;
  facts: JsonWithDefault<Strings>;
  conditions: JsonWithDefault<readonly HostCondition[]>;
  credential_hash: string | null;
  revoked_at: Instant | null;
  agent_instance: string | null;
  agent_version: string | null;
  agent_since: Instant | null;
  lease_expires_at: Instant | null;
  plugs: JsonWithDefault<readonly HostPlug[]>;
  instances_reported_at: Instant | null;
  first_inventory_at: Instant | null;
}

export interface JoinTokenTable {
  id: string;
  token_hash: string;
  host_name: string | null;
  is_reenrol: Generated<boolean>;
  is_simulated: Generated<boolean>;
  expires_at: Instant;
  used_at: Instant | null;
  created_by: string;
  created_at: Instant;
}

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

export interface ServiceTable extends Timestamps {
  id: string;
  host_id: string;
  backend_id: string;
  name: string;
  kind: 'function' | 'daemon';
  status: Generated<'enabled' | 'disabled'>;
  state: 'up' | 'down';
  reason: string | null;
}

export interface DeviceTable extends Timestamps {
  id: string;
  number: GeneratedAlways<number>;
  host_id: string;
  backend_id: string;
  key: string;
  address: string | null;
  vendor_id: string | null;
  device_id: string | null;
  class: string | null;
  type: string;
  /** Upstream's word for the type; null = stays out of v2. */
  v2_type: GeneratedAlways<string | null>;
  vendor: string | null;
  model: string | null;
  serial: string | null;
  numa_node: number | null;
  iommu_group: number | null;
  kernel_driver: string | null;
  status: Generated<'enabled' | 'maintaining'>;
  presence: 'present' | 'absent';
  absent_since: Instant | null;
  health: HealthStatus;
  health_reason: string | null;
  info: JsonWithDefault<Strings>;
}

export interface DeployableTable extends Timestamps {
  id: string;
  number: GeneratedAlways<number>;
  parent_number: number | null;
  root_number: number | null;
  device_id: string;
  key: string;
  name: string;
  resource_class: string;
  traits: JsonWithDefault<readonly string[]>;
  /** Its device's type has a word in v2. */
  in_v2: Generated<boolean>;
  /** Of its resource provider; null = does not bind through v2. */
  rp_uuid: string | null;
  /** Glance's id of the image that was written last; null = none, or unknown after a failure. */
  bitstream_id: string | null;
  /** Of that image: what it makes of the card. */
  function_id: string | null;
}

export interface AttributeTable extends Timestamps {
  id: string;
  number: GeneratedAlways<number>;
  deployable_id: string;
  key: string;
  value: string;
  is_operators: Generated<boolean>;
}

/** What a project may write on the accelerators that it holds. */
export interface TenantWords {
  readonly name: string;
  readonly description: string | null;
  readonly labels: Strings;
}

export interface AcceleratorTable extends Timestamps, WorkItem {
  id: string;
  deployable_id: string;
  device_id: string;
  backend_id: string;
  host_id: string;
  key: string;
  name: string;
  description: string | null;
  labels: JsonWithDefault<Strings>;
  /** What a tenant has changed, as it was; a trigger puts it back when the accelerator leaves the project. */
  before_tenant: ColumnType<TenantWords | null, string | null | undefined, string | null>;
  type: string;
  resource_class: string;
  traits: JsonWithDefault<readonly string[]>;
  plans: JsonWithDefault<readonly string[]>;
  attach_info: JsonWithDefault<Strings>;
  /** Its device's. */
  numa_node: number | null;
  /** Of the function that is plugged, among its host's; its accelerators are given whole. Null: none, or not known. */
  iommu_group: number | null;
  /** Addresses of the group's other functions. */
  group_members: JsonWithDefault<readonly string[]>;
  /** Address of the root port above it. */
  pcie_root: string | null;
  driver_id: string;
  state: AcceleratorState;
  /** Why it is withheld, or why cleaning failed. */
  reason: string | null;
  operator_choice: 'offer' | 'withhold' | null;
  operator_reason: string | null;
  /** Why an operator accepts that it is given out without a reset where it has none. */
  resetless_reason: string | null;
  rule_offers: boolean;
  driver_reason: string | null;
  obstacle: string | null;
  host_use: string | null;
  /** Why it may be a card that somebody holds; until an operator says that it is not. */
  doubt: string | null;
  /** Project it is kept for, or null. */
  reserved_for: string | null;
  presence: 'present' | 'absent';
  absent_since: Instant | null;
  health: HealthStatus;
  epoch: BigInteger;
  /** Of the live attachment, with its instance and project: what lists show without a join. */
  attachment_id: string | null;
  instance_id: string | null;
  project_id: string | null;
  /** That waits for it to be clean. */
  operation_id: string | null;
  /** Of the programming that writes its deployable now. */
  programming_id: string | null;
  /** Why the last writing of its deployable failed; until another succeeds, it is withheld. */
  program_failure: string | null;
  created_by_request: Generated<boolean>;
  /** W3C traceparent of what it was last changed for, as far as that was traced. */
  trace_parent: string | null;
}

export interface InstanceTable extends Timestamps {
  id: string;
  host_id: string;
  name: string;
  hypervisor: string;
  state: string;
  plugs: JsonWithDefault<readonly string[]>;
  /** Host nodes of its memory and CPUs; empty: not known. */
  numa_nodes: JsonWithDefault<readonly number[]>;
  project_id: string | null;
  project_source: 'hypervisor' | 'operator' | 'nova' | null;
  is_present: boolean;
  missing_since: Instant | null;
  missing_seen: Generated<number>;
  is_vanished: Generated<boolean>;
}

export type ProfileGroup = Readonly<Record<string, string>>;

export interface DeviceProfileTable extends Timestamps {
  id: string;
  number: GeneratedAlways<number>;
  name: string;
  description: string | null;
  groups: Json<readonly ProfileGroup[]>;
}

export interface OperationResult {
  readonly host: string | null;
  readonly subject: string;
  readonly outcome: 'succeeded' | 'failed' | 'pending';
  readonly message: string | null;
}

export interface OperationTable extends Timestamps, WorkItem {
  id: string;
  kind: OperationKind;
  state: OperationState;
  subject: Json<Readonly<Record<string, unknown>>>;
  progress_done: Generated<number>;
  progress_total: Generated<number>;
  results: JsonWithDefault<readonly OperationResult[]>;
  error: string | null;
  host_id: string | null;
  user_id: string;
  project_id: string;
  deadline_at: Instant | null;
  finished_at: Instant | null;
  /** W3C traceparent of what it was last changed for, as far as that was traced. */
  trace_parent: string | null;
}

export interface AttachmentTable extends Timestamps, WorkItem {
  id: string;
  number: GeneratedAlways<number>;
  accelerator_id: string | null;
  host_id: string | null;
  instance_id: string | null;
  project_id: string;
  user_id: string;
  origin: AttachmentOrigin;
  state: AttachmentState;
  reason: string | null;
  plugged_by: PluggedBy;
  observed: Generated<ObservedPlug>;
  /** Of the latest act on the accelerator; the fence. */
  epoch: Generated<BigInteger>;
  /** Of the act that gave it: part of the device's name in the hypervisor. */
  device_epoch: Generated<BigInteger>;
  profile_id: string | null;
  profile_group: number | null;
  /** v2: unbound, not new. */
  was_bound: Generated<boolean>;
  /** v2: what the binder called the host. */
  hostname: string | null;
  operation_id: string | null;
  /** Placement's, under the attachment's own id: to be made before the host is told, or there; null: none. */
  allocation: 'wanted' | 'made' | null;
  /** v2: of the PATCH that binds it after a program image was written. */
  bind_id: string | null;
  /** When what has failed is given again by itself; null: it has not, or a person is waited for. */
  again_at: Instant | null;
  /** How often in a row giving it again has failed. */
  again_count: Generated<number>;
  /** PCI addresses that its instance may still name as its own: where its card was before it moved. */
  left_addresses: JsonWithDefault<readonly string[]>;
  /** W3C traceparent of what it was last changed for, as far as that was traced. */
  trace_parent: string | null;
}

export interface UnclaimedTable extends Timestamps {
  id: string;
  host_id: string;
  instance_id: string;
  device_name: string;
  /** Which accelerator it is, as its host says; the ledger need not know such a one. */
  accelerator_id: string | null;
  /** PCI address of the function that it is, as its host says; lower case, four digits of domain or more. */
  address: string | null;
  ordered: 'release' | null;
  /** What keeps an ordered release from being done. */
  reason: string | null;
  first_seen_at: Instant;
}

export interface QuotaTable extends Timestamps {
  project_id: string;
  type: string;
  accelerators_max: number;
}

export interface AccessGrantTable {
  id: string;
  project_id: string;
  host_id: string;
  /** One backend of the host, or null for all of it. */
  backend_name: string | null;
  created_by: string;
  created_at: Instant;
}

export interface Database {
  ledger: LedgerTable;
  console_key: ConsoleKeyTable;
  replica: ReplicaTable;
  host: HostTable;
  join_token: JoinTokenTable;
  driver: DriverTable;
  driver_version: DriverVersionTable;
  driver_package: DriverPackageTable;
  driver_package_piece: DriverPackagePieceTable;
  deployment: DeploymentTable;
  deployment_backend: DeploymentBackendTable;
  installation: InstallationTable;
  backend: BackendTable;
  service: ServiceTable;
  device: DeviceTable;
  deployable: DeployableTable;
  attribute: AttributeTable;
  accelerator: AcceleratorTable;
  instance: InstanceTable;
  device_profile: DeviceProfileTable;
  operation: OperationTable;
  attachment: AttachmentTable;
  arq_bind: ArqBindTable;
  staged_image: StagedImageTable;
  staged_image_piece: StagedImagePieceTable;
  programming: ProgrammingTable;
  nova_event: NovaEventTable;
  nova_server: NovaServerTable;
  nova_watch: NovaWatchTable;
  placement_provider: PlacementProviderTable;
  unclaimed: UnclaimedTable;
  quota: QuotaTable;
  access_grant: AccessGrantTable;
  event: EventTable;
  event_counter: EventCounterTable;
  kept_event: KeptEventTable;
  idempotency_key: IdempotencyKeyTable;
}

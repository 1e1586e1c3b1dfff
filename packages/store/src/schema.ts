/** The tables as Kysely sees them: one interface a table, columns as the migrations made them. */
import type {
  AttachmentOrigin,
  AttachmentState,
  ObservedPlug,
  PluggedBy,
} from '@cyborg/model/attachment-lifecycle';
import type { OperationKind, OperationState } from '@cyborg/model/operation-lifecycle';
import type { Generated, GeneratedAlways } from 'kysely';

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
  BackendTable,
  DeploymentBackendTable,
  DeploymentTable,
  InstallationTable,
} from './schema-deployments.ts';
import type {
  DriverPackagePieceTable,
  DriverPackageTable,
  DriverTable,
  DriverVersionTable,
} from './schema-drivers.ts';
import type {
  AcceleratorTable,
  AttributeTable,
  DeployableTable,
  DeviceTable,
  ServiceTable,
} from './schema-inventory.ts';
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

/** The tables of what drivers find on hosts (migrations/inventory-tables.ts). */
import type { AcceleratorState } from '@cyborg/model/accelerator-lifecycle';
import type { HealthStatus } from '@cyborg/model/offering';
import type { ColumnType, Generated, GeneratedAlways } from 'kysely';

import type {
  BigInteger,
  Instant,
  JsonWithDefault,
  Strings,
  Timestamps,
  WorkItem,
} from './schema-columns.ts';

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

/** What a driver reported, as rows; and how rows that exist differ from it. */
import { isDeepStrictEqual } from 'node:util';

import type {
  AcceleratorTable,
  AttributeTable,
  DeployableTable,
  DeviceTable,
  ServiceTable,
} from '@cyborg/store/schema-inventory';
import { v2TypeOf } from '@cyborg/model/v2/types';
import type { AttachmentRow } from '@cyborg/store/holdings';
import type { Selectable } from 'kysely';

import type { Tx } from '../deps.ts';
import { secondTo } from './taken.ts';
import type { ReportedAccelerator, ReportedDeployable, ReportedDevice } from './parse.ts';

export type DeviceRow = Selectable<DeviceTable>;
export type DeployableRow = Selectable<DeployableTable>;
export type AcceleratorRow = Selectable<AcceleratorTable>;
export type AttributeRow = Selectable<AttributeTable>;
export type ServiceRow = Selectable<ServiceTable>;

/** Everything the ledger has of one backend. */
export interface Known {
  readonly devices: readonly DeviceRow[];
  readonly deployables: readonly DeployableRow[];
  readonly accelerators: readonly AcceleratorRow[];
  readonly attributes: readonly AttributeRow[];
  readonly services: readonly ServiceRow[];
  /** Of the whole host. */
  readonly holdings: readonly HoldingRow[];
}

/** What an instance has, or is getting. */
export interface HoldingRow {
  readonly accelerator_id: string;
  readonly name: string;
  readonly state: AcceleratorRow['state'];
  readonly attachment_state: AttachmentRow['state'];
  readonly left_addresses: readonly string[];
}

export async function readKnown(
  tx: Tx,
  { id: backendId, host_id: hostId }: { readonly id: string; readonly host_id: string },
): Promise<Known> {
  const ofBackend = tx.selectFrom('device').select('id').where('backend_id', '=', backendId);
  const devices = await tx
    .selectFrom('device')
    .selectAll()
    .where('backend_id', '=', backendId)
    .execute();
  const deployables = await tx
    .selectFrom('deployable')
    .selectAll()
    .where('device_id', 'in', ofBackend)
    .execute();
  const accelerators = await tx
    .selectFrom('accelerator')
    .selectAll()
    .where('backend_id', '=', backendId)
    .execute();
  const attributes = await tx
    .selectFrom('attribute')
    .selectAll('attribute')
    .innerJoin('deployable', 'deployable.id', 'attribute.deployable_id')
    .where('deployable.device_id', 'in', ofBackend)
    .where('attribute.is_operators', '=', false)
    .execute();
  const services = await tx
    .selectFrom('service')
    .selectAll()
    .where('backend_id', '=', backendId)
    .execute();
  const holdings = await tx
    .selectFrom('accelerator')
    .innerJoin('attachment', 'attachment.id', 'accelerator.attachment_id')
    .select(['accelerator.id as accelerator_id', 'accelerator.name', 'accelerator.state'])
    .select(['attachment.state as attachment_state', 'attachment.left_addresses'])
    .where('accelerator.host_id', '=', hostId)
    .orderBy('accelerator.id')
    .execute();
  return { devices, deployables, accelerators, attributes, services, holdings };
}

export const deviceFacts = [
  'address',
  'vendor_id',
  'device_id',
  'class',
  'type',
  'vendor',
  'model',
  'serial',
  'numa_node',
  'iommu_group',
  'kernel_driver',
  'health',
  'health_reason',
  'info',
  'presence',
  'absent_since',
] as const satisfies readonly (keyof DeviceRow)[];

export type DeviceFacts = Pick<DeviceRow, (typeof deviceFacts)[number]>;

export function deviceFactsOf(device: ReportedDevice): DeviceFacts {
  const { key: _key, deployables: _parts, ...facts } = device;
  return { ...facts, presence: 'present', absent_since: null };
}

export const deployableFacts = ['name', 'resource_class', 'traits', 'in_v2', 'rp_uuid'] as const;

/** `name` is the driver's at first, and the operator's afterwards. */
export const acceleratorFacts = [
  'deployable_id',
  'device_id',
  'type',
  'resource_class',
  'traits',
  'plans',
  'attach_info',
  'numa_node',
  'iommu_group',
  'group_members',
  'pcie_root',
  'rule_offers',
  'driver_reason',
  'obstacle',
  'host_use',
  'doubt',
  'presence',
  'absent_since',
  'health',
] as const satisfies readonly (keyof AcceleratorRow)[];

export type AcceleratorFacts = Pick<AcceleratorRow, (typeof acceleratorFacts)[number]>;

/** All that is told of one that is not reported any more. */
export interface Absence {
  readonly presence: 'absent';
  readonly absent_since: Date;
}

export interface Place {
  readonly device: ReportedDevice;
  readonly deviceId: string;
  readonly deployable: ReportedDeployable;
  readonly deployableId: string;
  /** Another backend of the host that has the function already. */
  readonly takenBy: string | undefined;
  /** Why it may be somebody's card. */
  readonly doubt: string | null;
}

export function acceleratorFactsOf(item: ReportedAccelerator, place: Place): AcceleratorFacts {
  const { device, deployable, takenBy } = place;
  return {
    deployable_id: place.deployableId,
    device_id: place.deviceId,
    type: item.type,
    resource_class: deployable.resource_class,
    traits: deployable.traits,
    plans: item.plans,
    attach_info: item.attach_info,
    // The kernel says -1 where it does not know.
    numa_node: device.numa_node === null || device.numa_node < 0 ? null : device.numa_node,
    // Whoever gets a mediated device does not get its card's function.
    iommu_group: item.plans.includes('pci') ? item.iommu_group : null,
    group_members: item.group_members,
    pcie_root: item.pcie_root,
    rule_offers: item.offered,
    driver_reason: item.reason,
    obstacle: obstacleOf(item),
    host_use: takenBy === undefined ? item.host_use : secondTo(takenBy),
    doubt: place.doubt,
    presence: 'present',
    absent_since: null,
    health: device.health,
  };
}

/** What is in use by its host is withheld for that: what it reports as the reason is the same thing again. */
function obstacleOf({ obstacle, host_use, reason }: ReportedAccelerator): string | null {
  return host_use !== null && obstacle === reason ? null : obstacle;
}

/** v2's attributes of a deployable: `rc` and `trait0` onwards; none for what stays out of v2. */
export function attributesOf(
  { type }: Pick<ReportedDevice, 'type'>,
  deployable: ReportedDeployable,
): ReadonlyMap<string, string> {
  if (v2TypeOf(type) === null) return new Map();
  return new Map([
    ['rc', deployable.resource_class],
    ...deployable.traits.map((trait, index): [string, string] => [`trait${index}`, trait]),
  ]);
}

/** Names of the facts that differ. */
export function differences<Facts extends object>(
  row: Facts,
  facts: Facts,
  names: readonly (keyof Facts & string)[],
): string[] {
  return names.filter((name) => !isDeepStrictEqual(row[name], facts[name]));
}

/** The driver protocol's inventory, checked again at the server's door: a host may be compromised. */
import { acceleratorTypes } from '@cyborg/model/accelerator-types';
import { notApproved, type HealthStatus } from '@cyborg/model/offering';

import {
  field,
  readBoolean,
  readInteger,
  readKey,
  readList,
  readNullable,
  readObject,
  readOneOf,
  readStrings,
  readText,
  refuse,
  type Reader,
} from './fields.ts';

export const inventoryLimits = {
  devicesMax: 16_384,
  deployablesMax: 512,
  acceleratorsMax: 1024,
  traitsMax: 64,
  plansMax: 8,
  groupMembersMax: 256,
  servicesMax: 256,
} as const;

const plans = [
  'pci',
  'mdev',
  'usb',
  'virtio-crypto',
  'virtio-rng',
  'vhost-user-blk',
  'test-pci',
] as const;
const healths = [
  'healthy',
  'degraded',
  'failed',
  'unknown',
] as const satisfies readonly HealthStatus[];

export interface ReportedAccelerator {
  readonly key: string;
  readonly name: string;
  readonly type: string;
  readonly plans: readonly string[];
  readonly offered: boolean;
  readonly reason: string | null;
  readonly obstacle: string | null;
  readonly host_use: string | null;
  readonly attach_info: Readonly<Record<string, string>>;
  readonly iommu_group: number | null;
  readonly group_members: readonly string[];
  readonly pcie_root: string | null;
}

export interface ReportedDeployable {
  readonly key: string;
  readonly name: string;
  readonly resource_class: string;
  readonly traits: readonly string[];
  readonly accelerators: readonly ReportedAccelerator[];
}

export interface ReportedDevice {
  readonly key: string;
  readonly address: string | null;
  readonly vendor_id: string | null;
  readonly device_id: string | null;
  readonly class: string | null;
  readonly type: string;
  readonly vendor: string | null;
  readonly model: string | null;
  readonly serial: string | null;
  readonly numa_node: number | null;
  readonly iommu_group: number | null;
  readonly kernel_driver: string | null;
  readonly health: HealthStatus;
  readonly health_reason: string | null;
  readonly info: Readonly<Record<string, string>>;
  readonly deployables: readonly ReportedDeployable[];
}

export interface ReportedService {
  readonly name: string;
  readonly kind: 'function' | 'daemon';
  readonly state: 'up' | 'down';
  readonly reason: string | null;
}

export interface ReportedInventory {
  readonly devices: readonly ReportedDevice[];
  readonly services: readonly ReportedService[];
}

/** @throws ServiceError `invalid-input` naming the first field that is wrong. */
export function parseInventory(upload: {
  readonly devices: unknown;
  readonly services: unknown;
}): ReportedInventory {
  const devices = readList(
    { path: 'devices', value: upload.devices },
    inventoryLimits.devicesMax,
    readDevice,
  );
  const services = readList(
    { path: 'services', value: upload.services },
    inventoryLimits.servicesMax,
    readService,
  );
  checkUnique('devices', devices);
  for (const device of devices)
    checkUnique(`device ${device.key}: deployables`, device.deployables);
  checkUnique('accelerators of the backend', devices.flatMap(acceleratorsOf));
  checkUnique(
    'services',
    services.map(({ name }) => ({ key: name })),
  );
  return { devices, services };
}

export function acceleratorsOf(device: ReportedDevice): ReportedAccelerator[] {
  return device.deployables.flatMap(({ accelerators }) => accelerators);
}

const deviceKeys = [
  'key',
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
  'offered',
  'reason',
  'health',
  'info',
  'deployables',
] as const;

function readDevice(from: Reader): ReportedDevice {
  const fields = readObject(from, deviceKeys);
  const at = (key: (typeof deviceKeys)[number]): Reader => field(from, fields, key);
  const health = readHealth(at('health'));
  readBoolean(at('offered'));
  readNullable(at('reason'), readText);
  return {
    key: readKey(at('key')),
    address: readNullable(at('address'), readKey),
    vendor_id: readNullable(at('vendor_id'), readKey),
    device_id: readNullable(at('device_id'), readKey),
    class: readNullable(at('class'), readKey),
    type: readOneOf(at('type'), acceleratorTypes),
    vendor: readNullable(at('vendor'), readText),
    model: readNullable(at('model'), readText),
    serial: readNullable(at('serial'), readText),
    numa_node: readNullable(at('numa_node'), readInteger),
    iommu_group: readNullable(at('iommu_group'), readInteger),
    kernel_driver: readNullable(at('kernel_driver'), readKey),
    ...health,
    info: readStrings(at('info')),
    deployables: readList(at('deployables'), inventoryLimits.deployablesMax, readDeployable),
  };
}

function readHealth(from: Reader): { health: HealthStatus; health_reason: string | null } {
  const fields = readObject(from, ['status', 'reason']);
  return {
    health: readOneOf(field(from, fields, 'status'), healths),
    health_reason: readNullable(field(from, fields, 'reason'), readText),
  };
}

function readDeployable(from: Reader): ReportedDeployable {
  const fields = readObject(from, ['key', 'name', 'resource_class', 'traits', 'accelerators']);
  const { traitsMax, acceleratorsMax } = inventoryLimits;
  return {
    key: readKey(field(from, fields, 'key')),
    name: readKey(field(from, fields, 'name')),
    resource_class: readKey(field(from, fields, 'resource_class')),
    traits: readList(field(from, fields, 'traits'), traitsMax, readKey),
    accelerators: readList(field(from, fields, 'accelerators'), acceleratorsMax, readAccelerator),
  };
}

const acceleratorKeys = [
  'key',
  'name',
  'type',
  'plans',
  'offered',
  'reason',
  'obstacle',
  'host_use',
  'attach_info',
  'iommu_group',
  'group_members',
  'pcie_root',
] as const;

function readAccelerator(from: Reader): ReportedAccelerator {
  const fields = readObject(from, acceleratorKeys);
  const at = (key: (typeof acceleratorKeys)[number]): Reader => field(from, fields, key);
  const offered = readBoolean(at('offered'));
  const reason = readNullable(at('reason'), readText);
  return {
    key: readKey(at('key')),
    name: readKey(at('name')),
    type: readOneOf(at('type'), acceleratorTypes),
    plans: readList(at('plans'), inventoryLimits.plansMax, (plan) => readOneOf(plan, plans)),
    offered,
    reason,
    obstacle: readMissing(at('obstacle'), readText) ?? (offered ? null : obstacleIn(reason)),
    host_use: readNullable(at('host_use'), readText),
    attach_info: readStrings(at('attach_info')),
    iommu_group: readMissing(at('iommu_group'), readInteger),
    group_members:
      readMissing(at('group_members'), (list) =>
        readList(list, inventoryLimits.groupMembersMax, readKey),
      ) ?? [],
    pcie_root: readMissing(at('pcie_root'), readKey),
  };
}

/** A driver that says no more than a reason means it: only a missing approval is for an operator to give. */
function obstacleIn(reason: string | null): string | null {
  return reason === notApproved ? null : reason;
}

/** The field may be missing. */
function readMissing<T>(from: Reader, read: (from: Reader) => T): T | null {
  return from.value === undefined ? null : readNullable(from, read);
}

function readService(from: Reader): ReportedService {
  const fields = readObject(from, [
    'name',
    'kind',
    'state',
    'reason',
    'accelerators_total',
    'accelerators_offered',
  ]);
  return {
    name: readKey(field(from, fields, 'name')),
    kind: readOneOf(field(from, fields, 'kind'), ['function', 'daemon'] as const),
    state: readOneOf(field(from, fields, 'state'), ['up', 'down'] as const),
    reason: readNullable(field(from, fields, 'reason'), readText),
  };
}

function checkUnique(what: string, items: readonly { readonly key: string }[]): void {
  const seen = new Set<string>();
  for (const { key } of items) {
    if (seen.has(key))
      throw refuse({ path: what, value: key }, 'every key once; this one is twice');
    seen.add(key);
  }
}

/** Questions to one QEMU: who it is, what it has. */
import { basename } from 'node:path';
import Type from 'typebox';
import type { PlanKind } from '@cyborg/driver-sdk/protocol';
import { deviceNamePrefix } from '../device-name.ts';
import type { InstanceState, PluggedDevice } from '../hypervisor.ts';
import { isFunctionAddress } from '../vfio.ts';
import { ask, NameSchema, StatusSchema, UuidSchema } from './answers.ts';
import type { QmpConnection } from './qmp.ts';
import { hasHotplug } from './slots.ts';
import { childrenOf, deviceFolders, hasType, onRefused, propertyOf } from './tree.ts';

/** QEMU's run states (qapi/run-state.json) in Nova's words. */
const stateOf: Readonly<Record<string, InstanceState>> = {
  running: 'ACTIVE',
  paused: 'PAUSED',
  prelaunch: 'PAUSED',
  debug: 'PAUSED',
  watchdog: 'PAUSED',
  'finish-migrate': 'PAUSED',
  postmigrate: 'PAUSED',
  'save-vm': 'PAUSED',
  'restore-vm': 'PAUSED',
  suspended: 'SUSPENDED',
  shutdown: 'SHUTOFF',
  'io-error': 'ERROR',
  'internal-error': 'ERROR',
  'guest-panicked': 'ERROR',
};

/** The types that QEMU needs for each kind of plan; it may be built without them. */
const typesFor = new Map<PlanKind, readonly string[]>([
  ['virtio-crypto', ['virtio-crypto-pci', 'cryptodev-backend-builtin']],
  ['virtio-rng', ['virtio-rng-pci', 'rng-random']],
  ['pci', ['vfio-pci']],
  ['mdev', ['vfio-pci']],
]);

/** Kinds that need no hardware of the host. */
export const virtualPlugs: readonly PlanKind[] = ['virtio-crypto', 'virtio-rng'];

export async function uuidOf(qmp: QmpConnection): Promise<string> {
  return (await ask(qmp, { command: 'query-uuid', schema: UuidSchema })).UUID.toLowerCase();
}

export async function nameOf(qmp: QmpConnection): Promise<string | null> {
  return (await ask(qmp, { command: 'query-name', schema: NameSchema })).name ?? null;
}

export async function runStateOf(qmp: QmpConnection): Promise<InstanceState> {
  const { status } = await ask(qmp, { command: 'query-status', schema: StatusSchema });
  return stateOf[status] ?? 'UNKNOWN';
}

/** Kinds of plan whose device and backend this QEMU was built with, and for which its machine has a place at all. */
export async function plugsOf(qmp: QmpConnection): Promise<readonly PlanKind[]> {
  const plugs: PlanKind[] = [];
  for (const kind of typesFor.keys()) {
    if (!(await isBuiltFor(qmp, kind))) continue;
    if (virtualPlugs.includes(kind) || (await hasHotplug(qmp))) plugs.push(kind);
  }
  return plugs;
}

export async function isBuiltFor(qmp: QmpConnection, kind: PlanKind): Promise<boolean> {
  const types = typesFor.get(kind);
  if (types === undefined) return false;
  for (const type of types) if (!(await hasType(qmp, type))) return false;
  return true;
}

export interface MachineDevices {
  /** One whose unplugging the guest has not confirmed is still there. */
  readonly ours: readonly PluggedDevice[];
  /** Addresses of the host's PCI functions that the machine has, whoever gave them. */
  readonly functions: readonly string[];
}

export async function devicesOf(qmp: QmpConnection): Promise<MachineDevices> {
  const ours: PluggedDevice[] = [];
  const functions: string[] = [];
  for (const folder of deviceFolders) {
    for (const { name, type, path } of await childrenOf(qmp, folder)) {
      const address = type.startsWith('vfio-pci') ? await functionOf(qmp, path) : undefined;
      if (address !== undefined) functions.push(address);
      if (!name.startsWith(deviceNamePrefix)) continue;
      ours.push(address === undefined ? { name } : { name, address });
    }
  }
  return { ours, functions };
}

/** `host=` or `sysfsdev=` of a vfio-pci device; undefined for a mediated one. */
async function functionOf(qmp: QmpConnection, path: string): Promise<string | undefined> {
  for (const property of ['host', 'sysfsdev']) {
    const value = await propertyOf(qmp, path, property);
    const address = typeof value === 'string' ? basename(value).toLowerCase() : '';
    if (isFunctionAddress(address)) return address;
  }
  return undefined;
}

export async function hasDevice(qmp: QmpConnection, name: string): Promise<boolean> {
  const named = await childrenOf(qmp, deviceFolders[0]);
  return named.some((device) => device.name === name);
}

export async function hasObject(qmp: QmpConnection, id: string): Promise<boolean> {
  return (await childrenOf(qmp, '/objects')).some(({ name }) => name === id);
}

/**
 * Whether the device sits on a bus of the machine, not only in QEMU's object tree.
 * (query-pci does not show it behind a port until the firmware has numbered the buses: not at boot, not in a reset.)
 */
export async function isPlugged(qmp: QmpConnection, name: string): Promise<boolean> {
  const path = `/machine/peripheral/${name}`;
  try {
    const realized = { command: 'qom-get', args: { path, property: 'realized' } };
    const bus = { command: 'qom-get', args: { path, property: 'parent_bus' } };
    const isRealized = await ask(qmp, { ...realized, schema: Type.Boolean() });
    return isRealized && (await ask(qmp, { ...bus, schema: Type.String() })) !== '';
  } catch (error) {
    return onRefused(error) ?? false;
  }
}

/** Questions to one QEMU: who it is, what it has, where something fits. */
import Type from 'typebox';
import type { PlanKind } from '@cyborg/driver-sdk/protocol';
import { deviceNamePrefix } from '../device-name.ts';
import { HypervisorError, type InstanceState, type PluggedDevice } from '../hypervisor.ts';
import { ask, NameSchema, PropertiesSchema, StatusSchema, UuidSchema } from './answers.ts';
import { QmpError, type QmpConnection } from './qmp.ts';

export const machineLimits = { portsMax: 128 } as const;

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
const typesFor = {
  'virtio-crypto': { device: 'virtio-crypto-pci', backend: 'cryptodev-backend-builtin' },
  'virtio-rng': { device: 'virtio-rng-pci', backend: 'rng-random' },
} as const satisfies Partial<Record<PlanKind, { device: string; backend: string }>>;

export const qemuPlugs: readonly PlanKind[] = ['virtio-crypto', 'virtio-rng'];

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

/** Kinds of plan whose device and backend this QEMU was built with. */
export async function plugsOf(qmp: QmpConnection): Promise<readonly PlanKind[]> {
  const plugs: PlanKind[] = [];
  for (const kind of ['virtio-crypto', 'virtio-rng'] as const) {
    const { device, backend } = typesFor[kind];
    if ((await hasType(qmp, device)) && (await hasType(qmp, backend))) plugs.push(kind);
  }
  return plugs;
}

/** (qom-list-types would make QEMU load every module it has: half a second, and memory for good.) */
async function hasType(qmp: QmpConnection, typename: string): Promise<boolean> {
  const properties = await qmp.execute('qom-list-properties', { typename }).catch(onRefused);
  return properties !== null;
}

interface Child {
  readonly name: string;
  /** `child<pcie-root-port>` → `pcie-root-port`. */
  readonly type: string;
}

/** @returns the children of a path in QEMU's object tree; none when there is no such path. */
async function childrenOf(qmp: QmpConnection, path: string): Promise<readonly Child[]> {
  const properties = await propertiesOf(qmp, path);
  return properties.flatMap(({ name, type }) => {
    const match = /^child<(.*)>$/.exec(type);
    return match?.[1] === undefined ? [] : [{ name, type: match[1] }];
  });
}

async function propertiesOf(
  qmp: QmpConnection,
  path: string,
): Promise<readonly { readonly name: string; readonly type: string }[]> {
  try {
    return await ask(qmp, { command: 'qom-list', args: { path }, schema: PropertiesSchema });
  } catch (error) {
    if (error instanceof QmpError && error.failure === 'refused') return [];
    throw error;
  }
}

/** Our devices in the machine; one whose unplugging the guest has not confirmed is still there. */
export async function ourDevices(qmp: QmpConnection): Promise<readonly PluggedDevice[]> {
  const children = await childrenOf(qmp, '/machine/peripheral');
  return children
    .filter(({ name }) => name.startsWith(deviceNamePrefix))
    .map(({ name }) => ({ name }));
}

export async function hasDevice(qmp: QmpConnection, name: string): Promise<boolean> {
  return (await ourDevices(qmp)).some((device) => device.name === name);
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

export interface Slot {
  readonly bus: string;
  /** Given on a port, which takes one device: a second one at the same address is refused by QEMU. */
  readonly addr?: string;
}

/**
 * Where one more device can be hot-plugged.
 * @throws HypervisorError `refused`, saying what to add to QEMU's command line, when there is no room.
 */
export async function findSlot(qmp: QmpConnection): Promise<Slot> {
  let ports = 0;
  for (const folder of ['/machine/peripheral', '/machine/peripheral-anon']) {
    for (const { name, type } of await childrenOf(qmp, folder)) {
      if (type !== 'pcie-root-port' && type !== 'xio3130-downstream') continue;
      ports += 1;
      if (ports > machineLimits.portsMax) break;
      const bus = await freeBusOf(qmp, `${folder}/${name}`);
      if (bus !== null) return { bus, addr: '0x0' };
    }
  }
  const plain = await plainPciBus(qmp);
  if (plain !== null) return { bus: plain };
  throw new HypervisorError('refused', noRoom(ports));
}

function noRoom(ports: number): string {
  const found =
    ports === 0
      ? 'The machine has no PCI slot that takes hot-plugged devices'
      : `All ${ports} hot-plug ports (pcie-root-port) of the machine are in use`;
  return (
    `${found}: detach something, or start QEMU with one more ` +
    `'-device pcie-root-port,id=port${ports + 1},chassis=${ports + 1},slot=${ports + 1}' (machine type q35).`
  );
}

async function freeBusOf(qmp: QmpConnection, port: string): Promise<string | null> {
  const hotplug = await qmp
    .execute('qom-get', { path: port, property: 'hotplug' })
    .catch(onRefused);
  if (hotplug === false) return null;
  const bus = (await childrenOf(qmp, port)).find(({ type }) => type === 'PCIE');
  if (bus === undefined) return null;
  const inside = await propertiesOf(qmp, `${port}/${bus.name}`);
  return inside.some(({ name }) => name.startsWith('child[')) ? null : bus.name;
}

/** The bus of machine type `pc` (i440fx); QEMU chooses a slot there, or says that all are in use. */
async function plainPciBus(qmp: QmpConnection): Promise<string | null> {
  const children = await childrenOf(qmp, '/machine/i440fx');
  return children.find(({ type }) => type === 'PCI')?.name ?? null;
}

function onRefused(error: unknown): null {
  if (error instanceof QmpError && error.failure === 'refused') return null;
  throw error;
}

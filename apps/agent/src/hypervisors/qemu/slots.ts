/** Where in a machine something can be hot-plugged. */
import { basename } from 'node:path';
import { HypervisorError } from '../hypervisor.ts';
import type { QmpConnection } from './qmp.ts';
import { childrenOf, deviceFolders, propertiesOf, propertyOf, type Child } from './tree.ts';

export const slotLimits = { portsMax: 128 } as const;

const portTypes: ReadonlySet<string> = new Set(['pcie-root-port', 'xio3130-downstream']);

export interface Slot {
  readonly bus: string;
  /** Given on a port, which takes one device: a second one at the same address is refused by QEMU. */
  readonly addr?: string;
}

/**
 * Where one more device can be hot-plugged: near one of these NUMA nodes of the guest, else anywhere.
 * @throws HypervisorError `refused`, saying what to add to QEMU's command line, when there is no room.
 */
export async function findSlot(
  qmp: QmpConnection,
  guestNodes: ReadonlySet<number> = new Set(),
): Promise<Slot> {
  const ports = await portsOf(qmp);
  const nodeOf = guestNodes.size === 0 ? new Map<string, number>() : await expandersOf(qmp);
  let free: Slot | null = null;
  for (const { path } of ports) {
    const bus = await freeBusOf(qmp, path);
    if (bus === null) continue;
    const slot = { bus, addr: '0x0' };
    if (nodeOf.size === 0 || guestNodes.has(await nodeOfPort(qmp, path, nodeOf))) return slot;
    free ??= slot;
  }
  if (free !== null) return free;
  const plain = await plainPciBus(qmp);
  if (plain !== null) return { bus: plain };
  throw new HypervisorError('refused', noRoom(ports.length));
}

/** Whether the machine takes devices while it runs at all; its ports may all be in use. */
export async function hasHotplug(qmp: QmpConnection): Promise<boolean> {
  for (const { path } of await portsOf(qmp)) if (await isHotplugPort(qmp, path)) return true;
  return (await plainPciBus(qmp)) !== null;
}

async function portsOf(qmp: QmpConnection): Promise<readonly Child[]> {
  const ports: Child[] = [];
  for (const folder of deviceFolders) {
    ports.push(...(await childrenOf(qmp, folder)).filter(({ type }) => portTypes.has(type)));
  }
  return ports.slice(0, slotLimits.portsMax);
}

/** NUMA nodes of the guest by the name of the expander bus (pxb-pcie) that is there. */
async function expandersOf(qmp: QmpConnection): Promise<ReadonlyMap<string, number>> {
  const nodes = new Map<string, number>();
  for (const folder of deviceFolders) {
    for (const { name, type, path } of await childrenOf(qmp, folder)) {
      const node = type === 'pxb-pcie' ? await propertyOf(qmp, path, 'numa_node') : null;
      if (typeof node === 'number') nodes.set(name, node);
    }
  }
  return nodes;
}

/** @returns -1 for a port that is behind no expander. */
async function nodeOfPort(
  qmp: QmpConnection,
  port: string,
  nodeOf: ReadonlyMap<string, number>,
): Promise<number> {
  const bus = await propertyOf(qmp, port, 'parent_bus');
  return typeof bus === 'string' ? (nodeOf.get(basename(bus)) ?? -1) : -1;
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

async function isHotplugPort(qmp: QmpConnection, port: string): Promise<boolean> {
  return (await propertyOf(qmp, port, 'hotplug')) !== false;
}

async function freeBusOf(qmp: QmpConnection, port: string): Promise<string | null> {
  if (!(await isHotplugPort(qmp, port))) return null;
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

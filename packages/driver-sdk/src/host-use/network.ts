import type { Folder } from './folders.ts';
import type { PciFunction } from './function.ts';
import type { HostTables } from './host-tables.ts';
import { seen, unknown, type HolderCheck, type HostUse } from './host-use.ts';

const networkClass = 0x02;
const interfaceUp = 0x1; // IFF_UP of linux/if.h
/** Classes whose devices belong to a network namespace, with what one is. */
const namespaced: ReadonlyMap<string, string> = new Map([
  ['net', 'interface'],
  ['infiniband', 'RDMA device'],
  ['ieee80211', 'radio'],
]);

/** Interfaces that are up, or enslaved to a bond, bridge or Open vSwitch, or below a VLAN or another upper device. */
export const findNetworkUse: HolderCheck = (fn, tables) => {
  const interfaces = tables.interfacesOf(fn);
  for (const folder of interfaces) {
    const use = interfaceUse(folder, tables);
    if (use !== undefined) return use;
  }
  const elsewhere = tables.foldersOf(fn).folders.find(isOfAnotherNamespace);
  if (elsewhere !== undefined) {
    return unknown(`its ${namespaced.get(elsewhere.name)} is in another network namespace`);
  }
  const hasNone = interfaces.length === 0 && fn.driver !== undefined && isNetwork(fn);
  if (hasNone && !fn.has('net') && !tables.hasClass('net')) {
    return unknown('the tree has no network interfaces: whether one of its own is up is unknown');
  }
  return undefined;
};

/** The kernel takes such a folder away with the last in it, and shows of those in it only the reader's namespace's. */
function isOfAnotherNamespace({ name, entries }: Folder): boolean {
  return entries.size === 0 && namespaced.has(name);
}

function isNetwork(fn: PciFunction): boolean {
  return (fn.class ?? 0) >>> 16 === networkClass && !fn.driver?.includes('vfio');
}

function interfaceUse(path: string, tables: HostTables): HostUse | undefined {
  const { reader } = tables;
  const name = path.slice(path.lastIndexOf('/') + 1);
  const master = reader.linkName(`${path}/master`);
  if (master !== undefined) {
    return seen(`interface ${name} belongs to ${describeMaster(master, tables)}`);
  }
  const upper = reader.names(path)?.find((entry) => entry.startsWith('upper_'));
  if (upper !== undefined) return seen(`interface ${name} carries ${upper.slice('upper_'.length)}`);
  const flags = reader.integer(`${path}/flags`);
  const state = reader.text(`${path}/operstate`);
  if (state === 'up' || (flags !== undefined && (flags & interfaceUp) !== 0)) {
    return seen(`interface ${name} is up`);
  }
  if (flags === undefined) return unknown(`interface ${name}: its flags are missing`);
  return undefined;
}

function describeMaster(master: string, tables: HostTables): string {
  const path = `${tables.sysfs}/class/net/${master}`;
  if (master.startsWith('ovs')) return `Open vSwitch (${master})`;
  if (tables.reader.exists(`${path}/bonding`)) return `bond ${master}`;
  if (tables.reader.exists(`${path}/bridge`)) return `bridge ${master}`;
  return `${master}`;
}

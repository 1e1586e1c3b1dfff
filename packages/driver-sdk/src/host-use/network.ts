import type { PciFunction } from './function.ts';
import type { HostTables } from './host-tables.ts';
import { seen, unknown, type HolderCheck, type HostUse } from './host-use.ts';

const networkClass = 0x02;
const interfaceUp = 0x1; // IFF_UP of linux/if.h

/** Interfaces that are up, or enslaved to a bond, bridge or Open vSwitch, or below a VLAN or another upper device. */
export const findNetworkUse: HolderCheck = (fn, tables) => {
  const interfaces = tables.interfacesOf(fn);
  for (const folder of interfaces) {
    const use = interfaceUse(folder, tables);
    if (use !== undefined) return use;
  }
  const hasNone = interfaces.length === 0 && fn.driver !== undefined && isNetwork(fn);
  if (hasNone && !fn.has('net') && !tables.hasClass('net')) {
    return unknown('the tree has no network interfaces: whether one of its own is up is unknown');
  }
  return undefined;
};

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

/** Builds a sysfs tree from a description, for demonstrations and for testing drivers without owning the hardware. */
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { formatPciAddress, formatPciClass, formatPciId, parsePciAddress } from './pci.ts';
import type { Roots } from './protocol.ts';
import { rootsBelow } from './recording.ts';

export const emptyFolder = { folder: true } as const;

/**
 * Content of a file, an empty folder, where a link leads (a path from the tree's root, such as `/sys/class/net/br0`), or
 * a link's text as it is (an open file in /proc).
 */
export type Leaf =
  | string
  | Buffer
  | typeof emptyFolder
  | { readonly link: string }
  | { readonly linkText: string };

export interface VirtualFunctions {
  /** Device id of each. */
  readonly device: number;
  /** Addresses in order; the kernel's `virtfn0` is the first. */
  readonly addresses: readonly string[];
  readonly driver?: string;
  /** IOMMU group of the first; the others follow. */
  readonly iommuGroup?: number;
}

export interface FunctionDescription {
  readonly address: string;
  readonly vendor: number;
  readonly device: number;
  /** 24 bits: 0x030200. */
  readonly class: number;
  /** Addresses of the bridges above it, from the root down. */
  readonly behind?: readonly string[];
  readonly driver?: string;
  readonly numaNode?: number;
  readonly iommuGroup?: number;
  /** Device Serial Number, 8 bytes, in the extended configuration space. */
  readonly serial?: bigint;
  readonly subsystem?: { readonly vendor: number; readonly device: number };
  readonly link?: { readonly speed: string; readonly width: number };
  readonly resetMethods?: string;
  readonly totalVfs?: number;
  readonly vfs?: VirtualFunctions;
  /** More attributes, in place of those above; null leaves one out. */
  readonly attributes?: Readonly<Record<string, Leaf | null>>;
  /** What the driver made below the function: `net/eth0/flags`. */
  readonly below?: Readonly<Record<string, Leaf>>;
}

export interface TreeDescription {
  readonly functions: readonly FunctionDescription[];
  /** Anything else, by path from the tree's root: `/proc/swaps`. */
  readonly files?: Readonly<Record<string, Leaf>>;
}

/** Writes the tree below `folder`, which is emptied first. */
export function buildTree(folder: string, description: TreeDescription): Roots {
  rmSync(folder, { recursive: true, force: true });
  for (const path of ['sys/bus/pci/devices', 'sys/bus/pci/drivers', 'sys/class', 'sys/kernel']) {
    mkdirSync(join(folder, path), { recursive: true });
  }
  for (const fn of description.functions) addFunction(folder, fn);
  for (const [path, leaf] of Object.entries(description.files ?? {})) addLeaf(folder, path, leaf);
  return rootsBelow(folder);
}

function addFunction(folder: string, fn: FunctionDescription): void {
  const path = pathOf(fn);
  addLeaf(folder, `/sys/bus/pci/devices/${fn.address}`, { link: path });
  for (const [name, leaf] of Object.entries({ ...attributesOf(fn), ...fn.attributes })) {
    if (leaf !== null) addLeaf(folder, `${path}/${name}`, leaf);
  }
  for (const [name, leaf] of Object.entries(fn.below ?? {}))
    addLeaf(folder, `${path}/${name}`, leaf);
  if (fn.iommuGroup !== undefined)
    addToGroup(folder, { path, address: fn.address, group: fn.iommuGroup });
  if (fn.driver !== undefined) {
    addLeaf(folder, `/sys/bus/pci/drivers/${fn.driver}/${fn.address}`, { link: path });
    addLeaf(folder, `${path}/driver`, { link: `/sys/bus/pci/drivers/${fn.driver}` });
  }
  addVirtualFunctions(folder, fn);
}

function addVirtualFunctions(folder: string, fn: FunctionDescription): void {
  const { vfs } = fn;
  for (const [index, address] of (vfs?.addresses ?? []).entries()) {
    const virtual: FunctionDescription = {
      address,
      vendor: fn.vendor,
      device: vfs?.device ?? fn.device,
      class: fn.class,
      behind: fn.behind ?? [],
      resetMethods: 'flr',
      ...(vfs?.driver !== undefined && { driver: vfs.driver }),
      ...(fn.numaNode !== undefined && { numaNode: fn.numaNode }),
      ...(vfs?.iommuGroup !== undefined && { iommuGroup: vfs.iommuGroup + index }),
      attributes: { physfn: { link: pathOf(fn) } },
    };
    addFunction(folder, virtual);
    addLeaf(folder, `${pathOf(fn)}/virtfn${index}`, { link: pathOf(virtual) });
  }
}

/** Where the kernel has the function's own folder. */
export function pathOf({ address, behind = [] }: FunctionDescription): string {
  const top = parsePciAddress(behind[0] ?? address);
  if (top === undefined) throw new Error(`${address} is not a PCI address`);
  const root = formatPciAddress(top).slice(0, -'00.0'.length - 1);
  return ['/sys/devices', `pci${root}`, ...behind, address].join('/');
}

function attributesOf(fn: FunctionDescription): Record<string, Leaf> {
  const { subsystem = { vendor: fn.vendor, device: 0 } } = fn;
  const isVga = fn.class >>> 8 === 0x0300;
  const enabled = fn.vfs?.addresses.length ?? 0;
  const totalVfs = fn.totalVfs ?? enabled;
  return {
    vendor: `${formatPciId(fn.vendor)}\n`,
    device: `${formatPciId(fn.device)}\n`,
    class: `${formatPciClass(fn.class)}\n`,
    revision: '0x01\n',
    subsystem_vendor: `${formatPciId(subsystem.vendor)}\n`,
    subsystem_device: `${formatPciId(subsystem.device)}\n`,
    numa_node: `${fn.numaNode ?? -1}\n`,
    config: configOf(fn),
    ...(isVga && { boot_vga: '0\n' }),
    ...(fn.resetMethods !== undefined && { reset_method: `${fn.resetMethods}\n` }),
    ...(fn.link !== undefined && {
      current_link_speed: `${fn.link.speed}\n`,
      current_link_width: `${fn.link.width}\n`,
      max_link_speed: `${fn.link.speed}\n`,
      max_link_width: `${fn.link.width}\n`,
    }),
    ...(totalVfs > 0 && { sriov_totalvfs: `${totalVfs}\n`, sriov_numvfs: `${enabled}\n` }),
  };
}

/** A configuration header and, where there is a serial number, the extended space that has it. */
function configOf(fn: FunctionDescription): Buffer {
  const config = Buffer.alloc(fn.serial === undefined ? 256 : 4096);
  config.writeUInt16LE(fn.vendor, 0);
  config.writeUInt16LE(fn.device, 2);
  config.writeUIntLE(fn.class, 9, 3);
  if (fn.serial !== undefined) {
    config.writeUInt32LE(0x0001_0003, 0x100); // capability 3, version 1, the last of the list
    config.writeBigUInt64LE(fn.serial, 0x104);
  }
  return config;
}

function addToGroup(folder: string, at: { path: string; address: string; group: number }): void {
  const group = `/sys/kernel/iommu_groups/${at.group}`;
  addLeaf(folder, `${group}/devices/${at.address}`, { link: at.path });
  addLeaf(folder, `${at.path}/iommu_group`, { link: group });
}

function addLeaf(folder: string, path: string, leaf: Leaf): void {
  const target = join(folder, path);
  mkdirSync(dirname(target), { recursive: true });
  if (typeof leaf === 'string' || Buffer.isBuffer(leaf)) writeFileSync(target, leaf);
  else if ('folder' in leaf) mkdirSync(target, { recursive: true });
  else if ('linkText' in leaf) symlinkSync(leaf.linkText, target);
  else symlinkSync(relative(dirname(target), join(folder, leaf.link)), target);
}

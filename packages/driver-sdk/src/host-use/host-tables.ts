/** What the host says of itself, for the holder checks: read when first asked for, and once for a scan. */
import { parsePciAddress, formatPciAddress } from '../pci.ts';
import { nodePattern } from '../protocol-constants.ts';
import type { TreeReader } from '../sysfs.ts';
import { walkFolders, type Folder, type Folders } from './folders.ts';
import { readExports, type Export } from './exports.ts';
import type { PciFunction } from './function.ts';
import { besideOf, readCryptoUsers, readModuleHolders } from './crypto-users.ts';
import { readMounts, readSwaps, type Mounts } from './mounts.ts';
import { readNvmeSubsystems, type NvmeSubsystem } from './nvme-subsystems.ts';
import { readOpenNodes, type OpenNodes } from './open-node-table.ts';

const nodeForm = new RegExp(nodePattern, 'u');

export interface BlockDevice {
  readonly name: string;
  readonly path: string;
}

export interface DeviceNode {
  /** Below /dev. */
  readonly path: string;
  /** How the agent is asked for it: by number (`c226:128`), which finds it under any path. Undefined: it cannot be. */
  readonly asked: string | undefined;
}

export interface HostTablesOptions {
  readonly sysfs: string;
  readonly proc: string;
  /** The tree is a recording: a table of /proc that is not part of it is not missed. */
  readonly isEvidenceOfTreeAlone: boolean;
  /** Addresses that this agent bound to vfio-pci itself. */
  readonly boundByUs: readonly string[];
  /** Who has nodes open is the agent's to say. */
  readonly asksAgent: boolean;
}

export class HostTables {
  readonly reader: TreeReader;
  readonly sysfs: string;
  readonly proc: string;
  readonly isEvidenceOfTreeAlone: boolean;
  readonly #boundByUs: ReadonlySet<string>;
  readonly asksAgent: boolean;
  readonly #folders = new Map<string, Folders>();
  readonly #values = new Map<string, unknown>();

  constructor(reader: TreeReader, options: HostTablesOptions) {
    this.reader = reader;
    this.sysfs = options.sysfs;
    this.proc = options.proc;
    this.isEvidenceOfTreeAlone = options.isEvidenceOfTreeAlone;
    this.#boundByUs = new Set(options.boundByUs);
    this.asksAgent = options.asksAgent;
  }

  isBoundByUs(address: string): boolean {
    return this.#boundByUs.has(address);
  }

  get isProcReadable(): boolean {
    return this.#once('proc', () => this.reader.exists(this.proc));
  }

  foldersOf(fn: PciFunction): Folders {
    const known = this.#folders.get(fn.address);
    if (known !== undefined) return known;
    const folders = walkFolders(this.reader, fn);
    this.#folders.set(fn.address, folders);
    return folders;
  }

  /** A folder's device node, if it stands for one. */
  nodeOf({ path, name, entries, isBlock }: Folder): DeviceNode | undefined {
    if (entries.get('dev') !== 'file') return undefined;
    return this.#once(`node ${path}`, () => {
      const uevent = entries.has('uevent') ? this.reader.text(`${path}/uevent`) : undefined;
      const node = `/dev/${/^DEVNAME=(.+)$/mu.exec(uevent ?? '')?.[1] ?? name}`;
      if (!this.asksAgent) return { path: node, asked: undefined };
      const number = `${isBlock ? 'b' : 'c'}${this.reader.text(`${path}/dev`) ?? ''}`;
      return { path: node, asked: [number, node].find(canBeAskedFor) };
    });
  }

  /** Of the disks that {@link blockDevicesOf} finds elsewhere, and of multipath NVMe's character devices beside them. */
  nodesElsewhereOf(fn: PciFunction): DeviceNode[] {
    const disks = this.blockDevicesOf(fn).filter(({ path }) => !path.startsWith(`${fn.path}/`));
    const characters = this.#nvmeOf(fn).flatMap(({ characters: all }) => all);
    return [
      ...disks.flatMap((disk) => this.#nodeElsewhere('b', disk)),
      ...characters.flatMap((one) => this.#nodeElsewhere('c', one)),
    ];
  }

  #nodeElsewhere(kind: 'b' | 'c', { name, path }: BlockDevice): DeviceNode[] {
    // One path of a multipath disk: the kernel gives it no node.
    if (this.reader.integer(`${path}/hidden`) === 1) return [];
    const node = `/dev/${name}`;
    if (!this.asksAgent) return [{ path: node, asked: undefined }];
    const number = `${kind}${this.reader.text(`${path}/dev`) ?? ''}`;
    return [{ path: node, asked: [number, node].find(canBeAskedFor) }];
  }

  /** Disks and partitions on the function, also those that multipath NVMe shows elsewhere. */
  blockDevicesOf(fn: PciFunction): BlockDevice[] {
    const found = new Map<string, BlockDevice>();
    const below = this.foldersOf(fn).folders;
    for (const { name, path, isBlock, entries } of below) {
      if (isBlock && (entries.has('dev') || entries.has('holders')))
        found.set(name, { name, path });
    }
    const heads = this.#nvmeOf(fn).flatMap(({ disks }) => disks);
    for (const name of [...(this.#byFunction('block').get(fn.address) ?? []), ...heads]) {
      for (const device of this.#withPartitions(name)) {
        if (!found.has(device.name)) found.set(device.name, device);
      }
    }
    return [...found.values()];
  }

  /** Folders of the function's network interfaces. */
  interfacesOf(fn: PciFunction): string[] {
    const found = new Map<string, string>();
    for (const { name, path, group } of this.foldersOf(fn).folders) {
      if (group === 'net') found.set(name, path);
    }
    for (const name of this.#byFunction('net').get(fn.address) ?? []) {
      if (!found.has(name)) found.set(name, `${this.sysfs}/class/net/${name}`);
    }
    return [...found.values()];
  }

  /** Whether the tree has a list of all disks, or all interfaces, at all. */
  hasClass(name: 'block' | 'net'): boolean {
    return this.#once(`class ${name}`, () => {
      const isBlock = name === 'block' && this.reader.exists(`${this.sysfs}/block`);
      return isBlock || this.reader.exists(`${this.sysfs}/class/${name}`);
    });
  }

  /** Where a file system of the disk is mounted. */
  mountOf(disk: BlockDevice): string | undefined {
    const mounts = this.#mounts();
    if (mounts === undefined) return undefined;
    const number = this.reader.text(`${disk.path}/dev`);
    const byNumber = number === undefined ? undefined : mounts.byNumber.get(number);
    return byNumber ?? mounts.bySource.get(`/dev/${disk.name}`) ?? this.#btrfsOf(disk.name);
  }

  /** What the kernel makes of the disk that is no holder of it: a loop device, a storage target. */
  exportOf(disk: BlockDevice): string | undefined {
    const all = this.#once('exports', () =>
      readExports(this.reader, this.sysfs, !this.isEvidenceOfTreeAlone),
    );
    if (all.length === 0) return undefined;
    const number = this.reader.text(`${disk.path}/dev`);
    const isOfDisk = (one: Export): boolean =>
      one.node === `/dev/${disk.name}` || one.number === `b${number}`;
    return all.find(isOfDisk)?.by;
  }

  isSwap({ name }: BlockDevice): boolean {
    return this.#swaps()?.has(`/dev/${name}`) ?? false;
  }

  get mountEvidence(): 'present' | 'missing' {
    if (this.isEvidenceOfTreeAlone) return 'present';
    return this.#mounts() === undefined || this.#swaps() === undefined ? 'missing' : 'present';
  }

  zfsPools(): string[] {
    return this.#once('zfs', () => {
      const folder = `${this.proc}/spl/kstat/zfs`;
      const entries = [...(this.reader.entries(folder) ?? [])];
      return entries.filter(([, kind]) => kind === 'directory').map(([name]) => name);
    });
  }

  /** What somebody who sees more says. */
  setOpenNodes(open: OpenNodes | 'missing'): void {
    this.#values.set('open', open);
  }

  openNodes(): OpenNodes | 'missing' {
    return this.#once('open', () => readOpenNodes(this.reader, this.proc) ?? 'missing');
  }

  /** Modules whose algorithms are in use, with one of those. */
  cryptoUsers(): ReadonlyMap<string, string> | 'missing' {
    return this.#once('crypto', () => {
      const users = readCryptoUsers(this.reader, this.proc);
      return users ?? (this.isEvidenceOfTreeAlone ? new Map<string, string>() : 'missing');
    });
  }

  /** The modules of the function's driver and of the drivers of what is on it (virtio), as /proc/crypto writes them. */
  modulesOf(fn: PciFunction): string[] {
    const inner = this.foldersOf(fn).folders.filter(
      ({ entries }) => entries.get('driver') === 'link',
    );
    const paths = [fn.path, ...inner.map(({ path }) => path)];
    const names = paths.flatMap((path) => [
      this.reader.linkName(`${path}/driver`) ?? [],
      this.reader.linkName(`${path}/driver/module`) ?? [],
    ]);
    return [...new Set(names.flat().map((name) => name.replaceAll('-', '_')))];
  }

  /** Modules that work together with these. */
  modulesBeside(modules: readonly string[]): string[] {
    const holders = this.#once('modules', () => readModuleHolders(this.reader, this.sysfs));
    return besideOf(modules, holders);
  }

  iommuGroupMembers(group: number): readonly string[] | undefined {
    return this.#once(`group ${group}`, () => {
      const names = this.reader.names(`${this.sysfs}/kernel/iommu_groups/${group}/devices`);
      return names?.map((name) => {
        const parsed = parsePciAddress(name);
        return parsed === undefined ? name : formatPciAddress(parsed);
      });
    });
  }

  #mounts(): Mounts | undefined {
    return this.#once('mounts', () => readMounts(this.reader, this.proc));
  }

  #swaps(): ReadonlySet<string> | undefined {
    return this.#once('swaps', () => readSwaps(this.reader, this.proc));
  }

  /** A btrfs of several disks is mounted under the name of one of them. */
  #btrfsOf(name: string): string | undefined {
    const members = this.#once('btrfs', () => {
      const folder = `${this.sysfs}/fs/btrfs`;
      const found = new Map<string, string>();
      for (const id of this.reader.names(folder) ?? []) {
        for (const disk of this.reader.names(`${folder}/${id}/devices`) ?? []) found.set(disk, id);
      }
      return found;
    });
    const id = members.get(name);
    return id === undefined ? undefined : `btrfs ${id}`;
  }

  /** Names in /sys/class/NAME (or /sys/block) by the last PCI function in the path that they link to. */
  #byFunction(name: 'block' | 'net'): ReadonlyMap<string, readonly string[]> {
    return this.#once(`owners ${name}`, () => {
      const found = new Map<string, string[]>();
      const folders = [
        `${this.sysfs}/class/${name}`,
        ...(name === 'block' ? [`${this.sysfs}/block`] : []),
      ];
      for (const folder of folders) {
        for (const entry of this.reader.names(folder) ?? []) {
          const owner = lastAddress(this.reader.link(`${folder}/${entry}`));
          if (owner !== undefined) found.set(owner, [...(found.get(owner) ?? []), entry]);
        }
      }
      return found;
    });
  }

  /** What the subsystems of the function's NVMe controllers have. */
  #nvmeOf(fn: PciFunction): NvmeSubsystem[] {
    const controllers = this.foldersOf(fn).folders.filter(({ group }) => group === 'nvme');
    const all = this.#once('nvme', () => readNvmeSubsystems(this.reader, this.sysfs));
    return [...new Set(controllers.flatMap(({ name }) => all.get(name) ?? []))];
  }

  #withPartitions(name: string): BlockDevice[] {
    const inClass = `${this.sysfs}/class/block/${name}`;
    const path = this.reader.exists(inClass) ? inClass : `${this.sysfs}/block/${name}`;
    const inside = this.reader.names(path) ?? [];
    const parts = inside.filter(
      (entry) => entry.startsWith(name) && /^p?\d/u.test(entry.slice(name.length)),
    );
    return [{ name, path }, ...parts.map((part) => ({ name: part, path: `${path}/${part}` }))];
  }

  #once<T>(key: string, read: () => T): T {
    if (this.#values.has(key)) return this.#values.get(key) as T; // written below, by this key alone
    const value = read();
    this.#values.set(key, value);
    return value;
  }
}

export function canBeAskedFor(node: string): boolean {
  return node.length <= 255 && nodeForm.test(node);
}

function lastAddress(target: string | undefined): string | undefined {
  const parts = target?.split('/') ?? [];
  for (const part of parts.toReversed()) {
    const parsed = parsePciAddress(part);
    if (parsed !== undefined) return formatPciAddress(parsed);
  }
  return undefined;
}

/** The folders below a PCI function: where the kernel shows the disks, interfaces and device nodes that its driver made. */
import { parsePciAddress } from '../pci.ts';
import type { EntryKind, TreeReader } from '../sysfs.ts';
import type { PciFunction } from './function.ts';

export interface Folder {
  readonly name: string;
  readonly path: string;
  /** The folder above it, which for what a driver makes is its class: `block`, `net`, `drm`. */
  readonly group: string;
  /** A disk, a partition of one, or something inside. */
  readonly isBlock: boolean;
  readonly entries: ReadonlyMap<string, EntryKind>;
}

export interface Folders {
  readonly folders: readonly Folder[];
  /** False when there were more than we look at. */
  readonly isComplete: boolean;
}

const foldersMax = 4096;
const depthMax = 10;

// Large, and nobody's device.
const dull = new Set(
  'power msi_irqs mq integrity trace statistics queues queue holders slaves firmware_node wakeup'.split(
    ' ',
  ),
);

/** NVMe disks lie right below their controller, all others in a folder called block. */
function isDisk({ name, group, entries }: Pick<Folder, 'name' | 'group' | 'entries'>): boolean {
  const isBlockFolder = group === 'block' || /^nvme\d+n\d+$/u.test(name);
  return isBlockFolder || entries.has('holders') || entries.has('partition');
}

export function walkFolders(reader: TreeReader, fn: PciFunction): Folders {
  const found: Folder[] = [];
  let level: Pick<Folder, 'path' | 'name' | 'isBlock' | 'entries'>[] = [
    { path: fn.path, name: fn.address, isBlock: false, entries: fn.entries },
  ];
  for (let depth = 0; depth < depthMax && level.length > 0; depth += 1) {
    const next: Folder[] = [];
    for (const parent of level) {
      for (const [name, kind] of parent.entries) {
        if (kind !== 'directory' || dull.has(name) || parsePciAddress(name) !== undefined) continue;
        if (found.length + next.length >= foldersMax) return { folders: found, isComplete: false };
        const path = `${parent.path}/${name}`;
        const entries = reader.entries(path);
        if (entries === undefined) continue;
        const isBlock = parent.isBlock || isDisk({ name, group: parent.name, entries });
        next.push({ name, path, group: parent.name, isBlock, entries });
      }
    }
    found.push(...next);
    level = next;
  }
  return { folders: found, isComplete: level.length === 0 };
}

import { dirname } from 'node:path';
import { formatPciAddress, parsePciAddress } from '../pci.ts';
import type { TreeReader } from '../sysfs.ts';
import { readMountTable } from './mounts.ts';

export interface OpenNodes {
  /**
   * Who has them open: paths below /dev, numbers of nodes (`c226:128`), and addresses of PCI functions whose BARs are
   * open through sysfs.
   */
  readonly holders: ReadonlyMap<string, string>;
  /** Why there may be more; null when these are all. */
  readonly missing: string | null;
}

const filesMax = 2_000_000;
const hidden = "the files of other users' processes are hidden";
const memoryFile = /\/([0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])\/resource\d/iu;

/** Looks through the open files and the mounts of every process. Undefined when there is no process table. */
export function readOpenNodes(reader: TreeReader, proc: string): OpenNodes | undefined {
  const processes = reader.names(proc)?.filter((name) => /^\d+$/u.test(name));
  if (processes === undefined || processes.length === 0) return undefined;
  const holders = new Map<string, string>();
  let missing: string | null = null;
  let files = 0;
  const base = dirname(proc);
  const namespaces = new Set<string>();
  for (const id of processes) {
    const folder = `${proc}/${id}`;
    const names = reader.names(`${folder}/fd`);
    if (names === undefined) {
      // A process that ended meanwhile has no files; one that is there and hides them is what we cannot see.
      if (reader.exists(folder) && !isKernelThread(reader, folder)) missing = hidden;
      continue;
    }
    files += names.length;
    if (files > filesMax) return { holders, missing: `more than ${filesMax} files are open` };
    for (const name of names) {
      const node = toNode(reader.link(`${folder}/fd/${name}`), base);
      if (node === undefined || holders.has(node)) continue;
      holders.set(node, nameOf(reader, folder));
    }
    const namespace = reader.link(`${folder}/ns/mnt`);
    if (namespace === undefined || namespaces.has(namespace)) continue;
    namespaces.add(namespace);
    for (const { source } of readMountTable(reader, `${folder}/mountinfo`) ?? []) {
      if (!source.startsWith('/dev/') || holders.has(source)) continue;
      holders.set(source, `a mount of ${nameOf(reader, folder)}`);
    }
  }
  return { holders, missing };
}

function nameOf(reader: TreeReader, folder: string): string {
  const id = folder.slice(folder.lastIndexOf('/') + 1);
  return `${reader.text(`${folder}/comm`) ?? 'process'} (pid ${id})`;
}

/** Kernel threads have no command line and no files. */
function isKernelThread(reader: TreeReader, folder: string): boolean {
  return reader.text(`${folder}/cmdline`) === '' && reader.link(`${folder}/exe`) === undefined;
}

/** @param base  the folder that a copied tree's proc and dev are in: its links may have been written with it. */
function toNode(target: string | undefined, base: string): string | undefined {
  if (target === undefined) return undefined;
  const path = target.replace(/^(?:\.\.\/)+/u, '/');
  if (path.startsWith('/dev/')) return path.replace(/ \(deleted\)$/u, '');
  if (path.startsWith(`${base}/dev/`)) return path.slice(base.length);
  const address = memoryFile.exec(target)?.[1];
  const parsed = address === undefined ? undefined : parsePciAddress(address);
  return parsed === undefined ? undefined : formatPciAddress(parsed);
}

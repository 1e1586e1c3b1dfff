/**
 * Looks through the open files and the mounts of every process for device nodes: part of a process of its own, because
 * a file that is asked what it is may block. Discloses nothing but the name and number of processes that hold what was asked
 * for.
 */
import { statSync } from 'node:fs';
import { numberOf } from '@cyborg/driver-sdk/device-number';
import { readMountTable } from '@cyborg/driver-sdk/host-use/mounts';
import type { AgentResult } from '@cyborg/driver-sdk/protocol';
import type { TreeReader } from '@cyborg/driver-sdk/sysfs';
import { readMountTypes, typeAt, type MountTypes } from './mount-types.ts';

export interface OpenNodesOrder {
  readonly proc: string;
  readonly nodes: readonly string[];
  /** Processes that are not looked at: the agent's own, which have open what they are about to take. */
  readonly own: readonly number[];
}

type Answer = AgentResult<'openNodes'>;

const filesMax = 2_000_000;
/** A host of containers has one for each, and one for many a service. */
const mountNamespacesMax = 4096;
/** The kernel's number of the PID namespace in which every process is seen. */
const initialPidNamespace = 'pid:[4026531836]';
const kernelThreadFlag = 0x0020_0000;
const memoryFile = /\/([0-9a-f]{4,8}:[0-9a-f]{2}:[0-9a-f]{2}\.[0-7])\/resource\d/u;
/** File systems that need somebody's answer, and where no device nodes are. */
const answeredElsewhere =
  /^(?:fuse(?:blk|\..+)?|nfs4?|cifs|smb3|ceph|9p|afs|lustre|beegfs|glusterfs|virtiofs)$/u;

export function findOpenNodes(order: OpenNodesOrder, reader: TreeReader): Answer {
  return new Search(reader, order).run();
}

class Search {
  readonly #reader: TreeReader;
  readonly #proc: string;
  readonly #nodes: readonly string[];
  readonly #own: ReadonlySet<string>;
  /** What was asked for, by what it is found by: a number, a path or an address. */
  readonly #asked = new Map<string, string[]>();
  readonly #found = new Map<string, Answer['open'][number]>();
  readonly #ownMounts: MountTypes;
  readonly #mountNamespaces = new Set<string>();
  /** Numbers of what is mounted, by path; empty: no device of this host. */
  readonly #sources = new Map<string, string>();
  #asksForDisks = false;
  #isComplete = true;

  constructor(reader: TreeReader, { proc, nodes, own }: OpenNodesOrder) {
    this.#reader = reader;
    this.#proc = proc;
    this.#nodes = nodes;
    this.#own = new Set(own.map(String));
    this.#ownMounts = readMountTypes(reader, `${proc}/self/mountinfo`);
  }

  run(): Answer {
    for (const node of this.#nodes) this.#askFor(node);
    this.#asksForDisks = [...this.#asked.keys()].some((key) => key.startsWith('b'));
    const namespace = this.#reader.link(`${this.#proc}/self/ns/pid`);
    if (namespace !== undefined && namespace !== initialPidNamespace) this.#isComplete = false;
    const processes = this.#reader.names(this.#proc)?.filter((name) => /^\d+$/u.test(name)) ?? [];
    if (processes.length === 0) this.#isComplete = false;
    let files = 0;
    for (const id of processes) {
      if (this.#own.has(id)) continue;
      files += this.#lookAt(id);
      if (files > filesMax) {
        this.#isComplete = false;
        break;
      }
    }
    return { complete: this.#isComplete, open: [...this.#found.values()] };
  }

  #askFor(node: string): void {
    const keys = [node];
    if (node.startsWith('/dev/')) {
      const number = numberOf(this.#reader.probe(node, () => statSync(node)));
      if (number !== undefined) keys.push(number);
    }
    for (const key of keys) this.#asked.set(key, [...(this.#asked.get(key) ?? []), node]);
  }

  /** @returns the number of its files. */
  #lookAt(id: string): number {
    const folder = `${this.#proc}/${id}`;
    const names = this.#reader.names(`${folder}/fd`);
    if (names === undefined) {
      if (this.#mayHoldFiles(folder)) this.#isComplete = false;
      return 0;
    }
    for (const name of names) {
      for (const key of this.#keysOf(folder, `${folder}/fd/${name}`)) this.#note(key, id);
    }
    if (this.#asksForDisks) this.#lookAtMounts(id);
    return names.length;
  }

  /** Disks that the process sees mounted, and maybe no other does: once for all that share its mounts. */
  #lookAtMounts(id: string): void {
    const folder = `${this.#proc}/${id}`;
    const namespace = this.#reader.link(`${folder}/ns/mnt`);
    if (namespace === undefined || this.#mountNamespaces.has(namespace)) return;
    const mounts = readMountTable(this.#reader, `${folder}/mountinfo`);
    if (mounts === undefined || this.#mountNamespaces.size >= mountNamespacesMax) {
      if (this.#mayHoldFiles(folder)) this.#isComplete = false;
      return;
    }
    this.#mountNamespaces.add(namespace);
    for (const { number, source } of mounts) {
      this.#note(`b${number}`, id, 'a mount of ');
      this.#note(this.#sourceNumber(source), id, 'a mount of ');
    }
  }

  /** Some file systems (btrfs) are mounted under a number that is no disk's. */
  #sourceNumber(source: string): string {
    if (!source.startsWith('/dev/')) return '';
    const known = this.#sources.get(source);
    if (known !== undefined) return known;
    const number = numberOf(this.#reader.probe(source, () => statSync(source))) ?? '';
    this.#sources.set(source, number);
    return number;
  }

  /** A process that has ended, and a thread of the kernel, have none. */
  #mayHoldFiles(folder: string): boolean {
    const stat = this.#reader.text(`${folder}/stat`);
    if (stat === undefined) return this.#reader.exists(folder);
    // After the name, which may contain anything: state, ppid, pgrp, session, tty, tpgid, flags.
    const [state = '', , , , , , flags] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return !/^[ZX]$/u.test(state) && (Number(flags) & kernelThreadFlag) === 0;
  }

  /** What an open file can be found by. */
  #keysOf(folder: string, file: string): string[] {
    const path = this.#reader.link(file);
    if (path?.startsWith('/') !== true) return []; // closed meanwhile; a socket, a pipe and the like
    const address = memoryFile.exec(path)?.[1];
    if (address !== undefined) return [address];
    if (answeredElsewhere.test(typeAt(this.#ownMounts, path))) return [];
    // Under a name of its own: when this look blocks and is given up, the link can still be read.
    const stats = this.#reader.probe(`${file}/`, () => statSync(file));
    if (stats === undefined) {
      if (this.#reader.link(file) === path && !this.#isElsewhere(folder, path))
        this.#isComplete = false;
      return [];
    }
    const number = numberOf(stats);
    return number === undefined ? [] : [number, path.replace(/ \(deleted\)$/u, '')];
  }

  /** In a container's own mounts. */
  #isElsewhere(folder: string, path: string): boolean {
    const mounts = readMountTypes(this.#reader, `${folder}/mountinfo`);
    return answeredElsewhere.test(typeAt(mounts, path));
  }

  #note(key: string, id: string, what = ''): void {
    for (const node of this.#asked.get(key) ?? []) {
      if (this.#found.has(node)) continue;
      const command = this.#reader.text(`${this.#proc}/${id}/comm`) ?? 'process';
      this.#found.set(node, { node, pid: Number(id), command: `${what}${command}` });
    }
  }
}

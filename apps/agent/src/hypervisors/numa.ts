/** Which of the host's NUMA nodes CPUs, threads and functions belong to. All reads are bounded: not knowing is an answer. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '@cyborg/service/clock';
import { withDeadline } from '@cyborg/service/deadline';
import { isFunctionAddress } from './vfio.ts';

export const numaLimits = {
  readMsMax: 2_000,
  /** The host's nodes are read again after this long: CPUs can be switched off. */
  hostAgeMs: 600_000,
  cpusMax: 16_384,
  threadsMax: 512,
  nodesMax: 64,
} as const;

export interface HostNumaOptions {
  readonly sysfsRoot: string;
  readonly procRoot: string;
  readonly clock: Clock;
}

/** CPUs by node; nodes without CPUs are left out. */
type Nodes = ReadonlyMap<number, ReadonlySet<number>>;

export class HostNuma {
  readonly #options: HostNumaOptions;
  #nodes: Nodes = new Map();
  #readAtMs = Number.NEGATIVE_INFINITY;

  constructor(options: HostNumaOptions) {
    this.#options = options;
  }

  /** Whether there is anything to choose. */
  async hasNodes(): Promise<boolean> {
    return (await this.#hostNodes()).size > 1;
  }

  /** @returns undefined when these CPUs say nothing: none, or some of every node. */
  async nodesOfCpus(cpus: ReadonlySet<number>): Promise<readonly number[] | undefined> {
    const nodes = await this.#hostNodes();
    const isAmong = ([, own]: [number, ReadonlySet<number>]): boolean =>
      [...own].some((cpu) => cpus.has(cpu));
    const found = [...nodes].filter(isAmong).map(([node]) => node);
    return found.length === 0 || found.length === nodes.size ? undefined : found;
  }

  /** CPUs on which these threads of the process may run; undefined when one of them is not its, or cannot be asked. */
  async cpusOfThreads(
    pid: number,
    threads: readonly number[],
  ): Promise<ReadonlySet<number> | undefined> {
    const cpus = new Set<number>();
    for (const thread of new Set(threads.slice(0, numaLimits.threadsMax))) {
      const file = join(this.#options.procRoot, `${pid}/task/${thread}/status`);
      const text = await this.#read(file);
      const list = /^Cpus_allowed_list:\s*(\S+)$/m.exec(text ?? '')?.[1];
      if (list === undefined) return undefined;
      for (const cpu of parseCpuList(list)) cpus.add(cpu);
    }
    return cpus;
  }

  /** @returns undefined for a function that is on no node, or not on this host. */
  async nodeOfFunction(address: string): Promise<number | undefined> {
    if (!isFunctionAddress(address)) return undefined;
    const file = join(this.#options.sysfsRoot, 'bus/pci/devices', address, 'numa_node');
    const node = Number.parseInt((await this.#read(file)) ?? '', 10);
    return Number.isInteger(node) && node >= 0 ? node : undefined;
  }

  async #hostNodes(): Promise<Nodes> {
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs - this.#readAtMs < numaLimits.hostAgeMs) return this.#nodes;
    this.#readAtMs = nowMs;
    const folder = join(this.#options.sysfsRoot, 'devices/system/node');
    const names = (await this.#bounded(() => readdir(folder))) ?? [];
    const nodes = new Map<number, ReadonlySet<number>>();
    for (const name of names.slice(0, 4096)) {
      const node = /^node(\d{1,5})$/.exec(name)?.[1];
      if (node === undefined) continue;
      const cpus = parseCpuList((await this.#read(join(folder, name, 'cpulist'))) ?? '');
      if (cpus.size > 0) nodes.set(Number(node), cpus);
    }
    this.#nodes = nodes;
    return nodes;
  }

  async #read(file: string): Promise<string | undefined> {
    return await this.#bounded(() => readFile(file, 'utf8'));
  }

  async #bounded<T>(work: () => Promise<T>): Promise<T | undefined> {
    const { clock } = this.#options;
    const timeoutMs = numaLimits.readMsMax;
    return await withDeadline(work, { clock, timeoutMs, what: 'A read' }).catch(() => undefined);
  }
}

/** `0-3,8` → 0, 1, 2, 3, 8; `^2` takes 2 out (libvirt). What is no list is empty. */
export function parseCpuList(text: string): ReadonlySet<number> {
  const cpus = new Set<number>();
  for (const part of text.trim().split(',')) {
    const [, not, from, to] = /^(\^?)(\d{1,5})(?:-(\d{1,5}))?$/.exec(part.trim()) ?? [];
    if (from === undefined) continue;
    const last = Math.min(Number(to ?? from), numaLimits.cpusMax);
    for (let cpu = Number(from); cpu <= last; cpu += 1) {
      if (not === '^') cpus.delete(cpu);
      else cpus.add(cpu);
    }
  }
  return cpus;
}

/** Sorted, without doubles; undefined when nothing is known. */
export function toNodes(nodes: Iterable<number>): readonly number[] | undefined {
  const sorted = [...new Set(nodes)].toSorted((a, b) => a - b).slice(0, numaLimits.nodesMax);
  return sorted.length === 0 ? undefined : sorted;
}

/** What is known of a guest's machine beyond one look, because asking costs time and it seldom changes. */
import type { AttachPlan, PlanKind } from '@cyborg/driver-sdk/protocol';
import type { Clock } from '@cyborg/service/clock';
import { toNodes, type HostNuma } from '../numa.ts';
import { addressOf } from '../vfio.ts';
import type { QemuProcesses } from '../processes.ts';
import { ask, CpusSchema, MemoryBackendsSchema } from './answers.ts';
import { plugsOf } from './machine.ts';
import type { QmpConnection } from './qmp.ts';

export const factLimits = {
  guestsMax: 1024,
  /** Threads can be pinned elsewhere while the guest runs. */
  numaAgeMs: 60_000,
} as const;

export interface GuestFactsOptions {
  readonly clock: Clock;
  readonly numa: HostNuma;
  readonly lookAtProcesses: () => Promise<QemuProcesses | null>;
}

export interface SocketOfGuest {
  /** Of the socket's file: each QEMU makes its socket anew. */
  readonly identity: string;
  readonly socket: string;
  readonly id: string;
}

export interface Facts {
  readonly plugs: readonly PlanKind[];
  readonly numaNodes: readonly number[] | undefined;
}

interface Known extends Facts {
  readonly pid: number | undefined;
  readonly atMs: number;
}

/** A virtual CPU: the thread that runs it, and the guest's NUMA node that it is on. */
interface Cpu {
  readonly thread: number;
  readonly node: number | undefined;
}

export class GuestFacts {
  readonly #options: GuestFactsOptions;
  readonly #known = new Map<string, Known>();

  constructor(options: GuestFactsOptions) {
    this.#options = options;
  }

  /** @throws QmpError */
  async of({ identity, socket, id }: SocketOfGuest, qmp: QmpConnection): Promise<Facts> {
    const nowMs = this.#options.clock.monotonicMs();
    const known = this.#known.get(identity);
    if (known !== undefined && nowMs - known.atMs < factLimits.numaAgeMs) return known;
    const plugs = known?.plugs ?? (await plugsOf(qmp));
    const isNuma = await this.#options.numa.hasNodes();
    const pid = isNuma ? (known?.pid ?? (await this.#pidOf(id, socket))) : undefined;
    const numaNodes = isNuma ? await this.#nodesOf(qmp, pid) : undefined;
    if (this.#known.size >= factLimits.guestsMax) this.#known.clear();
    const facts = { plugs, numaNodes, pid, atMs: nowMs };
    this.#known.set(identity, facts);
    return facts;
  }

  /** The guest's own nodes whose CPUs run on the node of the hardware, and on no other. */
  async guestNodesNear(
    qmp: QmpConnection,
    { id, plan }: { id: string; plan: AttachPlan },
  ): Promise<ReadonlySet<number>> {
    const { numa } = this.#options;
    const near = new Set<number>();
    const address = addressOf(plan);
    const hostNode = address === undefined ? undefined : await numa.nodeOfFunction(address);
    const isNuma = hostNode !== undefined && (await numa.hasNodes());
    const pid = isNuma ? await this.#pidOf(id, null) : undefined;
    if (hostNode === undefined || pid === undefined) return near;
    const byNode = Map.groupBy(await cpusOf(qmp), ({ node }) => node);
    for (const [node, cpus] of byNode) {
      const hostNodes = node === undefined ? undefined : await this.#nodesOfCpus(pid, cpus);
      if (node === undefined || hostNodes?.length !== 1) continue;
      if (hostNodes[0] === hostNode) near.add(node);
    }
    return near;
  }

  async #nodesOf(
    qmp: QmpConnection,
    pid: number | undefined,
  ): Promise<readonly number[] | undefined> {
    const memory = await memoryNodesOf(qmp);
    const cpus = pid === undefined ? undefined : await this.#nodesOfCpus(pid, await cpusOf(qmp));
    return toNodes([...memory, ...(cpus ?? [])]);
  }

  async #nodesOfCpus(pid: number, cpus: readonly Cpu[]): Promise<readonly number[] | undefined> {
    const { numa } = this.#options;
    const threads = cpus.map(({ thread }) => thread);
    const allowed = await numa.cpusOfThreads(pid, threads);
    return allowed === undefined ? undefined : await numa.nodesOfCpus(allowed);
  }

  async #pidOf(uuid: string, socket: string | null): Promise<number | undefined> {
    return (await this.#options.lookAtProcesses())?.pidOf({ uuid, socket });
  }
}

/** (`default`: the kernel decides page by page, and finding out where they are costs too much.) */
async function memoryNodesOf(qmp: QmpConnection): Promise<readonly number[]> {
  const query = { command: 'query-memdev', schema: MemoryBackendsSchema };
  return (await ask(qmp, query)).flatMap(({ policy, 'host-nodes': nodes }) =>
    policy === 'default' ? [] : nodes,
  );
}

async function cpusOf(qmp: QmpConnection): Promise<readonly Cpu[]> {
  const cpus = await ask(qmp, { command: 'query-cpus-fast', schema: CpusSchema });
  return cpus.map(({ 'thread-id': thread, props }) => ({ thread, node: props?.['node-id'] }));
}

/** Tells a driver who has device nodes open: as root the agent can see that, and the driver cannot. */
import type { AgentResult } from '@cyborg/driver-sdk/protocol';
import { ScanProcess } from '@cyborg/driver-sdk/scan-process';
import type { Clock } from '@cyborg/service/clock';
import { DriverCallError } from '@cyborg/driver-host/driver-error';
import { messageOf } from '../hypervisors/node-error.ts';
import type { Log } from '../log.ts';
import type { OpenNodesOrder } from './open-nodes-scan.ts';

export const openNodesLimits = {
  answerMsMax: 20_000,
  heapMiBMax: 128,
  /** Acts come in twos and threes, and starting it takes longer than looking. */
  idleMs: 30_000,
} as const;

export interface OpenNodesDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly simulated: boolean;
  readonly roots: { readonly proc: string };
  /** Processes of acts, whose looks and claims are nobody's use. */
  readonly own: () => readonly number[];
}

type Answer = AgentResult<'openNodes'>;

export class OpenNodes {
  readonly #deps: OpenNodesDeps;
  #scanner: ScanProcess<OpenNodesOrder, Answer> | undefined;
  /** Backends whose question waits or is being answered. */
  readonly #asking = new Set<string>();

  constructor(deps: OpenNodesDeps) {
    this.#deps = deps;
  }

  /** @throws DriverCallError `transient` when it takes too long, or the backend asks again before it has its answer. */
  async find(backendId: string, nodes: readonly string[]): Promise<Answer> {
    // The processes of this machine say nothing of a recorded one.
    if (this.#deps.simulated) return { complete: false, open: [] };
    if (this.#asking.has(backendId)) {
      throw new DriverCallError('transient', 'openNodes: wait for the answer before asking again.');
    }
    this.#asking.add(backendId);
    try {
      return await this.#findInChild(nodes);
    } finally {
      this.#asking.delete(backendId);
    }
  }

  /** Somebody is about to ask. */
  warm(): void {
    if (!this.#deps.simulated) (this.#scanner ??= this.#makeScanner()).warm();
  }

  async #findInChild(nodes: readonly string[]): Promise<Answer> {
    const { clock, roots, own } = this.#deps;
    const controller = new AbortController();
    using _timer = clock.setTimer(openNodesLimits.answerMsMax, () => controller.abort());
    const scanner = (this.#scanner ??= this.#makeScanner());
    try {
      return await scanner.run(
        { proc: roots.proc, nodes, own: own() },
        { signal: controller.signal },
      );
    } catch (error) {
      // Another one next time: this one may have given up files of processes that are gone.
      if (this.#scanner === scanner) this.#scanner = undefined;
      const why = controller.signal.aborted
        ? `the open files were not looked through within ${openNodesLimits.answerMsMax} ms`
        : messageOf(error);
      throw new DriverCallError('transient', why, { cause: error });
    }
  }

  #makeScanner(): ScanProcess<OpenNodesOrder, Answer> {
    const { log } = this.#deps;
    return new ScanProcess({
      module: new URL('./open-nodes-scan.ts', import.meta.url),
      execArgv: [`--max-old-space-size=${openNodesLimits.heapMiBMax}`],
      limits: { idleMs: openNodesLimits.idleMs },
      onBlocked: (path) => log.warn({ path }, 'a file does not say what it is: it blocks'),
    });
  }
}

/**
 * What a driver that is nobody may not see itself and is told: looked for in a process of its own, which may be given up, with
 * one question of a kind and backend at a time.
 */
import { DriverCallError } from '@cyborg/driver-host/driver-error';
import { ScanProcess } from '@cyborg/driver-sdk/scan-process';
import type { Clock } from '@cyborg/service/clock';
import { messageOf } from '../hypervisors/node-error.ts';
import type { Log } from '../log.ts';
import type { LookAnswer, LookMethod, LookOrder } from './looks-scan.ts';

const limits = {
  heapMiBMax: 128,
  /** Acts come in twos and threes, and starting it takes longer than looking. */
  idleMs: 30_000,
  /** Cards whose numbers cannot be read, say. */
  blockedPathsMax: 32,
} as const;

/** Within what the protocol gives the agent for an answer. */
const answerMsMax = { openNodes: 20_000, serialNumbers: 40_000 } as const satisfies Record<
  LookMethod,
  number
>;

export interface LooksDeps {
  readonly clock: Clock;
  readonly log: Log;
}

export class Looks {
  readonly #deps: LooksDeps;
  #scanner: ScanProcess<LookOrder, LookAnswer> | undefined;
  /** Backends whose question waits or is being answered. */
  readonly #asking = new Set<string>();

  constructor(deps: LooksDeps) {
    this.#deps = deps;
  }

  /** @throws DriverCallError `transient` when it takes too long, or the backend asks again before it has its answer. */
  async find<M extends LookMethod>(
    method: M,
    backendId: string,
    order: LookOrder,
  ): Promise<NonNullable<LookAnswer[M]>> {
    const asker = `${method} ${backendId}`;
    if (this.#asking.has(asker)) {
      throw new DriverCallError('transient', `${method}: wait for the answer before asking again.`);
    }
    this.#asking.add(asker);
    try {
      const { [method]: answer } = await this.#findInChild(method, order);
      if (answer === undefined) throw new DriverCallError('transient', `${method}: no answer.`);
      return answer;
    } finally {
      this.#asking.delete(asker);
    }
  }

  /** Somebody is about to ask. */
  warm(): void {
    (this.#scanner ??= this.#makeScanner()).warm();
  }

  async #findInChild(method: LookMethod, order: LookOrder): Promise<LookAnswer> {
    const controller = new AbortController();
    const ms = answerMsMax[method];
    using _timer = this.#deps.clock.setTimer(ms, () => controller.abort());
    const scanner = (this.#scanner ??= this.#makeScanner());
    try {
      return await scanner.run(order, { signal: controller.signal });
    } catch (error) {
      // Another one next time: this one may have given up files of processes that are gone.
      if (this.#scanner === scanner) this.#scanner = undefined;
      const why = controller.signal.aborted
        ? `${method}: not all could be looked through within ${ms} ms`
        : messageOf(error);
      throw new DriverCallError('transient', why, { cause: error });
    }
  }

  #makeScanner(): ScanProcess<LookOrder, LookAnswer> {
    const { log } = this.#deps;
    const { heapMiBMax, idleMs, blockedPathsMax } = limits;
    return new ScanProcess({
      module: new URL('./looks-scan.ts', import.meta.url),
      execArgv: [`--max-old-space-size=${heapMiBMax}`],
      limits: { idleMs, blockedPathsMax },
      onBlocked: (path) => log.warn({ path }, 'a file does not say what it is: it blocks'),
    });
  }
}

/** What there is to do for backends with the driver that runs: made ready, looked at, taken away. Each can be repeated. */
import { DriverCallError } from '@cyborg/driver-host/driver-error';
import { backoffMs } from '@cyborg/service/backoff';
import type { Clock } from '@cyborg/service/clock';
import type { Rng } from '@cyborg/service/rng';
import { untraced } from '@cyborg/service/tracing';
import type { HostPreparation } from '../host-needs/host-preparation.ts';
import { toFigures } from '../metrics/figures.ts';
import { messageOf } from '../hypervisors/node-error.ts';
import type { Log } from '../log.ts';
import { contentHash } from '../inventory/content-hash.ts';
import type { InventoryPublisher } from '../inventory/publisher.ts';
import type { Backend } from './backend.ts';
import { toNeeded } from './needed.ts';
import type { SupervisedDriver } from './supervised-driver.ts';

export interface BackendWorkDeps {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly publisher: InventoryPublisher;
  readonly preparation: Pick<HostPreparation, 'prepare' | 'undo'>;
  readonly redact: (text: string) => string;
  readonly log: Log;
  /** There are new figures. */
  readonly onStats: () => void;
}

export const retryBounds = { firstMs: 1_000, maxMs: 60_000 } as const;
const atOnceMax = 4;

export class BackendWork {
  readonly #deps: BackendWorkDeps;

  constructor(deps: BackendWorkDeps) {
    this.#deps = deps;
  }

  /** Does what is due for these; what fails is tried again later. */
  async ensure(
    driver: SupervisedDriver | undefined,
    backends: readonly Backend[],
    signal: AbortSignal,
  ): Promise<void> {
    const nowMs = this.#deps.clock.monotonicMs();
    const due = backends.filter((backend) => backend.isPending && backend.retryAtMs <= nowMs);
    const work = due.values();
    const worker = async (): Promise<void> => {
      for (const backend of work) await this.#ensureOne(driver, backend, signal);
    };
    await Promise.all(Array.from({ length: atOnceMax }, worker));
  }

  /** When the first of these is due, in ms; undefined when none is. */
  nextRetryMs(backends: readonly Backend[]): number | undefined {
    const nowMs = this.#deps.clock.monotonicMs();
    const waits = backends
      .filter((backend) => backend.isPending)
      .map((backend) => Math.max(50, backend.retryAtMs - nowMs));
    return waits.length === 0 ? undefined : Math.min(...waits);
  }

  /** @throws Error with what a person must do first. */
  async uninstall(
    driver: SupervisedDriver | undefined,
    backend: Backend,
    signal: AbortSignal,
  ): Promise<void> {
    const { id, name, generation } = backend.wanted;
    this.#deps.publisher.forget(id);
    const answer = await driver?.call('uninstall', { backend: name, dry_run: false }, { signal });
    const needed = answer === undefined ? undefined : toNeeded(answer);
    if (needed !== undefined) {
      throw new Error(`backend ${name} cannot be taken away yet: ${needed}`);
    }
    await this.#deps.preparation.undo(id);
    // What is reported as removed is this wish, not the one that was installed.
    backend.installedGeneration = generation;
    backend.become('removed');
  }

  async #ensureOne(
    driver: SupervisedDriver | undefined,
    backend: Backend,
    signal: AbortSignal,
  ): Promise<void> {
    if (driver?.isUp !== true) return;
    const { discovery, generation, name } = backend.wanted;
    try {
      const needed = await this.#install(driver, backend, signal);
      if (needed !== undefined) return this.#postpone(backend, 'blocked', needed);
      backend.needsDiscovery = false;
      const inventory = await driver.call('discover', { backend: name }, { signal });
      backend.setInventory(inventory);
      backend.listedGeneration = backend.installedGeneration;
      backend.listedFor = discovery;
      backend.failures = 0;
      backend.refusedGeneration = undefined;
      this.#publish(backend);
      this.lookAtHealth(driver, backend);
    } catch (error) {
      if (signal.aborted) return;
      backend.discoveryDone = Math.max(backend.discoveryDone, discovery);
      if (driver.isQuarantined) return this.#postpone(backend, 'failed', driver.downReason);
      const isRefused = error instanceof DriverCallError && error.failure === 'invalid';
      if (isRefused) backend.refusedGeneration = generation;
      const state = isRefused || backend.inventory === undefined ? 'failed' : 'stale';
      this.#postpone(backend, state, messageOf(error));
    }
  }

  /** @returns what a person must do first. */
  async #install(
    driver: SupervisedDriver,
    backend: Backend,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const { generation, id, kind } = backend.wanted;
    if (backend.installedGeneration === generation) return undefined;
    const lacking = await this.#deps.preparation.prepare(driver.package, { id, kind });
    if (lacking !== undefined) return lacking;
    const wish = { backend: backend.spec, dry_run: false };
    const needed = toNeeded(await driver.call('install', wish, { signal }));
    if (needed === undefined) backend.installedGeneration = generation;
    return needed;
  }

  /** Beside everything else: nobody asked for it, nothing waits for it, and what it finds is told when it is there. */
  lookAtHealth(driver: SupervisedDriver, backend: Backend): void {
    if (!driver.capabilities.has('health') && !driver.capabilities.has('stats')) return;
    if (backend.healthAsk !== 'none') {
      backend.healthAsk = 'again';
      return;
    }
    backend.healthAsk = 'asking';
    void untraced(async () => {
      await Promise.all([this.#askHealth(driver, backend), this.#askStats(driver, backend)]);
      const isAgain = backend.healthAsk === 'again';
      backend.healthAsk = 'none';
      if (isAgain) this.lookAtHealth(driver, backend);
    });
  }

  async #askStats(driver: SupervisedDriver, backend: Backend): Promise<void> {
    if (!driver.capabilities.has('stats')) return;
    const { clock, onStats } = this.#deps;
    const { name } = backend.wanted;
    try {
      const { shown } = toFigures(await driver.call('stats', { backend: name }));
      backend.stats = { at: clock.now().toISOString(), figures: Object.fromEntries(shown) };
      onStats();
    } catch (error) {
      this.#noAnswer('stats', { driver, backend }, error);
    }
  }

  async #askHealth(driver: SupervisedDriver, backend: Backend): Promise<void> {
    if (!driver.capabilities.has('health')) return;
    const { name } = backend.wanted;
    try {
      const hasChanged = backend.setHealths(await driver.call('health', { backend: name }));
      const isListed = backend.state === undefined || backend.state === 'ready';
      if (hasChanged && isListed) this.#publish(backend);
    } catch (error) {
      this.#noAnswer('health', { driver, backend }, error);
    }
  }

  /** What was known stays: no answer says nothing of a card. */
  #noAnswer(
    what: 'stats' | 'health',
    { driver, backend }: { readonly driver: SupervisedDriver; readonly backend: Backend },
    error: unknown,
  ): void {
    const { name } = backend.wanted;
    const fields = { driver: driver.package.id, backend: name, reason: messageOf(error) };
    this.#deps.log.debug(fields, `a driver did not tell its ${what}`);
  }

  #publish(backend: Backend): void {
    const { inventory, listedFor: discovery, wanted } = backend;
    if (inventory === undefined) return;
    const generation = backend.listedGeneration ?? wanted.generation;
    this.#deps.publisher.offer({
      backendId: wanted.id,
      generation,
      hash: contentHash(inventory),
      inventory,
      onAccepted: () => {
        backend.takenGeneration = generation;
        backend.discoveryDone = Math.max(backend.discoveryDone, discovery);
        if (backend.state !== 'removed') backend.become('ready');
      },
    });
  }

  #postpone(backend: Backend, state: 'blocked' | 'failed' | 'stale', reason: string): void {
    const { clock, rng, redact } = this.#deps;
    backend.failures += 1;
    backend.needsDiscovery = true;
    backend.retryAtMs = clock.monotonicMs() + backoffMs(backend.failures + 1, retryBounds, rng);
    backend.become(state, redact(reason));
  }
}

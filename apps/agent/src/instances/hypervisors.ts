/** The hypervisor of this host, watched: listings at an interval and when something stirs, never one that cannot be trusted. */
import type { HypervisorReportSchema } from '@cyborg/api-spec/agent/report';
import type { PlanKind } from '@cyborg/driver-sdk/protocol';
import type { Clock } from '@cyborg/service/clock';
import { withDeadline } from '@cyborg/service/deadline';
import { traced } from '@cyborg/service/tracing';
import type { Static } from 'typebox';
import {
  HypervisorError,
  type Hypervisor,
  type InstanceListing,
  type PlugOrder,
  type UnplugOrder,
} from '../hypervisors/hypervisor.ts';
import { messageOf } from '../hypervisors/node-error.ts';
import { agentDefaults } from '../limits.ts';
import type { Log } from '../log.ts';
import type { Measures } from '../metrics/measures.ts';
import { Waker } from '../server-link/waker.ts';
import { hypervisorSpan } from '../spans.ts';
import { World } from './world.ts';

type HypervisorReport = Static<typeof HypervisorReportSchema>;

export interface WatchedHypervisorDeps {
  /** Null where this agent manages no instances. */
  readonly hypervisor: Hypervisor | null;
  readonly clock: Clock;
  readonly log: Log;
  readonly measures: Pick<Measures, 'timed'>;
  readonly instanceIntervalMs: number;
  readonly onListing: (hypervisor: string, listing: InstanceListing, beganAtMs: number) => void;
  readonly onHealth: () => void;
}

export class WatchedHypervisor {
  readonly world = new World();
  readonly #deps: WatchedHypervisorDeps;
  readonly #wake = new Waker();
  readonly #firstLook = Promise.withResolvers<void>();
  #waiting: PromiseWithResolvers<void>[] = [];
  #health: { healthy: boolean; reason: string | null } = {
    healthy: false,
    reason: 'not looked yet',
  };
  #lastListedMs = Number.NEGATIVE_INFINITY;
  #warned = '';

  constructor(deps: WatchedHypervisorDeps) {
    this.#deps = deps;
  }

  get plugs(): readonly PlanKind[] {
    return this.#deps.hypervisor?.plugs ?? [];
  }

  get isHealthy(): boolean {
    return this.#health.healthy;
  }

  describe(): HypervisorReport[] {
    const { hypervisor } = this.#deps;
    if (hypervisor === null) return [];
    const { healthy, reason } = this.#health;
    const { kind, plugs } = hypervisor;
    return [
      { hypervisor: kind, healthy, reason: reason?.slice(0, 2048) ?? null, plugs: [...plugs] },
    ];
  }

  /** @throws HypervisorError */
  async plug(order: PlugOrder, signal: AbortSignal): Promise<void> {
    await this.#act('plug', order, async (hypervisor) => hypervisor.plug(order, signal));
    this.world.plugged(order.instanceId, order.deviceName, this.#deps.clock.monotonicMs());
  }

  /** @throws HypervisorError */
  async unplug(order: UnplugOrder, signal: AbortSignal): Promise<void> {
    await this.#act('unplug', order, async (hypervisor) => hypervisor.unplug(order, signal));
    this.world.unplugged(order.instanceId, order.deviceName, this.#deps.clock.monotonicMs());
  }

  /** Resolves when the first look has ended, well or not, or at once when there is nothing to look at. */
  async lookedOnce(): Promise<void> {
    if (this.#deps.hypervisor !== null) await this.#firstLook.promise;
  }

  /** Resolves after a healthy look that begins now or later. @throws HypervisorError `unavailable` */
  async lookedAgain(): Promise<void> {
    if (this.#deps.hypervisor === null) return;
    const looked = Promise.withResolvers<void>();
    this.#waiting.push(looked);
    this.#wake.wake();
    await looked.promise;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { hypervisor, clock, instanceIntervalMs } = this.#deps;
    if (hypervisor === null) return;
    using _watch = hypervisor.watch(() => this.#wake.wake());
    while (!signal.aborted) {
      await this.#look(hypervisor, signal);
      await this.#wake.wait(clock, instanceIntervalMs, signal);
      const sinceMs = clock.monotonicMs() - this.#lastListedMs;
      const gapMs = this.#waiting.length > 0 ? 0 : agentDefaults.listingGapMsMin - sinceMs;
      if (gapMs > 0) await clock.sleep(gapMs, signal).catch(() => undefined);
    }
  }

  #act(
    name: 'plug' | 'unplug',
    { instanceId, deviceName }: UnplugOrder,
    work: (hypervisor: Hypervisor) => Promise<void>,
  ): Promise<void> {
    const hypervisor = this.#hypervisor();
    const attributes = {
      'cyborg.hypervisor': hypervisor.kind,
      'cyborg.instance_id': instanceId,
      'cyborg.device_name': deviceName,
    };
    return this.#timed(hypervisor, name, () =>
      traced(hypervisorSpan(name), { kind: 'client', attributes }, () => work(hypervisor)),
    );
  }

  #timed<Result>(
    { kind }: Hypervisor,
    act: 'list' | 'plug' | 'unplug',
    work: () => Promise<Result>,
  ): Promise<Result> {
    return this.#deps.measures.timed({ what: 'hypervisor-call', hypervisor: kind, act }, work);
  }

  #hypervisor(): Hypervisor {
    const { hypervisor } = this.#deps;
    if (hypervisor !== null) return hypervisor;
    throw new HypervisorError('refused', 'This agent manages no hypervisor (--hypervisor none).');
  }

  async #look(hypervisor: Hypervisor, signal: AbortSignal): Promise<void> {
    const { clock, onListing } = this.#deps;
    const waiting = this.#waiting;
    this.#waiting = [];
    const beganAtMs = clock.monotonicMs();
    try {
      const listing = await this.#timed(hypervisor, 'list', () =>
        withDeadline(async (inner) => hypervisor.list(inner), {
          clock,
          timeoutMs: agentDefaults.hypervisorTimeoutMs,
          what: `Listing the instances of ${hypervisor.kind}`,
          signal,
        }),
      );
      this.#lastListedMs = clock.monotonicMs();
      this.world.see(listing, beganAtMs);
      this.#setHealth(true, null);
      this.#warn(listing.warnings ?? []);
      onListing(hypervisor.kind, listing, beganAtMs);
      for (const looked of waiting) looked.resolve();
    } catch (error) {
      this.#lastListedMs = clock.monotonicMs();
      if (!signal.aborted) this.#setHealth(false, messageOf(error));
      const failure = new HypervisorError('unavailable', messageOf(error), { cause: error });
      for (const looked of waiting) looked.reject(failure);
    } finally {
      this.#firstLook.resolve();
    }
  }

  #setHealth(healthy: boolean, reason: string | null): void {
    const before = this.#health;
    this.#health = { healthy, reason };
    if (before.healthy === healthy && before.reason === reason) return;
    if (!healthy)
      this.#deps.log.warn({ reason }, 'the hypervisor cannot be asked; concluding nothing');
    else this.#deps.log.info({}, 'the hypervisor answers');
    this.#deps.onHealth();
  }

  #warn(warnings: readonly string[]): void {
    const text = warnings.join(' ');
    if (text !== '' && text !== this.#warned)
      this.#deps.log.warn({ warnings }, 'seen with reservations');
    this.#warned = text;
  }
}

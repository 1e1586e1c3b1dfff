/** The agent of one host: its parts, and what each tells the others. */
import type { DesiredState, Held, Order } from '@cyborg/api-spec/agent/desired';
import type { OrderOutcome } from '@cyborg/api-spec/agent/report';
import { makeHostParts, makeServerParts, type AgentSettings, type Opened } from './agent-parts.ts';
import { Fence } from './attachments/fence.ts';
import { openImagesFolder } from './attachments/images.ts';
import { openPackagesFolder } from './driver-host/packages.ts';
import type { OrderBook } from './attachments/order-book.ts';
import { toOutcome } from './attachments/outcome.ts';
import type { UnclaimedReleases } from './attachments/unclaimed-releases.ts';
import type { DriverPackage } from '@cyborg/driver-host/catalogue';
import type { Installations } from './driver-host/installations.ts';
import { launchDriver } from '@cyborg/driver-host/launch';
import { containmentFacts } from '@cyborg/driver-host/containment';
import { probeWall } from '@cyborg/driver-host/wall';
import { messageOf } from './hypervisors/node-error.ts';
import { sayAgent } from './inspect/agent-says.ts';
import { answerInspection } from './inspect/socket.ts';
import type { WatchedHypervisor } from './instances/hypervisors.ts';
import type { Observer } from './instances/observer.ts';
import { followHardwareEvents } from './inventory/hardware-events.ts';
import type { InventoryPublisher } from './inventory/publisher.ts';
import { agentDefaults } from './limits.ts';
import { makeAgentMetrics, type AgentMetrics } from './metrics/agent-metrics.ts';
import { makeCollector } from './metrics/collect.ts';
import { listenForMetrics } from './metrics/listener.ts';
import { makeMeasures } from './metrics/measures.ts';
import type { DesiredPoll } from './server-link/desired-poll.ts';
import { ensureCredential, renewCredential, type EnrolmentDeps } from './server-link/enrolment.ts';
import type { HeldList } from './server-link/held-list.ts';
import type { Lease, LeaseDeps } from './server-link/lease.ts';
import type { Reporter } from './server-link/reporter.ts';
import type { ServerLink } from './server-link/server-link.ts';
import { Boots } from './state/boots.ts';
import { LedgerMemory } from './state/ledger-memory.ts';
import { Predecessors } from './state/predecessors.ts';
import { RunningDrivers } from './state/running-drivers.ts';

export interface RunningAgent extends AsyncDisposable {
  /** Resolves with the error when a part has ended that must not. */
  readonly failed: Promise<unknown>;
}

export async function startAgent(settings: AgentSettings): Promise<RunningAgent> {
  const agent = await Agent.open(settings);
  return agent.run();
}

class Agent {
  readonly #settings: AgentSettings;
  readonly #ledger: LedgerMemory;
  readonly #boots: Boots;
  readonly #fence: Fence;
  readonly #link: ServerLink;
  readonly #lease: Lease;
  readonly #reporter: Reporter;
  readonly #held: HeldList;
  readonly #poll: DesiredPoll;
  readonly #publisher: InventoryPublisher;
  readonly #drivers: Installations;
  readonly #hypervisor: WatchedHypervisor;
  readonly #observer: Observer;
  readonly #book: OrderBook;
  readonly #unclaimed: UnclaimedReleases;
  readonly #metrics: AgentMetrics;
  readonly #ending = new AbortController();
  #packages: readonly DriverPackage[] = [];
  #isRefreshingHeld = false;

  static async open(given: AgentSettings): Promise<Agent> {
    const wall = await probeWall(given.uid, given.log);
    const settings = { ...given, facts: { ...given.facts, ...containmentFacts(wall) } };
    const ledger = await LedgerMemory.open(settings.stateDir);
    const instance = settings.rng.uuid();
    const predecessors = await Predecessors.open(settings.stateDir, instance);
    const { stateDir, log } = settings;
    const boots = await Boots.open({ stateDir, procRoot: settings.roots.proc, log });
    const fence = await Fence.open(stateDir);
    const imagesDir = await openImagesFolder(settings.stateDir);
    await openPackagesFolder(settings.stateDir);
    const launch = async (pkg: DriverPackage): ReturnType<typeof launchDriver> =>
      launchDriver(pkg, { ...settings, wall, imagesDir });
    const runningDrivers = await RunningDrivers.open(settings.stateDir);
    const metrics = makeAgentMetrics();
    const agent = new Agent(settings, {
      boots,
      ledger,
      fence,
      launch,
      instance,
      predecessors,
      runningDrivers,
      metrics,
      measures: makeMeasures(metrics, settings.clock),
    });
    agent.#packages = await agent.#drivers.listPackages();
    return agent;
  }

  private constructor(
    settings: AgentSettings,
    opened: Opened & { readonly metrics: AgentMetrics },
  ) {
    this.#settings = settings;
    this.#ledger = opened.ledger;
    this.#boots = opened.boots;
    this.#fence = opened.fence;
    const server = makeServerParts(settings, opened, {
      describe: () => this.#describe(),
      renewCredential: async (signal) => {
        const isNew = await renewCredential(this.#enrolment(), signal);
        if (isNew) this.#ledgerChanged();
        return isNew;
      },
      onNewLedger: () => this.#ledgerChanged(),
      onAccepted: (outcomes) => this.#book.accepted(outcomes),
      onHeldLoaded: (held) => this.#noteHeld(held),
      onDesired: (desired, askedAtMs) => this.#wanted(desired, askedAtMs),
      onForeign: async (desired, verdict) => this.#refuseAll(desired, verdict),
    });
    const host = makeHostParts(settings, opened, {
      ...server,
      refreshHeld: () => this.#refreshHeld(),
      isOutdated: (order) => this.#isOutdated(order),
      onSettled: (order, outcome) => this.#settled(order, outcome),
    });
    this.#link = server.link;
    this.#lease = server.lease;
    this.#reporter = server.reporter;
    this.#held = server.held;
    this.#poll = server.poll;
    this.#publisher = server.publisher;
    this.#drivers = host.drivers;
    this.#hypervisor = host.hypervisor;
    this.#observer = host.observer;
    this.#book = host.book;
    this.#unclaimed = host.unclaimed;
    this.#metrics = opened.metrics;
  }

  run(): RunningAgent {
    const { signal } = this.#ending;
    const failed = Promise.withResolvers<unknown>();
    const ended = this.#runAll(signal).catch((error: unknown) => {
      if (!signal.aborted) failed.resolve(error);
    });
    return {
      failed: failed.promise,
      [Symbol.asyncDispose]: async () => {
        await this.#leave();
        this.#ending.abort(new Error('the agent is stopping'));
        await ended;
        await this.#drivers.stop();
        await this.#fence.close();
        await this.#settings.hypervisor?.[Symbol.asyncDispose]();
        this.#link.close();
      },
    };
  }

  async #runAll(signal: AbortSignal): Promise<void> {
    const looking = this.#hypervisor.run(signal);
    const said = [this.#serveMetrics(signal), this.#answerInspection(signal)];
    await Promise.all([looking, this.#serve(signal), ...said]);
  }

  async #answerInspection(signal: AbortSignal): Promise<void> {
    const { stateDir, log, host } = this.#settings;
    const say = (): object =>
      sayAgent({
        hostName: host.name,
        ledger: this.#ledger,
        link: this.#link,
        lease: this.#lease,
        drivers: this.#drivers,
        hypervisor: this.#hypervisor,
        held: this.#held,
      });
    await answerInspection({ stateDir, say, log }, signal);
  }

  /** Also before it is enrolled: that is when somebody wonders. */
  async #serveMetrics(signal: AbortSignal): Promise<void> {
    const { metricsListen: address, clock, log } = this.#settings;
    if (address === undefined) return;
    const text = makeCollector({
      clock,
      log,
      metrics: this.#metrics,
      drivers: this.#drivers,
      hypervisor: this.#hypervisor,
      book: this.#book,
      lease: this.#lease,
      reporter: this.#reporter,
      held: this.#held,
    });
    const { contentType } = this.#metrics.registry;
    await listenForMetrics({ address, contentType, text, clock, log }, signal);
  }

  async #serve(signal: AbortSignal): Promise<void> {
    await ensureCredential(this.#enrolment(), signal);
    // A restart must not tell of a hypervisor that is not healthy only because nobody has looked yet.
    const { clock } = this.#settings;
    const limit = clock.sleep(agentDefaults.firstLookMsMax, signal).catch(() => undefined);
    await Promise.race([this.#hypervisor.lookedOnce(), limit]);
    await Promise.all([
      this.#lease.run(signal),
      this.#held.run(signal),
      this.#poll.run(signal),
      this.#reporter.run(signal),
      this.#publisher.run(signal),
      this.#lookAtHardware(signal),
      this.#hearOfHardware(signal),
    ]);
  }

  /** Finishes what runs, tells what became of it, and gives the lease back. */
  async #leave(): Promise<void> {
    const { clock, log, stopGraceMs } = this.#settings;
    const limit = AbortSignal.timeout(stopGraceMs + 5_000);
    await this.#book.stop(stopGraceMs);
    try {
      if (this.#lease.isHeld()) {
        await Promise.race([this.#reporter.drained(), clock.sleep(2_000, limit)]);
      }
      await this.#lease.leave(limit);
    } catch (error) {
      log.warn({ reason: messageOf(error) }, 'left without saying goodbye');
    }
  }

  async #lookAtHardware(signal: AbortSignal): Promise<void> {
    const { clock, rng, inventoryIntervalMs } = this.#settings;
    while (!signal.aborted) {
      const jitter = 0.9 + rng.fraction() / 5;
      await clock.sleep(inventoryIntervalMs * jitter, signal).catch(() => undefined);
      if (!signal.aborted) this.#drivers.rediscover();
    }
  }

  async #hearOfHardware(signal: AbortSignal): Promise<void> {
    const { hardwareEventsCommand: command, clock, rng, log } = this.#settings;
    if (command === undefined) return;
    const onChange = (): void => this.#drivers.rediscover();
    await followHardwareEvents({ command, clock, rng, log, onChange }, signal);
  }

  #describe(): ReturnType<LeaseDeps['describe']> {
    return {
      facts: { ...this.#settings.facts },
      hypervisors: this.#hypervisor.describe(),
      builtin_drivers: this.#packages.slice(0, 32).map(({ id, version }) => ({ id, version })),
    };
  }

  #enrolment(): EnrolmentDeps {
    return { ...this.#settings, link: this.#link, ledger: this.#ledger };
  }

  #wanted(desired: DesiredState, askedAtMs: number): 'again' | 'wait' {
    this.#drivers.apply(desired.installations);
    this.#unclaimed.apply(desired.release_unclaimed);
    return this.#book.apply(desired.orders, { hasMore: desired.more, askedAtMs });
  }

  /** Told to the server that sent them, in case it listens: whose orders these are, they are not carried out. */
  async #refuseAll(desired: DesiredState, verdict: 'foreign' | 'older'): Promise<void> {
    const message = `This host obeys another ledger; the one of these orders (${desired.ledger.id}, incarnation ${desired.ledger.incarnation}) is ${verdict}.`;
    const ledger = this.#ledger.current;
    if (ledger === undefined || desired.orders.length === 0) return;
    const outcomes = desired.orders.map((order) =>
      toOutcome(order, { outcome: 'refused', message }),
    );
    const nothing = { installations: [], backends: [], listings: [], observations: [] };
    const body = { instance: this.#link.instance, ledger, outcomes, ...nothing, unclaimed: null };
    await this.#link.client.report({ body }).catch((error: unknown) => {
      this.#settings.log.debug({ reason: messageOf(error) }, 'the refusal was not taken');
    });
  }

  /** A new incarnation, or enrolled anew: it knows nothing of what the last one was told. */
  #ledgerChanged(): void {
    this.#held.reset();
    this.#poll.forgetRevision();
    this.#observer.reset();
    this.#drivers.repeatReports();
  }

  #noteHeld(held: Iterable<Held>): void {
    const ids = new Set<string>();
    for (const { accelerator_id, epoch, attachment_id: attachment, plugged_by } of held) {
      // What Nova plugs has no name of ours, and no driver was asked to prepare it.
      this.#fence.note(accelerator_id, epoch, plugged_by === 'nova' ? null : attachment);
      ids.add(attachment);
    }
    this.#boots.held(ids);
    if (this.#hypervisor.isHealthy) this.#observer.heldLoaded();
  }

  #refreshHeld(): void {
    if (this.#isRefreshingHeld) return;
    this.#isRefreshingHeld = true;
    this.#held
      .refreshed(this.#ending.signal)
      .catch(() => undefined)
      .finally(() => {
        this.#isRefreshingHeld = false;
      });
  }

  /** The hypervisor has a device that was plugged by a later order about the same attachment. */
  #isOutdated(order: Order): boolean {
    if (order.attachment_id === null) return false;
    const devices = this.#hypervisor.world.devicesOf(order.attachment_id);
    return devices.some(({ epoch }) => epoch > order.epoch);
  }

  #settled(order: Order, { outcome }: OrderOutcome): void {
    const { attachment_id, instance_id } = order;
    if (attachment_id === null) return;
    if (outcome === 'released') this.#held.remove(attachment_id);
    if (outcome !== 'attached' || instance_id === null) return;
    this.#boots.prepared(attachment_id);
    const { accelerator_id, accelerator_key, backend_id, epoch, device_epoch, plugged_by } = order;
    const what = { accelerator_id, accelerator_key, backend_id, epoch, device_epoch, plugged_by };
    this.#held.put({ attachment_id, instance_id, ...what });
  }
}

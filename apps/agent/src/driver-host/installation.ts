/**
 * One driver on this host, made what it should be: the version, its backends, their inventories. Compares, does a
 * bounded amount, can be repeated; runs one pass at a time.
 */
import type { BackendReport, InstallationReport } from '@cyborg/api-spec/agent/report';
import type { DesiredBackend, DesiredInstallation } from '@cyborg/api-spec/agent/desired';
import type { AgentMethod } from '@cyborg/driver-sdk/protocol';
import { backoffMs } from '@cyborg/service/backoff';
import { traced } from '@cyborg/service/tracing';
import { messageOf } from '../hypervisors/node-error.ts';
import type { InventoryPublisher } from '../inventory/publisher.ts';
import { Waker } from '../server-link/waker.ts';
import { agentSpans } from '../spans.ts';
import { agentDefaults } from '../limits.ts';
import { Backend } from './backend.ts';
import { BackendWork, retryBounds, type BackendWorkDeps } from './backend-work.ts';
import type { DriverPackage } from '@cyborg/driver-host/catalogue';
import { InstallationVoice, type VoiceDeps } from './installation-voice.ts';
import { isPackaged } from './packages.ts';
import { Postponed } from './postponed.ts';
import { isSameVersion, onDisk, Probation } from './probation.ts';
import type { RunningDrivers } from '../state/running-drivers.ts';
import { Restarts } from './restarts.ts';
import { SupervisedDriver, type DriverDeps } from './supervised-driver.ts';
import { tryVersion, type HeldKeys } from './trial.ts';

export interface InstallationDeps extends DriverDeps {
  readonly publisher: InventoryPublisher;
  readonly preparation: BackendWorkDeps['preparation'];
  readonly reportInstallation: (report: InstallationReport) => void;
  readonly reportBackend: (report: BackendReport) => void;
  /** @throws Postponed */
  readonly findPackage: (
    wanted: DesiredInstallation,
    signal: AbortSignal,
  ) => Promise<DriverPackage | string>;
  readonly heldKeys: HeldKeys;
  readonly runningDrivers: RunningDrivers;
  /** Whether this driver was ever started here, by this run of the agent or an earlier one. */
  readonly wasStarted: (driverId: string) => boolean;
  readonly privileged: (
    method: AgentMethod,
    params: Record<string, unknown>,
    backend: Backend,
  ) => Promise<object>;
}

const idleMs = 3_600_000;

export class Installation {
  readonly #deps: InstallationDeps;
  readonly #wake = new Waker();
  readonly #stopping = new AbortController();
  readonly #backends = new Map<string, Backend>();
  #wanted: DesiredInstallation;
  #wantedText = '';
  /** traceparent of the request that changed what is wanted. */
  #cause: string | undefined;
  #driver: SupervisedDriver | undefined;
  #failures = 0;
  #postponed = 0;
  #failedGeneration: number | undefined;
  readonly #voice: InstallationVoice;
  readonly #restarts = new Restarts();
  readonly #work: BackendWork;
  readonly #probation: Probation;
  #isRemoved = false;
  readonly #finished: Promise<void>;

  constructor(wanted: DesiredInstallation, deps: InstallationDeps) {
    this.#wanted = wanted;
    this.#deps = deps;
    this.#voice = new InstallationVoice({
      clock: deps.clock,
      report: deps.reportInstallation,
      facts: () => this.#facts(),
    });
    this.#work = new BackendWork({
      ...deps,
      redact: (text) => this.#voice.log.redact(text),
      onStats: () => this.#voice.tellSoon(),
    });
    this.#probation = new Probation(deps);
    this.want(wanted);
    this.#finished = this.#run();
  }

  get driverId(): string {
    return this.#wanted.driver_id;
  }

  get isRemoved(): boolean {
    return this.#isRemoved;
  }

  get driver(): SupervisedDriver | undefined {
    return this.#driver;
  }

  get backends(): Iterable<Backend> {
    return this.#backends.values();
  }

  want(wanted: DesiredInstallation): void {
    const { trace_parent: cause, ...rest } = wanted;
    const text = JSON.stringify(rest);
    if (text === this.#wantedText) return;
    this.#wantedText = text;
    this.#cause = cause ?? undefined;
    this.#wanted = wanted;
    for (const backend of wanted.backends) this.#putBackend(backend);
    for (const backend of wanted.removed_backends) this.#putBackend(backend);
    for (const { config } of wanted.backends) this.#voice.log.hideSecretsOf(config);
    // At once, not in the next pass: what the pass waits for may be the driver that hangs.
    if (this.#restarts.begin(wanted.restart ?? 0, this.#driver)) this.#failures = 0;
    this.#driver?.liftQuarantine();
    this.#wake.wake();
  }

  /** Looks at all hardware again; the interval of the inventory. */
  rediscover(): void {
    for (const backend of this.#backends.values()) backend.needsDiscovery = true;
    this.#wake.wake();
  }

  /** Says everything again: the ledger is another one than was told before. */
  repeatReports(): void {
    this.#voice.repeat();
    for (const backend of this.#backends.values()) backend.repeat();
    this.rediscover();
  }

  async stop(): Promise<void> {
    this.#stopping.abort(new Error('the agent is stopping'));
    this.#wake.wake();
    await this.#finished;
    await this.#driver?.stop();
    this.#voice.stop();
  }

  #putBackend(wanted: DesiredBackend): void {
    const known = this.#backends.get(wanted.id);
    if (known === undefined) {
      this.#backends.set(wanted.id, new Backend(wanted, this.#deps.reportBackend));
      return;
    }
    if (
      known.wanted.generation !== wanted.generation ||
      known.wanted.discovery < wanted.discovery
    ) {
      known.retryAtMs = 0;
      known.failures = 0;
    }
    known.wanted = wanted;
  }

  async #run(): Promise<void> {
    const { clock, log } = this.#deps;
    const { signal } = this.#stopping;
    while (!signal.aborted && !this.#isRemoved) {
      let pauseMs = idleMs;
      try {
        const parent = this.#cause;
        pauseMs = await traced(agentSpans.installation, { parent, kind: 'consumer' }, () =>
          this.#pass(signal),
        );
        // What it does later, it does by itself.
        if (this.#cause === parent) this.#cause = undefined;
        this.#failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        if (error instanceof Postponed) {
          pauseMs = this.#pauseAfterPostponing(error);
          await this.#wake.wait(clock, pauseMs, signal);
          continue;
        }
        this.#failures += 1;
        this.#restarts.finish(this.#restarts.begun);
        const reason = this.#voice.log.redact(messageOf(error));
        log.warn({ driver: this.#wanted.driver_id, reason }, 'installation failed');
        this.#tell('failed', reason);
        pauseMs = this.#pauseAfterFailure();
      }
      if (!this.#isRemoved) await this.#wake.wait(clock, pauseMs, signal);
    }
  }

  #pauseAfterPostponing(error: Postponed): number {
    this.#postponed += 1;
    this.#tell(this.#driver === undefined ? 'fetching' : 'updating', `postponed: ${error.message}`);
    const bounds = {
      firstMs: agentDefaults.serverRetryFirstMs,
      maxMs: agentDefaults.serverRetryMaxMs,
    };
    return backoffMs(this.#postponed, bounds, this.#deps.rng);
  }

  #pauseAfterFailure(): number {
    const { rng, limits } = this.#deps;
    // After that many tries it is quarantined: a new generation or a discovery wakes it.
    if (this.#failures >= limits.crashesMax) return idleMs;
    return backoffMs(this.#failures, retryBounds, rng);
  }

  /** @returns the pause to the next pass, in ms. */
  async #pass(signal: AbortSignal): Promise<number> {
    const wanted = this.#wanted;
    if (wanted.wanted === 'removed') {
      await this.#remove(wanted, signal);
      return idleMs;
    }
    if (this.#failedGeneration !== wanted.generation) this.#failures = 0;
    this.#failedGeneration = wanted.generation;
    const { begun } = this.#restarts;
    await this.#restarts.settled(signal);
    await this.#goBack(wanted, signal);
    await this.#ensureDriver(wanted, signal);
    await this.#removeBackends(wanted, signal);
    await this.#ensureBackends(signal);
    this.#restarts.finish(begun);
    this.#tellWhole();
    return this.#nextRetryMs();
  }

  /** Runs the wanted version; another version that runs is replaced only when the new one is ready. */
  async #ensureDriver(wanted: DesiredInstallation, signal: AbortSignal): Promise<void> {
    const current = this.#driver ?? (await this.#startLast(wanted, signal));
    if (current !== undefined && isSame(current.package, wanted)) return;
    const refusal = this.#probation.refusalOf(wanted);
    if (current !== undefined && refusal !== undefined) {
      await this.#ensureBackends(signal);
      throw new Error(refusal);
    }
    this.#tell(current === undefined ? 'fetching' : 'updating');
    const pkg = await this.#deps.findPackage(wanted, signal);
    this.#postponed = 0;
    if (typeof pkg === 'string') throw new Error(pkg);
    this.#tell(current === undefined ? 'starting' : 'updating');
    const next = this.#makeDriver(pkg);
    let given: Map<Backend, number> | undefined;
    try {
      await next.start();
      if (current !== undefined) {
        const { heldKeys, preparation } = this.#deps;
        given = await tryVersion(next, this.#wantedBackends(), { heldKeys, preparation, signal });
      }
      await this.#probation.begin(wanted, current && toVersion(current.package));
    } catch (error) {
      await next.stop();
      throw error;
    }
    this.#driver = next;
    for (const backend of this.#backends.values()) {
      backend.installedGeneration = given?.get(backend);
      backend.needsDiscovery = true;
    }
    await current?.stop();
  }

  /** From a version that kept dying soon after its update, to the one before: what is attached waits for a driver. */
  async #goBack(wanted: DesiredInstallation, signal: AbortSignal): Promise<void> {
    const found = this.#probation.find(wanted);
    if (found === undefined) return;
    const { previous, reason } = found;
    const broken = this.#driver;
    try {
      const next = await this.#startVersion({ ...wanted, ...previous }, signal);
      this.#driver = next;
    } catch (error) {
      if (error instanceof Postponed || signal.aborted) throw error;
      this.#probation.giveUp();
      throw new Error(
        `${reason}. Version ${previous.version}, which ran before, could not be started again: ${messageOf(error)}`,
        { cause: error },
      );
    }
    const why = `it kept dying after the update: ${reason}`;
    await this.#probation.end(wanted, previous, why);
    await broken?.stop();
    this.#deps.log.warn(
      { driver: wanted.driver_id, version: previous.version, reason },
      'went back',
    );
    for (const backend of this.#backends.values()) {
      backend.installedGeneration = undefined;
      backend.retryAtMs = 0;
    }
  }

  async #startVersion(wanted: DesiredInstallation, signal: AbortSignal): Promise<SupervisedDriver> {
    const pkg = await this.#deps.findPackage(wanted, signal);
    if (typeof pkg === 'string') throw new Error(pkg);
    const driver = this.#makeDriver(pkg);
    await driver.start();
    return driver;
  }

  /**
   * The version that ran before the agent was started, when it is another one than is wanted: so that the change is made
   * as if the agent had not died. Undefined when there is none, or it cannot be started any more.
   */
  async #startLast(
    wanted: DesiredInstallation,
    signal: AbortSignal,
  ): Promise<SupervisedDriver | undefined> {
    const last = this.#deps.runningDrivers.find(wanted.driver_id);
    if (last === undefined || isSameVersion(last, onDisk(wanted))) return undefined;
    const { log } = this.#deps;
    const { version, package: ordered } = last;
    try {
      this.#driver = await this.#startVersion({ ...wanted, version, package: ordered }, signal);
    } catch (error) {
      if (error instanceof Postponed || signal.aborted) throw error;
      const { driver_id: id } = wanted;
      log.warn(
        { driver: id, version: last.version, reason: messageOf(error) },
        'not started again',
      );
      return undefined;
    }
    for (const backend of this.#backends.values()) backend.installedGeneration = undefined;
    await this.#ensureBackends(signal);
    return this.#driver;
  }

  #makeDriver(pkg: DriverPackage): SupervisedDriver {
    const driver = new SupervisedDriver(pkg, this.#deps, {
      backends: () => [...this.#backends.values()].map(({ spec }) => spec),
      onUp: () => {
        if (driver === this.#driver) this.rediscover();
      },
      onDown: (reason, isQuarantined) => {
        if (driver === this.#driver) this.#wentDown(reason, isQuarantined);
      },
      onInventoryChanged: (name) => this.#inventoryChanged(name),
      onHealthChanged: (name) => {
        if (driver === this.#driver) this.#healthChanged(driver, name);
      },
      log: this.#voice.log,
      onRequest: async (method, params) => this.#privileged(method, params),
    });
    return driver;
  }

  async #removeBackends(wanted: DesiredInstallation, signal: AbortSignal): Promise<void> {
    for (const { id } of wanted.removed_backends) {
      const backend = this.#backends.get(id);
      if (backend === undefined || backend.state === 'removed') continue;
      await this.#work.uninstall(this.#driver, backend, signal);
    }
    const keep = new Set([...wanted.backends, ...wanted.removed_backends].map(({ id }) => id));
    for (const [id, backend] of this.#backends) {
      if (!keep.has(id) && backend.state === 'removed') this.#backends.delete(id);
    }
  }

  async #ensureBackends(signal: AbortSignal): Promise<void> {
    await this.#work.ensure(this.#driver, this.#wantedBackends(), signal);
  }

  #nextRetryMs(): number {
    if (this.#driver?.isUp !== true) return idleMs; // its coming up wakes us
    return this.#work.nextRetryMs(this.#wantedBackends()) ?? idleMs;
  }

  /** Undoes everything that the driver prepared, stops it, and says so. */
  async #remove(wanted: DesiredInstallation, signal: AbortSignal): Promise<void> {
    if (this.#driver === undefined && this.#deps.wasStarted(wanted.driver_id)) {
      const last = await this.#startLast(wanted, signal);
      if (last === undefined) await this.#ensureDriver(wanted, signal);
    }
    for (const backend of this.#backends.values()) {
      if (backend.state === 'removed') continue;
      await this.#work.uninstall(this.#driver, backend, signal);
    }
    await this.#driver?.stop();
    this.#driver = undefined;
    await this.#deps.runningDrivers.remove(wanted.driver_id);
    this.#tell('removed');
    this.#isRemoved = true;
  }

  #wantedBackends(): Backend[] {
    return this.#wanted.backends
      .map(({ id }) => this.#backends.get(id))
      .filter((backend) => backend !== undefined);
  }

  #wentDown(reason: string, isQuarantined: boolean): void {
    for (const backend of this.#wantedBackends()) {
      const state = backend.inventory === undefined || isQuarantined ? 'failed' : 'stale';
      // Asked to discover and could not: that is an answer too.
      backend.discoveryDone = Math.max(backend.discoveryDone, backend.wanted.discovery);
      backend.become(state, reason);
    }
    if (!isQuarantined) return this.#voice.tellLog();
    this.#tell('failed', reason);
    if (this.#probation.fail(this.#wanted, reason)) this.#wake.wake();
  }

  #healthChanged(driver: SupervisedDriver, name: string): void {
    for (const backend of this.#backends.values()) {
      if (backend.wanted.name === name) this.#work.lookAtHealth(driver, backend);
    }
  }

  #inventoryChanged(name: string): void {
    for (const backend of this.#backends.values()) {
      if (backend.wanted.name !== name) continue;
      backend.needsDiscovery = true;
      this.#wake.wake();
    }
  }

  async #privileged(method: AgentMethod, params: Record<string, unknown>): Promise<object> {
    const name = params['backend'];
    const backend = [...this.#backends.values()].find(({ wanted }) => wanted.name === name);
    if (backend === undefined) throw new Error(`there is no backend ${JSON.stringify(name)}`);
    return await this.#deps.privileged(method, params, backend);
  }

  #tellWhole(): void {
    const driver = this.#driver;
    if (driver?.isQuarantined === true) return this.#tell('failed', driver.downReason);
    const backends = this.#wantedBackends();
    const blocked = backends.filter(({ state }) => state === 'blocked');
    if (blocked.length > 0 && blocked.length === backends.length) {
      return this.#tell(
        'blocked',
        blocked.map((one) => `${one.wanted.name}: ${one.reason}`).join(' | '),
      );
    }
    this.#tell('ready');
  }

  #tell(state: InstallationReport['state'], reason: string | null = null): void {
    this.#voice.tell(state, reason);
  }

  #facts(): ReturnType<VoiceDeps['facts']> {
    const hasGivenUp = this.#failures >= this.#deps.limits.crashesMax;
    return {
      installation_id: this.#wanted.id,
      generation: this.#wanted.generation,
      running_version: this.#driver?.package.version ?? null,
      quarantined: this.#driver?.isQuarantined ?? hasGivenUp,
      restart: this.#restarts.done,
      stats: Object.fromEntries(
        this.#wantedBackends().flatMap(({ wanted, stats }) =>
          stats ? [[wanted.name, stats]] : [],
        ),
      ),
    };
  }
}

/** A version that was deleted and uploaded anew is another one. */
function isSame(pkg: DriverPackage, { version, package: ordered }: DesiredInstallation): boolean {
  const digest = isPackaged(pkg) ? pkg.wanted.digest : undefined;
  return pkg.version === version && digest === ordered?.digest;
}

function toVersion(pkg: DriverPackage): ReturnType<typeof onDisk> {
  const { version } = pkg;
  if (!isPackaged(pkg)) return { version, package: null };
  const { digest, size_bytes, signature } = pkg.wanted;
  return { version, package: { digest, size_bytes, signature } };
}

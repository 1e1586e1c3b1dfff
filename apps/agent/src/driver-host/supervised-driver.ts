/**
 * Keeps one driver version running: starts it, starts it again when it dies, with growing pauses, and gives up on it for
 * a while (quarantine) when it dies too often.
 */
import { protocolVersion } from '@cyborg/driver-sdk/protocol-constants';
import type {
  AgentMethod,
  BackendSpec,
  Capability,
  DriverMethod,
  DriverParams,
  DriverResult,
  InitializeResult,
} from '@cyborg/driver-sdk/protocol';
import { backoffMs } from '@cyborg/service/backoff';
import { traced, untraced } from '@cyborg/service/tracing';
import type { Clock } from '@cyborg/service/clock';
import type { Rng } from '@cyborg/service/rng';
import { messageOf } from '../hypervisors/node-error.ts';
import type { Log } from '../log.ts';
import type { Measures } from '../metrics/measures.ts';
import { driverSpan } from '../spans.ts';
import { agentVersion } from '../version.ts';
import type { DriverPackage } from '@cyborg/driver-host/catalogue';
import { DriverCallError } from '@cyborg/driver-host/driver-error';
import {
  DriverProcess,
  type CallOptions,
  type NotificationParams,
} from '@cyborg/driver-host/driver-process';
import type { Launched } from '@cyborg/driver-host/launch';
import type { DriverLimits } from '@cyborg/driver-host/limits';
import type { DriverLog } from './driver-log.ts';

const actMethods: ReadonlySet<DriverMethod> = new Set(['prepare', 'release', 'clean', 'update']);

export interface DriverDeps {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Log;
  readonly measures: Measures;
  readonly limits: DriverLimits;
  readonly host: { readonly name: string; readonly node_name: string };
  readonly simulated: boolean;
  readonly launch: (pkg: DriverPackage) => Promise<Launched>;
}

export interface DriverEvents {
  /** What `initialize` tells a new process. */
  readonly backends: () => BackendSpec[];
  /** A process is up and initialized, the first or another one. */
  readonly onUp: () => void;
  readonly onDown: (reason: string, isQuarantined: boolean) => void;
  readonly onInventoryChanged: (backend: string) => void;
  readonly onHealthChanged: (backend: string) => void;
  readonly log: DriverLog;
  readonly onRequest: (method: AgentMethod, params: Record<string, unknown>) => Promise<object>;
}

export class SupervisedDriver {
  readonly package: DriverPackage;
  readonly #deps: DriverDeps;
  readonly #events: DriverEvents;
  readonly #stopping = new AbortController();
  #process: DriverProcess | undefined;
  #crashesMs: number[] = [];
  #downReason = 'it has not been started';
  #isQuarantined = false;
  #isRestarting = false;
  /** Prepares, releases, cleans and updates under way. */
  #acts = 0;
  /** Ends the pause before the next start. */
  #pause = new AbortController();
  #started = Promise.withResolvers<void>();
  #imagesDir: string | null = null;
  #capabilities: ReadonlySet<Capability> = new Set();
  readonly #followers = new Map<string, (percent: number) => void>();
  #running: Promise<void> | undefined;

  constructor(pkg: DriverPackage, deps: DriverDeps, events: DriverEvents) {
    this.package = pkg;
    this.#deps = deps;
    this.#events = events;
  }

  get isUp(): boolean {
    return this.#process !== undefined;
  }

  get isQuarantined(): boolean {
    return this.#isQuarantined;
  }

  get downReason(): string {
    return this.#downReason;
  }

  get pid(): number | undefined {
    return this.#process?.pid;
  }

  /** What the process said last that it answers besides the rest. */
  get capabilities(): ReadonlySet<Capability> {
    return this.#capabilities;
  }

  /** Where the process that runs sees program images. */
  get imagesDir(): string | null {
    return this.#imagesDir;
  }

  /** Hears how far an `update` is. */
  followUpdate(
    { backend, accelerator }: { readonly backend: string; readonly accelerator: string },
    onProgress: (percent: number) => void,
  ): Disposable {
    const key = `${backend} ${accelerator}`;
    this.#followers.set(key, onProgress);
    return { [Symbol.dispose]: () => void this.#followers.delete(key) };
  }

  /** Starts it once and from then on keeps it running. @throws with the reason when the first start fails. */
  async start(): Promise<void> {
    const process = await this.#startOnce();
    this.#running = untraced(async () => this.#supervise(process));
  }

  /** Lets a driver in quarantine try again. */
  liftQuarantine(): void {
    if (!this.#isQuarantined || this.#stopping.signal.aborted) return;
    this.#isQuarantined = false;
    this.#crashesMs = [];
    this.#running = untraced(async () => this.#supervise(undefined));
  }

  /**
   * Ends the process, after the acts under way (bounded), and starts it again, also when it is in quarantine or waits to be
   * started. Resolves when it is up, or its first start has failed; that is no error of the restart.
   */
  async restart(): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    const { promise } = this.#started;
    this.#events.log.add('agent', 'restart asked for');
    this.#crashesMs = [];
    if (this.#isQuarantined) this.liftQuarantine();
    else if (this.#process === undefined) this.#pause.abort();
    else await this.#endForRestart(this.#process);
    await promise;
  }

  async #endForRestart(process: DriverProcess): Promise<void> {
    this.#isRestarting = true;
    const { clock, limits } = this.#deps;
    const endMs = clock.monotonicMs() + limits.drainMs;
    while (this.#acts > 0 && this.#process === process && clock.monotonicMs() < endMs) {
      await Promise.race([clock.sleep(20), process.exited]);
    }
    await process.stop();
  }

  /** @throws DriverCallError */
  async call<M extends DriverMethod>(
    method: M,
    params: DriverParams<M>,
    options: CallOptions = {},
  ): Promise<DriverResult<M>> {
    const process = this.#process;
    if (process === undefined) {
      throw new DriverCallError('down', `Driver ${this.#label} is down: ${this.#downReason}`);
    }
    if (this.#isRestarting) {
      throw new DriverCallError('down', `Driver ${this.#label} is being restarted`);
    }
    const isAct = actMethods.has(method);
    if (isAct) this.#acts += 1;
    try {
      return await this.#traced(method, async () => process.call(method, params, options));
    } finally {
      if (isAct) this.#acts -= 1;
    }
  }

  #traced<Result>(method: DriverMethod, call: () => Promise<Result>): Promise<Result> {
    const attributes = { 'cyborg.driver': this.#label };
    const done = { what: 'driver-call', driver: this.package.id, method } as const;
    return this.#deps.measures.timed(done, () =>
      traced(driverSpan(method), { kind: 'client', attributes }, call),
    );
  }

  /** Waits for running calls (bounded), asks it to shut down, and makes sure that it has ended. */
  async stop(): Promise<void> {
    const { clock, limits } = this.#deps;
    const process = this.#process;
    this.#stopping.abort(new Error('the driver is being stopped'));
    const endMs = clock.monotonicMs() + limits.drainMs;
    while (process !== undefined && process.pending > 0 && clock.monotonicMs() < endMs) {
      await Promise.race([clock.sleep(20), process.exited]);
      if (this.#process !== process) break;
    }
    await process?.stop();
    await this.#running;
    this.#tellStarted();
  }

  get #label(): string {
    return `${this.package.id} ${this.package.version}`;
  }

  async #startOnce(): Promise<DriverProcess> {
    const done = { what: 'driver-start', driver: this.package.id } as const;
    try {
      return await this.#deps.measures.timed(done, () => this.#launch());
    } catch (error) {
      this.#events.log.add('agent', `not started: ${messageOf(error)}`);
      throw error;
    }
  }

  async #launch(): Promise<DriverProcess> {
    const { clock, limits, launch } = this.#deps;
    const launched = await launch(this.package);
    const process = new DriverProcess({
      child: launched.child,
      label: this.#label,
      clock,
      limits,
      onStderr: (line) => this.#events.log.add('stderr', line),
      onNotification: (name, params) => this.#notified(name, params),
      onRequest: this.#events.onRequest,
    });
    try {
      const greeting = this.#greeting(launched);
      const answer = await this.#traced('initialize', async () =>
        process.call('initialize', greeting),
      );
      this.#check(answer);
      this.#capabilities = new Set(answer.capabilities);
    } catch (error) {
      process.kill(messageOf(error));
      const exit = await process.exited;
      throw error instanceof DriverCallError && error.failure === 'down'
        ? new DriverCallError('down', `Driver ${this.#label} did not start: ${exit}`)
        : error;
    }
    this.#process = process;
    this.#imagesDir = launched.imagesDir;
    this.#events.log.add('agent', `driver ${this.#label} started as process ${process.pid}`);
    this.#events.onUp();
    return process;
  }

  #greeting(launched: Launched): DriverParams<'initialize'> {
    return {
      protocol_versions: [protocolVersion],
      agent_version: agentVersion,
      host: { ...this.#deps.host },
      roots: launched.roots,
      simulated: this.#deps.simulated,
      state_dir: launched.stateDir,
      backends: this.#events.backends(),
    };
  }

  #check({ driver, protocol_version: version }: InitializeResult): void {
    const { id, version: expected } = this.package;
    if (driver.id === id && driver.version === expected && version === protocolVersion) return;
    throw new DriverCallError(
      'nonsense',
      `The package says driver ${id} ${expected}, protocol ${protocolVersion}; the process says ${driver.id} ${driver.version}, protocol ${version}`,
    );
  }

  async #supervise(first: DriverProcess | undefined): Promise<void> {
    const { signal } = this.#stopping;
    let process = first;
    while (!signal.aborted) {
      const reason = process === undefined ? this.#downReason : await process.exited;
      this.#process = undefined;
      this.#downReason = this.#events.log.redact(reason);
      if (signal.aborted) return;
      if (process !== undefined) this.#ended(reason);
      if (this.#isQuarantined) return;
      process = await this.#startAgain(signal);
      this.#tellStarted();
      if (process === undefined && this.#isQuarantined) return;
    }
    await process?.stop(); // it came up while it was being stopped
  }

  #ended(reason: string): void {
    if (!this.#isRestarting) return this.#countCrash(reason);
    this.#isRestarting = false;
    this.#events.log.add('agent', `ended for the restart: ${reason}`);
  }

  /** Whoever asked for a restart before this start has it now. */
  #tellStarted(): void {
    this.#started.resolve();
    this.#started = Promise.withResolvers();
  }

  async #startAgain(signal: AbortSignal): Promise<DriverProcess | undefined> {
    const { clock, rng, limits, log } = this.#deps;
    const bounds = { firstMs: limits.restartFirstMs, maxMs: limits.restartMaxMs };
    const pauseMs =
      this.#crashesMs.length === 0 ? 0 : backoffMs(this.#crashesMs.length, bounds, rng);
    try {
      await this.#pauseFor(pauseMs, clock, signal);
      return await this.#startOnce();
    } catch (error) {
      if (signal.aborted) return undefined;
      const reason = this.#events.log.redact(messageOf(error));
      log.warn({ driver: this.#label, reason }, 'a driver did not start again');
      this.#downReason = reason;
      this.#countCrash(reason);
      return undefined;
    }
  }

  async #pauseFor(ms: number, clock: Clock, signal: AbortSignal): Promise<void> {
    this.#pause = new AbortController();
    const either = AbortSignal.any([signal, this.#pause.signal]);
    await clock.sleep(ms, either).catch(() => undefined);
    signal.throwIfAborted();
  }

  #countCrash(said: string): void {
    const reason = this.#events.log.redact(said);
    const { clock, limits, log, measures } = this.#deps;
    measures.driverCrashed(this.package.id);
    const nowMs = clock.monotonicMs();
    this.#crashesMs = [...this.#crashesMs, nowMs].filter((ms) => nowMs - ms < limits.crashWindowMs);
    this.#isQuarantined = this.#crashesMs.length >= limits.crashesMax;
    const crashes = this.#crashesMs.length;
    log.warn({ driver: this.#label, reason, crashes }, 'a driver has ended');
    // Its last words are lines of their own.
    const [what = reason] = reason.split('; its last words: ');
    this.#events.log.add('agent', `driver ${this.#label} is down: ${what}`);
    if (this.#isQuarantined) {
      this.#downReason = `quarantined after ${crashes} crashes; the last: ${reason}. backend-restart, a new version, a new configuration or discover-services lets it try again`;
      this.#events.log.add('agent', `quarantined after ${crashes} crashes`);
      log.error({ driver: this.#label }, 'a driver is quarantined');
    }
    this.#events.onDown(this.#downReason, this.#isQuarantined);
  }

  #notified(name: string, params: NotificationParams): void {
    const { log } = this.#deps;
    if (name === 'inventoryChanged' && params.backend !== undefined) {
      this.#events.onInventoryChanged(params.backend);
    }
    if (name === 'healthChanged' && params.backend !== undefined) {
      this.#events.onHealthChanged(params.backend);
    }
    if (name === 'updateProgress') {
      this.#followers.get(`${params.backend} ${params.accelerator}`)?.(params.percent ?? 0);
    }
    if (name !== 'log') return;
    const said = toLevel(params.level);
    this.#events.log.add(said, params.message ?? '');
    const level = said === 'error' || said === 'warn' ? 'warn' : 'debug';
    const message = this.#events.log.redact(params.message ?? '');
    log[level]({ driver: this.#label }, `driver says: ${message}`);
  }
}

function toLevel(level: string | undefined): 'debug' | 'info' | 'warn' | 'error' {
  return level === 'error' || level === 'warn' || level === 'debug' ? level : 'info';
}

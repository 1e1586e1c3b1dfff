/**
 * Tells the server what was done and seen. The latest word about each thing is kept until the server has taken it;
 * what happens within a few milliseconds travels together.
 */
import { agentLimits } from '@cyborg/api-spec/agent/common';
import type {
  BackendReport,
  InstallationReport,
  InstanceListing,
  Observation,
  OrderOutcome,
  Report,
} from '@cyborg/api-spec/agent/report';
import { ApiError } from '@cyborg/api-client/errors';
import type { Clock } from '@cyborg/service/clock';
import type { Rng } from '@cyborg/service/rng';
import { messageOf } from '../hypervisors/node-error.ts';
import { agentDefaults } from '../limits.ts';
import type { Log } from '../log.ts';
import type { LedgerMemory } from '../state/ledger-memory.ts';
import { agentSpans } from '../spans.ts';
import { Causes } from './causes.ts';
import type { Lease } from './lease.ts';
import { hasProblem, isRefusedCredential, serverPauseMs } from './pause.ts';
import type { ServerLink } from './server-link.ts';
import { Waker } from './waker.ts';

export interface ReporterDeps {
  readonly link: ServerLink;
  readonly ledger: LedgerMemory;
  readonly lease: Lease;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Log;
  /** The server has committed these. */
  readonly onAccepted: (outcomes: readonly OrderOutcome[]) => void;
}

type Unclaimed = NonNullable<Report['unclaimed']>;
interface Waiting {
  readonly outcomes: Map<string, OrderOutcome>;
  readonly installations: Map<string, InstallationReport>;
  readonly backends: Map<string, BackendReport>;
  readonly listings: Map<string, InstanceListing>;
  readonly observations: Map<string, Observation>;
  unclaimed: Unclaimed | null;
}

type Batch = Omit<Report, 'instance' | 'ledger'>;

/** A report that the server calls wrong is not sent again before this, so that one bad item stops nothing else. */
const refusedPauseMs = 30_000;

export class Reporter {
  readonly #deps: ReporterDeps;
  readonly #wake = new Waker();
  readonly #causes = new Causes();
  #waiting: Waiting = empty();
  #idle: (() => void)[] = [];
  #isSending = false;

  constructor(deps: ReporterDeps) {
    this.#deps = deps;
  }

  outcome(outcome: OrderOutcome): void {
    this.#waiting.outcomes.set(outcomeKey(outcome), outcome);
    this.#noted();
  }

  installation(report: InstallationReport): void {
    this.#waiting.installations.set(report.installation_id, report);
    this.#noted();
  }

  backend(report: BackendReport): void {
    this.#waiting.backends.set(report.backend_id, report);
    this.#noted();
  }

  listing(listing: InstanceListing): void {
    this.#waiting.listings.set(listing.hypervisor, listing);
    this.#noted();
  }

  observation(observation: Observation): void {
    this.#waiting.observations.set(observation.attachment_id, observation);
    this.#noted();
  }

  unclaimed(devices: Unclaimed): void {
    this.#waiting.unclaimed = devices;
    this.#noted();
  }

  /** Words that the server has not taken yet. */
  get waiting(): number {
    const { outcomes, installations, backends, listings, observations, unclaimed } = this.#waiting;
    const maps = [outcomes, installations, backends, listings, observations];
    return maps.reduce((sum, { size }) => sum + size, unclaimed === null ? 0 : 1);
  }

  /** Resolves when nothing waits to be told. */
  async drained(): Promise<void> {
    while (this.#isSending || !isEmpty(this.#waiting)) {
      await new Promise<void>((resolve) => {
        this.#idle.push(resolve);
      });
    }
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, lease } = this.#deps;
    for (let attempt = 0; !signal.aborted;) {
      if (isEmpty(this.#waiting)) {
        this.#tellIdle();
        await this.#wake.wait(clock, agentDefaults.heldRefreshMs, signal);
        if (!signal.aborted) await clock.sleep(agentDefaults.reportDelayMs, signal).catch(() => {});
        continue;
      }
      try {
        await lease.held(signal);
        await this.#causes.tracedFor(agentSpans.report, async () => this.#send(signal));
        attempt = 0;
      } catch (error) {
        if (signal.aborted) return;
        attempt += 1;
        await this.#pauseAfter(error, attempt, signal);
      }
    }
  }

  #noted(): void {
    this.#causes.note();
    this.#wake.wake();
  }

  async #send(signal: AbortSignal): Promise<void> {
    const batch = this.#take();
    this.#isSending = true;
    try {
      await this.#post(batch, signal);
      this.#deps.onAccepted(batch.outcomes);
    } catch (error) {
      if (isRefused(error)) await this.#sendApart(batch, signal);
      else {
        this.#putBack(batch);
        throw error;
      }
    } finally {
      this.#isSending = false;
    }
  }

  /** One item is wrong in the server's eyes: everything goes alone, and what is refused alone waits. */
  async #sendApart(batch: Batch, signal: AbortSignal): Promise<void> {
    for (const part of apart(batch)) {
      try {
        await this.#post(part, signal);
        this.#deps.onAccepted(part.outcomes);
      } catch (error) {
        if (!isRefused(error)) {
          this.#putBack(part);
          continue;
        }
        this.#deps.log.error({ reason: messageOf(error), part }, 'the server refused this report');
        this.#deps.clock.setTimer(refusedPauseMs, () => this.#putBack(part));
      }
    }
  }

  async #post(batch: Batch, signal: AbortSignal): Promise<void> {
    const { link, ledger } = this.#deps;
    const current = ledger.current;
    if (current === undefined) throw new Error('there is no ledger before enrolment');
    const body: Report = { instance: link.instance, ledger: current, ...batch };
    await link.client.report({ body, signal });
  }

  #take(): Batch {
    const waiting = this.#waiting;
    const max = agentLimits.reportItemsMax;
    const batch = {
      outcomes: takeFrom(waiting.outcomes, max),
      installations: takeFrom(waiting.installations, max),
      backends: takeFrom(waiting.backends, max),
      listings: takeFrom(waiting.listings, 8),
      observations: takeFrom(waiting.observations, 4096),
      unclaimed: waiting.unclaimed,
    };
    waiting.unclaimed = null;
    return batch;
  }

  /** What was said since then about the same thing is newer and stays. */
  #putBack(batch: Batch): void {
    const waiting = this.#waiting;
    for (const item of batch.outcomes) putIfNew(waiting.outcomes, outcomeKey(item), item);
    for (const item of batch.installations) {
      putIfNew(waiting.installations, item.installation_id, item);
    }
    for (const item of batch.backends) putIfNew(waiting.backends, item.backend_id, item);
    for (const item of batch.listings) putIfNew(waiting.listings, item.hypervisor, item);
    for (const item of batch.observations) {
      putIfNew(waiting.observations, item.attachment_id, item);
    }
    waiting.unclaimed ??= batch.unclaimed;
    this.#wake.wake();
  }

  async #pauseAfter(error: unknown, attempt: number, signal: AbortSignal): Promise<void> {
    const { clock, rng, lease, log } = this.#deps;
    if (hasProblem(error, 'agent-already-running', 'wrong-ledger') || isRefusedCredential(error)) {
      lease.lose();
    }
    log.debug({ reason: messageOf(error) }, 'a report was not taken; sending it again');
    await clock.sleep(serverPauseMs(attempt, error, rng), signal).catch(() => undefined);
  }

  #tellIdle(): void {
    const idle = this.#idle;
    this.#idle = [];
    for (const tell of idle) tell();
  }
}

export function outcomeKey({ kind, attachment_id, accelerator_id, epoch }: OrderKeyed): string {
  return `${kind}/${attachment_id ?? ''}/${accelerator_id}/${epoch}`;
}
export type OrderKeyed = Pick<OrderOutcome, 'kind' | 'attachment_id' | 'accelerator_id' | 'epoch'>;

function empty(): Waiting {
  return {
    outcomes: new Map(),
    installations: new Map(),
    backends: new Map(),
    listings: new Map(),
    observations: new Map(),
    unclaimed: null,
  };
}

function isEmpty(waiting: Waiting): boolean {
  const { outcomes, installations, backends, listings, observations, unclaimed } = waiting;
  const maps = [outcomes, installations, backends, listings, observations];
  return unclaimed === null && maps.every((map) => map.size === 0);
}

function takeFrom<T>(map: Map<string, T>, max: number): T[] {
  const taken: T[] = [];
  for (const [key, value] of map) {
    if (taken.length === max) break;
    taken.push(value);
    map.delete(key);
  }
  return taken;
}

function putIfNew<T>(map: Map<string, T>, key: string, value: T): void {
  if (!map.has(key)) map.set(key, value);
}

function isRefused(error: unknown): boolean {
  return error instanceof ApiError && [400, 413, 422].includes(error.status);
}

function* apart(batch: Batch): Generator<Batch> {
  const nothing: Batch = {
    outcomes: [],
    installations: [],
    backends: [],
    listings: [],
    observations: [],
    unclaimed: null,
  };
  for (const item of batch.outcomes) yield { ...nothing, outcomes: [item] };
  for (const item of batch.installations) yield { ...nothing, installations: [item] };
  for (const item of batch.backends) yield { ...nothing, backends: [item] };
  for (const item of batch.listings) yield { ...nothing, listings: [item] };
  for (const item of batch.observations) yield { ...nothing, observations: [item] };
  if (batch.unclaimed !== null) yield { ...nothing, unclaimed: batch.unclaimed };
}

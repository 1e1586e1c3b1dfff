/** Pulls what is wanted of this host: a long poll by revision. */
import type { DesiredState } from '@cyborg/api-spec/agent/desired';
import type { Clock } from '@cyborg/service/clock';
import type { Rng } from '@cyborg/service/rng';
import { messageOf } from '../hypervisors/node-error.ts';
import { agentDefaults } from '../limits.ts';
import type { Log } from '../log.ts';
import type { LedgerMemory } from '../state/ledger-memory.ts';
import type { Lease } from './lease.ts';
import { hasProblem, isRefusedCredential, serverPauseMs } from './pause.ts';
import type { ServerLink } from './server-link.ts';

export interface DesiredPollDeps {
  readonly link: ServerLink;
  readonly ledger: LedgerMemory;
  readonly lease: Lease;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Log;
  /**
   * @param askedAtMs  monotonic time before the request was sent
   * @returns `again` to ask at once for the whole: the answer may be older than a report that was accepted meanwhile.
   */
  readonly onDesired: (desired: DesiredState, askedAtMs: number) => 'again' | 'wait';
  readonly onForeign: (desired: DesiredState, verdict: 'foreign' | 'older') => Promise<void>;
  readonly onNewLedger: (ledger: DesiredState['ledger']) => void;
}

export class DesiredPoll {
  readonly #deps: DesiredPollDeps;
  #revision: string | undefined;
  #failures = 0;
  #refusedRevision: string | undefined;

  constructor(deps: DesiredPollDeps) {
    this.#deps = deps;
  }

  /** The next answer comes at once and whole. */
  forgetRevision(): void {
    this.#revision = undefined;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, lease } = this.#deps;
    while (!signal.aborted) {
      try {
        await lease.held(signal);
        const hasOrders = await this.#pollOnce(signal);
        this.#failures = 0;
        if (hasOrders) await clock.sleep(agentDefaults.desiredPauseMs, signal);
      } catch (error) {
        if (signal.aborted) return;
        await this.#pauseAfter(error, signal);
      }
    }
  }

  async #pollOnce(signal: AbortSignal): Promise<boolean> {
    const { link, ledger, clock, onDesired } = this.#deps;
    const askedAtMs = clock.monotonicMs();
    const revision = this.#revision;
    const waitSeconds = revision === undefined ? 0 : agentDefaults.longPollSeconds;
    const desired = await link.client.showDesired({
      query: { ...(revision === undefined ? {} : { revision }), wait_seconds: waitSeconds },
      timeoutMs: waitSeconds * 1000 + agentDefaults.requestTimeoutMs,
      signal,
    });
    const verdict = await ledger.accept(desired.ledger);
    if (verdict === 'foreign' || verdict === 'older') {
      await this.#refuse(desired, verdict);
      return false;
    }
    if (verdict === 'newer') this.#deps.onNewLedger(desired.ledger);
    const next = onDesired(desired, askedAtMs);
    this.#revision = next === 'again' ? undefined : desired.revision;
    return desired.orders.length > 0;
  }

  async #refuse(desired: DesiredState, verdict: 'foreign' | 'older'): Promise<never> {
    const { lease, log, onForeign } = this.#deps;
    this.#revision = undefined;
    lease.lose();
    if (this.#refusedRevision !== desired.revision) {
      this.#refusedRevision = desired.revision;
      log.error(
        { ledger: desired.ledger, verdict, orders: desired.orders.length },
        'refused orders of a ledger that this host does not obey',
      );
      await onForeign(desired, verdict);
    }
    throw new Error(`orders of a ledger that is ${verdict}`);
  }

  async #pauseAfter(error: unknown, signal: AbortSignal): Promise<void> {
    const { clock, rng, lease, log } = this.#deps;
    this.#failures += 1;
    if (hasProblem(error, 'agent-already-running', 'wrong-ledger') || isRefusedCredential(error)) {
      lease.lose();
    }
    log.debug(
      { reason: messageOf(error), failures: this.#failures },
      'no answer about what is wanted',
    );
    const pauseMs = serverPauseMs(this.#failures, error, rng);
    await clock.sleep(pauseMs, signal).catch(() => undefined);
  }
}

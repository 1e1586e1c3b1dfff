/**
 * The lease: the right to act for this host. Counted by this machine's monotonic clock from before each request was
 * sent, so that it has ended here when the server gives it to another agent, whatever the wall clocks do.
 */
import type { AgentArgs } from '@cyborg/api-client/agent';
import type { LedgerRef } from '@cyborg/api-spec/agent/common';
import type { Clock } from '@cyborg/service/clock';
import type { Rng } from '@cyborg/service/rng';
import { messageOf } from '../hypervisors/node-error.ts';
import { agentDefaults } from '../limits.ts';
import type { Log } from '../log.ts';
import type { LedgerMemory } from '../state/ledger-memory.ts';
import type { Predecessors } from '../state/predecessors.ts';
import { agentVersion } from '../version.ts';
import { hasProblem, isRefusedCredential, serverPauseMs } from './pause.ts';
import type { ServerLink } from './server-link.ts';
import { Waker } from './waker.ts';

type LeaseBody = AgentArgs<'renewLease'>['body'];

export interface LeaseDeps {
  readonly link: ServerLink;
  readonly ledger: LedgerMemory;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Log;
  /** What every renewal tells about this host. */
  readonly describe: () => Pick<LeaseBody, 'facts' | 'hypervisors' | 'builtin_drivers'>;
  readonly predecessors: Predecessors;
  /** Called when the server has refused the credential. @returns whether there is a new one. */
  readonly renewCredential: (signal: AbortSignal) => Promise<boolean>;
  /** Called after the ledger has a newer incarnation (already written down) or was enrolled anew. */
  readonly onNewLedger: (ledger: LedgerRef) => void;
}

export class Lease {
  readonly #deps: LeaseDeps;
  readonly #wake = new Waker();
  #validUntilMs = Number.NEGATIVE_INFINITY;
  #waiting: (() => void)[] = [];
  #complaint = '';
  #isLeaving = false;

  constructor(deps: LeaseDeps) {
    this.#deps = deps;
  }

  /** Whether something new may be started now. */
  isHeld(): boolean {
    return !this.#isLeaving && this.#deps.clock.monotonicMs() < this.#validUntilMs;
  }

  /** Resolves when the lease is held; rejects when the signal is aborted. */
  async held(signal: AbortSignal): Promise<void> {
    while (!this.isHeld()) {
      signal.throwIfAborted();
      const renewed = Promise.withResolvers<void>();
      this.#waiting.push(renewed.resolve);
      const onAbort = (): void => renewed.resolve();
      signal.addEventListener('abort', onAbort, { once: true });
      await renewed.promise;
      signal.removeEventListener('abort', onAbort);
    }
    signal.throwIfAborted();
  }

  /** Renews at the next opportunity: something that the server should know has changed. */
  renewSoon(): void {
    this.#wake.wake();
  }

  /** The server has said that this agent does not hold the lease. */
  lose(): void {
    this.#validUntilMs = Number.NEGATIVE_INFINITY;
    this.#wake.wake();
  }

  async run(signal: AbortSignal): Promise<void> {
    for (let attempt = 0; !signal.aborted;) {
      let pauseMs: number;
      try {
        pauseMs = await this.#renew(signal);
        attempt = 0;
      } catch (error) {
        if (signal.aborted) return;
        attempt += 1;
        pauseMs = await this.#afterFailure(error, attempt, signal);
      }
      await this.#wake.wait(this.#deps.clock, pauseMs, signal);
    }
  }

  /** Says goodbye, so that the next agent need not wait for the lease to run out. */
  async leave(signal: AbortSignal): Promise<void> {
    const wasHeld = this.isHeld();
    this.#isLeaving = true;
    if (!wasHeld) return;
    await this.#deps.link.client.renewLease({ body: this.#body(true), signal });
  }

  /** @returns the time to the next renewal, in ms. */
  async #renew(signal: AbortSignal): Promise<number> {
    const { link, ledger, clock, log } = this.#deps;
    const sentAtMs = clock.monotonicMs();
    const answer = await link.client.renewLease({ body: this.#body(false), signal });
    const before = ledger.current;
    const verdict = await ledger.accept(answer.ledger);
    if (verdict === 'foreign' || verdict === 'older') {
      this.lose();
      throw new WrongLedger(verdict, answer.ledger, before);
    }
    const leaseMs = answer.lease_seconds * 1000;
    const wasHeld = this.isHeld();
    this.#validUntilMs = sentAtMs + leaseMs - agentDefaults.leaseMarginMs;
    if (!wasHeld)
      log.info({ leaseSeconds: answer.lease_seconds }, 'holding the lease of this host');
    this.#complaint = '';
    if (verdict === 'newer') {
      log.warn({ ledger: answer.ledger, before }, 'the ledger has a newer incarnation');
      this.#deps.onNewLedger(answer.ledger);
    }
    this.#tellWaiting();
    await this.#deps.predecessors.forget();
    return leaseMs / agentDefaults.renewalsPerLease;
  }

  #body(isLeaving: boolean): LeaseBody {
    const { link, ledger, describe, predecessors } = this.#deps;
    const current = ledger.current;
    if (current === undefined) throw new Error('there is no ledger before enrolment');
    return {
      instance: link.instance,
      version: agentVersion,
      ledger: current,
      leaving: isLeaving,
      ...(predecessors.dead.length > 0 && { replaces: [...predecessors.dead] }),
      ...describe(),
    };
  }

  async #afterFailure(error: unknown, attempt: number, signal: AbortSignal): Promise<number> {
    const { rng, renewCredential } = this.#deps;
    const pauseMs = serverPauseMs(attempt, error, rng);
    if (hasProblem(error, 'agent-already-running')) {
      this.#validUntilMs = Number.NEGATIVE_INFINITY;
      this.#complain(error, 'another agent holds the lease of this host; waiting until it ends');
      return agentDefaults.leaseTakenRetryMs * (0.5 + rng.fraction() / 2);
    }
    if (hasProblem(error, 'wrong-ledger') || error instanceof WrongLedger) {
      this.#validUntilMs = Number.NEGATIVE_INFINITY;
      this.#complain(
        error,
        'this server has another ledger than the one this host obeys; taking no orders from it',
      );
      return pauseMs;
    }
    if (isRefusedCredential(error)) {
      this.#validUntilMs = Number.NEGATIVE_INFINITY;
      this.#complain(
        error,
        'the server refuses this host’s credential; enrol it again with a new join token',
      );
      return (await renewCredential(signal)) ? 0 : pauseMs;
    }
    this.#complain(error, 'the lease could not be renewed; trying again');
    return pauseMs;
  }

  #complain(error: unknown, message: string): void {
    const complaint = `${message}: ${messageOf(error)}`;
    if (complaint === this.#complaint) return; // said already; it still holds
    this.#complaint = complaint;
    this.#deps.log.warn({ reason: messageOf(error) }, message);
  }

  #tellWaiting(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const tell of waiting) tell();
  }
}

class WrongLedger extends Error {
  override readonly name = 'WrongLedger';

  constructor(verdict: 'foreign' | 'older', got: LedgerRef, obeyed: LedgerRef | undefined) {
    super(
      `the server has ${verdict === 'foreign' ? 'another ledger' : 'an older incarnation'} (${got.id}, incarnation ${got.incarnation}); this host obeys ${obeyed?.id ?? 'none'}, incarnation ${obeyed?.incarnation ?? 0}`,
    );
  }
}

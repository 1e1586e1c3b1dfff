/**
 * The orders that the server wants carried out now. Level-triggered: what is listed is done, what is no longer listed is
 * given up between two steps, what is listed again is done again. One at a time for each accelerator.
 */
import type { Order } from '@cyborg/api-spec/agent/desired';
import type { OrderOutcome } from '@cyborg/api-spec/agent/report';
import { backoffMs } from '@cyborg/service/backoff';
import type { Clock } from '@cyborg/service/clock';
import type { Rng } from '@cyborg/service/rng';
import { traced } from '@cyborg/service/tracing';
import { messageOf } from '../hypervisors/node-error.ts';
import { agentDefaults } from '../limits.ts';
import type { Log } from '../log.ts';
import type { Measures } from '../metrics/measures.ts';
import type { Lease } from '../server-link/lease.ts';
import { outcomeKey } from '../server-link/reporter.ts';
import { agentSpans } from '../spans.ts';
import { orderSteps, type OrderStep } from '../steps.ts';
import type { Attempt } from './acts.ts';
import type { Fence } from './fence.ts';
import { toOutcome, type Try } from './outcome.ts';
import { Slots } from './slots.ts';

export interface OrderBookDeps {
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Log;
  readonly measures: Pick<Measures, 'orderEnded'>;
  readonly lease: Lease;
  readonly fence: Fence;
  readonly attachDeadlineMs: number;
  readonly tryOrder: (attempt: Attempt) => Promise<Try>;
  /** Devices of the attachment with a higher epoch than the order's are in the hypervisor. */
  readonly isOutdated: (order: Order) => boolean;
  readonly report: (outcome: OrderOutcome) => void;
  /** The server has committed the outcome of this order. */
  readonly onSettled: (order: Order, outcome: OrderOutcome) => void;
}

interface Entry {
  readonly key: string;
  /** As it was listed last. */
  order: Order;
  readonly control: AbortController;
  state: 'open' | 'done';
  isListed: boolean;
  /** Its attachment counts as ordered. */
  isOpen: boolean;
  /** No agent of this host has tried it before, known for certain. */
  isNews: boolean;
  outcome: OrderOutcome | undefined;
  acceptedAtMs: number | undefined;
  /** How often the server wanted it again after it was done. */
  repeats: number;
  lastToldMs: number;
  readonly beganAtMs: number;
}

class Withdrawn extends Error {
  override readonly name = 'Withdrawn';
}
class LeaseLost extends Error {
  override readonly name = 'LeaseLost';
}

export class OrderBook {
  readonly #deps: OrderBookDeps;
  readonly #slots = new Slots(agentDefaults.ordersInFlightMax);
  readonly #entries = new Map<string, Entry>();
  readonly #lanes = new Map<string, Promise<void>>();
  readonly #attachments = new Map<string, number>();
  readonly #stopping = new AbortController();
  /** A whole list was seen: what is listed first after it, no process before this one was told of. */
  #hasSeenAll = false;

  constructor(deps: OrderBookDeps) {
    this.#deps = deps;
  }

  /** Whether an order about this attachment is known that is not settled. */
  isOrdered(attachmentId: string): boolean {
    return this.#attachments.has(attachmentId);
  }

  /**
   * @param askedAtMs  monotonic time before the list was asked for
   * @returns `again` when the list may be older than an outcome that was accepted meanwhile.
   */
  apply(
    orders: readonly Order[],
    { hasMore, askedAtMs }: { hasMore: boolean; askedAtMs: number },
  ): 'again' | 'wait' {
    let next: 'again' | 'wait' = 'wait';
    for (const entry of this.#entries.values()) entry.isListed = hasMore && entry.isListed;
    for (const order of orders) {
      const known = this.#entries.get(outcomeKey(order));
      if (known === undefined) this.#open(order, 0);
      else {
        known.isListed = true;
        known.order = order;
        if (this.#isWantedAgain(known, askedAtMs) === 'unsure') next = 'again';
      }
    }
    for (const entry of this.#entries.values()) if (!entry.isListed) this.#withdraw(entry);
    this.#hasSeenAll ||= !hasMore;
    return next;
  }

  /** The server has committed these outcomes. */
  accepted(outcomes: readonly OrderOutcome[]): void {
    const nowMs = this.#deps.clock.monotonicMs();
    for (const outcome of outcomes) {
      const entry = this.#entries.get(outcomeKey(outcome));
      if (entry?.outcome !== outcome) continue; // a `retrying`, or done again since
      entry.acceptedAtMs = nowMs;
      this.#deps.onSettled(entry.order, outcome);
      // The list may stay as it is for as long as a poll lasts: what happens to the device meanwhile is news.
      this.#close(entry);
      if (!entry.isListed) this.#drop(entry);
    }
  }

  /** Orders that are not done, by their kind; the oldest in monotonic ms. */
  open(): ReadonlyMap<string, { readonly count: number; readonly oldestMs: number }> {
    const open = [...this.#entries.values()].filter(({ state }) => state === 'open');
    const byKind = Map.groupBy(open, ({ order }) => order.kind);
    return new Map(
      [...byKind].map(([kind, entries]) => [
        kind,
        {
          count: entries.length,
          oldestMs: Math.min(...entries.map(({ beganAtMs }) => beganAtMs)),
        },
      ]),
    );
  }

  /** Starts nothing more; lets what runs come to the end of its step, for so long. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping.abort(new Withdrawn('the agent is stopping'));
    using _timer = this.#deps.clock.setTimer(graceMs, () => {
      for (const { control } of this.#entries.values()) control.abort(new Withdrawn('stopping'));
    });
    await Promise.all(this.#lanes.values());
  }

  #open(order: Order, repeats: number): void {
    const key = outcomeKey(order);
    const { attachment_id: id } = order;
    const entry: Entry = {
      key,
      order,
      control: new AbortController(),
      state: 'open',
      isListed: true,
      isOpen: true,
      isNews: this.#hasSeenAll && id !== null && !this.#deps.fence.knowsAttachment(id),
      outcome: undefined,
      acceptedAtMs: undefined,
      repeats,
      lastToldMs: Number.NEGATIVE_INFINITY,
      beganAtMs: this.#deps.clock.monotonicMs(),
    };
    this.#supersede(order);
    this.#entries.set(key, entry);
    if (order.attachment_id !== null) {
      const count = this.#attachments.get(order.attachment_id) ?? 0;
      this.#attachments.set(order.attachment_id, count + 1);
    }
    const lane = this.#lanes.get(order.accelerator_id) ?? Promise.resolve();
    const turn = lane.then(async () => this.#carryOut(entry));
    this.#lanes.set(order.accelerator_id, turn);
    void turn.then(() => {
      if (this.#lanes.get(order.accelerator_id) === turn) this.#lanes.delete(order.accelerator_id);
    });
  }

  /** An order with a higher epoch ends the wait of those before it. */
  #supersede(order: Order): void {
    if (!this.#lanes.has(order.accelerator_id)) return;
    for (const entry of this.#entries.values()) {
      const isOlder =
        entry.order.accelerator_id === order.accelerator_id && entry.order.epoch < order.epoch;
      if (isOlder && entry.state === 'open') entry.control.abort(new Withdrawn('superseded'));
    }
  }

  #isWantedAgain(entry: Entry, askedAtMs: number): 'no' | 'yes' | 'unsure' {
    if (entry.acceptedAtMs === undefined) return 'no';
    if (askedAtMs <= entry.acceptedAtMs) return 'unsure';
    this.#drop(entry);
    this.#open(entry.order, entry.repeats + 1);
    return 'yes';
  }

  #withdraw(entry: Entry): void {
    if (entry.state === 'open') entry.control.abort(new Withdrawn('no longer ordered'));
    else if (entry.acceptedAtMs !== undefined) this.#drop(entry);
  }

  #drop(entry: Entry): void {
    if (this.#entries.get(entry.key) !== entry) return;
    this.#entries.delete(entry.key);
    this.#close(entry);
  }

  #close(entry: Entry): void {
    const { attachment_id: id } = entry.order;
    if (!entry.isOpen || id === null) return;
    entry.isOpen = false;
    const count = this.#attachments.get(id) ?? 0;
    if (count <= 1) this.#attachments.delete(id);
    else this.#attachments.set(id, count - 1);
  }

  #carryOut(entry: Entry): Promise<void> {
    const { order } = entry;
    const attributes = {
      'cyborg.attachment_id': order.attachment_id ?? undefined,
      'cyborg.accelerator_id': order.accelerator_id,
      'cyborg.instance_id': order.instance_id ?? undefined,
      'cyborg.epoch': order.epoch,
    };
    const parent = order.trace_parent;
    return traced(agentSpans[order.kind], { parent, kind: 'consumer', attributes }, () =>
      this.#untilDone(entry),
    );
  }

  async #untilDone(entry: Entry): Promise<void> {
    const { clock, rng, lease, log } = this.#deps;
    const signal = AbortSignal.any([entry.control.signal, this.#stopping.signal]);
    const bounds = {
      firstMs: agentDefaults.orderRetryFirstMs,
      maxMs: agentDefaults.orderRetryMaxMs,
    };
    const seconds = entry.order.image?.deadline_seconds;
    const limitMs = seconds === undefined ? this.#deps.attachDeadlineMs : seconds * 1000;
    const deadlineMs = clock.monotonicMs() + limitMs;
    for (let attempt = 0; ; attempt += 1) {
      try {
        const pauses = Math.max(attempt, entry.repeats);
        if (pauses > 0) await clock.sleep(backoffMs(pauses, bounds, rng), signal);
        await lease.held(signal);
        const tried = await this.#slots.use(async () => this.#tryOnce(entry, deadlineMs));
        if (tried.is === 'done') return this.#finish(entry, tried);
        this.#tellRetrying(entry, tried);
      } catch (error) {
        if (error instanceof LeaseLost) continue;
        if (signal.aborted) return this.#drop(entry);
        log.error({ err: error, order: entry.order }, 'an order ended in an unexpected error');
        this.#tellRetrying(entry, { outcome: 'retrying', message: messageOf(error) });
      }
    }
  }

  async #tryOnce(entry: Entry, deadlineMs: number): Promise<Try> {
    const { order } = entry;
    const { fence, lease, isOutdated, log, tryOrder } = this.#deps;
    const mayGoOn = (next?: OrderStep): void => {
      entry.control.signal.throwIfAborted();
      this.#stopping.signal.throwIfAborted();
      if (!lease.isHeld()) throw new LeaseLost('the lease of this host has run out');
      if (next !== undefined) this.#tellStep(order, next);
    };
    mayGoOn('accept');
    const highest = fence.highest(order.accelerator_id);
    if (order.epoch < highest || isOutdated(order)) {
      log.error({ order, highest }, 'refused an order with an old epoch');
      const message = `Epoch ${order.epoch} is older than ${highest}, which this host has seen for the accelerator.`;
      return { is: 'done', outcome: 'refused', message };
    }
    await fence.raise(order.accelerator_id, order.epoch, order.attachment_id);
    mayGoOn();
    const { isNews } = entry;
    entry.isNews = false;
    return await tryOrder({
      order,
      isNews,
      signal: entry.control.signal,
      deadlineMs,
      mayGoOn,
      tell: ({ percent }) => this.#tellProgress(entry, percent),
    });
  }

  #tellProgress(entry: Entry, percent: number): void {
    const nowMs = this.#deps.clock.monotonicMs();
    if (nowMs - entry.lastToldMs < agentDefaults.progressReportMs) return;
    entry.lastToldMs = nowMs;
    const outcome = toOutcome(entry.order, { outcome: 'retrying' });
    this.#deps.report({ ...outcome, percent });
  }

  #finish(entry: Entry, tried: Extract<Try, { is: 'done' }>): void {
    const { clock, log, measures, report } = this.#deps;
    const seconds = (clock.monotonicMs() - entry.beganAtMs) / 1000;
    measures.orderEnded(entry.order.kind, tried.outcome, seconds);
    const outcome = toOutcome(entry.order, tried);
    entry.state = 'done';
    entry.outcome = outcome;
    const { kind, attachment_id: attachment, accelerator_id: accelerator } = entry.order;
    log.debug({ kind, attachment, accelerator, outcome: tried.outcome }, 'an order is done');
    this.#tellStep(entry.order, 'report');
    report(outcome);
  }

  #tellStep({ kind, accelerator_id: accelerator }: Order, step: OrderStep): void {
    const all: readonly OrderStep[] = orderSteps[kind];
    const left = all.slice(all.indexOf(step) + 1);
    this.#deps.log.debug({ kind, step, left, accelerator }, 'begins a step of an order');
  }

  #tellRetrying(entry: Entry, { outcome, message }: Omit<Extract<Try, { is: 'again' }>, 'is'>) {
    const { clock, log, report } = this.#deps;
    const nowMs = clock.monotonicMs();
    if (nowMs - entry.lastToldMs < agentDefaults.retryingReportMs) return;
    entry.lastToldMs = nowMs;
    const { kind, attachment_id: attachment } = entry.order;
    log.warn({ kind, attachment, reason: message }, 'an order is not done yet; trying again');
    report(toOutcome(entry.order, { outcome, message }));
  }
}

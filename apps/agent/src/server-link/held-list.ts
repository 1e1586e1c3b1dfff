/** What the ledger says this host holds: read page by page, kept up to date by the agent's own accepted outcomes. */
import type { Held, TakenFunction } from '@cyborg/api-spec/agent/desired';
import type { Clock } from '@cyborg/service/clock';
import type { Rng } from '@cyborg/service/rng';
import { messageOf } from '../hypervisors/node-error.ts';
import { agentDefaults } from '../limits.ts';
import type { Log } from '../log.ts';
import type { LedgerMemory } from '../state/ledger-memory.ts';
import type { Lease } from './lease.ts';
import { serverPauseMs } from './pause.ts';
import type { ServerLink } from './server-link.ts';
import { Waker } from './waker.ts';

export interface HeldListDeps {
  readonly link: ServerLink;
  readonly ledger: LedgerMemory;
  readonly lease: Lease;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Log;
  readonly onLoaded: (held: Iterable<Held>) => void;
}

interface Change {
  readonly attachmentId: string;
  readonly held: Held | undefined;
}

export class HeldList {
  readonly #deps: HeldListDeps;
  readonly #wake = new Waker();
  #byAttachment = new Map<string, Held>();
  /** Own outcomes while pages are being read: they are newer than the pages. */
  #changes: Change[] | undefined;
  readonly #changedAtMs = new Map<string, number>();
  #loads = 0;
  #waiting: (() => void)[] = [];
  #taken: readonly TakenFunction[] = [];
  #waitingForFirst: (() => void)[] = [];

  constructor(deps: HeldListDeps) {
    this.#deps = deps;
  }

  /** False until the whole list has been read in this run, and again after the ledger changed. */
  get isLoaded(): boolean {
    return this.#loads > 0;
  }

  /** Counts complete readings. */
  get loads(): number {
    return this.#loads;
  }

  /** PCI functions that the ledger says are taken, as of the last reading; undefined when there is none within so long. */
  async taken(timeoutMs: number): Promise<readonly TakenFunction[] | undefined> {
    if (!this.isLoaded) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waitingForFirst.push(resolve);
      using _timer = this.#deps.clock.setTimer(timeoutMs, resolve);
      await promise;
    }
    return this.isLoaded ? this.#taken : undefined;
  }

  find(attachmentId: string): Held | undefined {
    return this.#byAttachment.get(attachmentId);
  }

  values(): Iterable<Held> {
    return this.#byAttachment.values();
  }

  /** Monotonic ms at which an own outcome last changed this one; -∞ when none did. */
  changedAtMs(attachmentId: string): number {
    return this.#changedAtMs.get(attachmentId) ?? Number.NEGATIVE_INFINITY;
  }

  put(held: Held): void {
    this.#changedAtMs.set(held.attachment_id, this.#deps.clock.monotonicMs());
    this.#apply({ attachmentId: held.attachment_id, held });
  }

  remove(attachmentId: string): void {
    this.#changedAtMs.delete(attachmentId);
    this.#apply({ attachmentId, held: undefined });
  }

  /** The ledger has changed: nothing that was read before counts. */
  reset(): void {
    this.#loads = 0;
    this.#wake.wake();
  }

  /** Resolves after a reading that begins now or later. */
  async refreshed(signal: AbortSignal): Promise<void> {
    const done = Promise.withResolvers<void>();
    this.#waiting.push(done.resolve);
    this.#wake.wake();
    signal.addEventListener('abort', () => done.resolve(), { once: true });
    await done.promise;
    signal.throwIfAborted();
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, lease, rng, log } = this.#deps;
    for (let attempt = 0; !signal.aborted;) {
      try {
        await lease.held(signal);
        const waiting = this.#waiting;
        this.#waiting = [];
        await this.#load(signal).catch((error: unknown) => {
          this.#waiting.push(...waiting);
          throw error;
        });
        for (const tell of waiting) tell();
        attempt = 0;
        const jitter = 0.75 + rng.fraction() / 2;
        await this.#wake.wait(clock, agentDefaults.heldRefreshMs * jitter, signal);
      } catch (error) {
        if (signal.aborted) return;
        attempt += 1;
        log.debug({ reason: messageOf(error) }, 'the list of held attachments could not be read');
        await clock.sleep(serverPauseMs(attempt, error, rng), signal).catch(() => undefined);
      }
    }
  }

  async #load(signal: AbortSignal): Promise<void> {
    const { link, ledger } = this.#deps;
    const changes: Change[] = [];
    this.#changes = changes;
    try {
      const found = new Map<string, Held>();
      let taken: readonly TakenFunction[] = [];
      let marker: string | null = null;
      do {
        const query: { marker?: string } = marker === null ? {} : { marker };
        const page: Awaited<ReturnType<typeof link.client.listHeld>> = await link.client.listHeld({
          query,
          signal,
        });
        const verdict = ledger.judge(page.ledger);
        if (verdict !== 'same') throw new Error(`the list is of a ledger that is ${verdict}`);
        for (const held of page.items) found.set(held.attachment_id, held);
        taken = page.taken ?? taken;
        marker = page.next;
      } while (marker !== null);
      for (const change of changes) applyTo(found, change);
      this.#byAttachment = found;
      this.#taken = taken;
      for (const id of this.#changedAtMs.keys()) if (!found.has(id)) this.#changedAtMs.delete(id);
    } finally {
      this.#changes = undefined;
    }
    this.#loads += 1;
    for (const tell of this.#waitingForFirst.splice(0)) tell();
    this.#deps.onLoaded(this.#byAttachment.values());
  }

  #apply(change: Change): void {
    applyTo(this.#byAttachment, change);
    this.#changes?.push(change);
  }
}

function applyTo(map: Map<string, Held>, { attachmentId, held }: Change): void {
  if (held === undefined) map.delete(attachmentId);
  else map.set(attachmentId, held);
}

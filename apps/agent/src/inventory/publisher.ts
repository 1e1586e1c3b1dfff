/** Brings inventories to the server: offers hashes, several in one small request, and sends only what it asks for. */
import type { Inventory } from '@cyborg/driver-sdk/protocol';
import type { Clock } from '@cyborg/service/clock';
import type { Rng } from '@cyborg/service/rng';
import { messageOf } from '../hypervisors/node-error.ts';
import { agentDefaults } from '../limits.ts';
import type { Log } from '../log.ts';
import type { Lease } from '../server-link/lease.ts';
import { hasProblem, isRefusedCredential, serverPauseMs } from '../server-link/pause.ts';
import type { ServerLink } from '../server-link/server-link.ts';
import { Causes } from '../server-link/causes.ts';
import { Waker } from '../server-link/waker.ts';
import { agentSpans } from '../spans.ts';
import type { LedgerMemory } from '../state/ledger-memory.ts';

export interface PublisherDeps {
  readonly link: ServerLink;
  readonly ledger: LedgerMemory;
  readonly lease: Lease;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly log: Log;
}

export interface Offer {
  readonly backendId: string;
  readonly generation: number;
  readonly hash: string;
  readonly inventory: Inventory;
  /** The server has this inventory now. */
  readonly onAccepted: () => void;
}

const backendsPerOfferMax = 256;

export class InventoryPublisher {
  readonly #deps: PublisherDeps;
  readonly #wake = new Waker();
  readonly #waiting = new Map<string, Offer>();
  readonly #causes = new Causes();

  constructor(deps: PublisherDeps) {
    this.#deps = deps;
  }

  offer(offer: Offer): void {
    this.#causes.note();
    this.#waiting.set(offer.backendId, offer);
    this.#wake.wake();
  }

  forget(backendId: string): void {
    this.#waiting.delete(backendId);
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, lease, rng, log } = this.#deps;
    for (let attempt = 0; !signal.aborted;) {
      if (this.#waiting.size === 0) {
        await this.#wake.wait(clock, agentDefaults.heldRefreshMs, signal);
        if (!signal.aborted) {
          await clock.sleep(agentDefaults.inventoryBatchMs, signal).catch(() => undefined);
        }
        continue;
      }
      try {
        await lease.held(signal);
        await this.#causes.tracedFor(agentSpans.inventory, async () => this.#publish(signal));
        attempt = 0;
      } catch (error) {
        if (signal.aborted) return;
        attempt += 1;
        const codes = ['agent-already-running', 'wrong-ledger'];
        if (hasProblem(error, ...codes) || isRefusedCredential(error)) lease.lose();
        log.warn({ reason: messageOf(error) }, 'inventories were not taken; trying again');
        await clock.sleep(serverPauseMs(attempt, error, rng), signal).catch(() => undefined);
      }
    }
  }

  async #publish(signal: AbortSignal): Promise<void> {
    const { link, ledger } = this.#deps;
    const current = ledger.current;
    if (current === undefined) throw new Error('there is no ledger before enrolment');
    const offers = [...this.#waiting.values()].slice(0, backendsPerOfferMax);
    const { wanted } = await link.client.offerInventories({
      body: {
        instance: link.instance,
        ledger: current,
        backends: offers.map(({ backendId, hash, generation }) => ({
          backend_id: backendId,
          hash,
          generation,
        })),
      },
      signal,
    });
    const isWanted = new Set(wanted);
    for (const offer of offers) {
      if (isWanted.has(offer.backendId)) await this.#put(offer, { ledger: current, signal });
      if (this.#waiting.get(offer.backendId) === offer) this.#waiting.delete(offer.backendId);
      offer.onAccepted();
    }
  }

  async #put(
    { backendId, generation, hash, inventory }: Offer,
    { ledger, signal }: { ledger: { id: string; incarnation: number }; signal: AbortSignal },
  ): Promise<void> {
    const { link } = this.#deps;
    await link.client.putInventory({
      params: { backend_id: backendId },
      body: { instance: link.instance, ledger, hash, generation, ...inventory },
      signal,
    });
  }
}

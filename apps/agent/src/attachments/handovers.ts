/**
 * Attaches that have handed nothing to a guest, known for certain: what they prepared needs no wiping. Kept in memory alone,
 * and what is not here counts as given: after a restart of the agent everything is wiped.
 */
import type { Order } from '@cyborg/api-spec/agent/desired';

type Ordered = Pick<Order, 'accelerator_id' | 'epoch'>;

export class Handovers {
  /** By accelerator: the epoch at which it was given. */
  readonly #untouched = new Map<string, number>();

  /** An attach that no agent of this host has tried before, and that nobody but this one plugs. */
  begin({ accelerator_id: id, epoch }: Ordered): void {
    this.#untouched.set(id, epoch);
  }

  /**
   * Just before a machine is told to take it. @returns what takes that back, for a machine that refused without a look
   * at it.
   */
  handOver({ accelerator_id: id }: Ordered): () => void {
    const epoch = this.#untouched.get(id);
    this.#untouched.delete(id);
    return () => {
      if (epoch !== undefined) this.#untouched.set(id, epoch);
    };
  }

  /** For a clean: taking it back has raised the epoch once since, so nobody else was given it in between. */
  isNeverGiven({ accelerator_id: id, epoch }: Ordered): boolean {
    return this.#untouched.get(id) === epoch - 1;
  }
}

/**
 * What every driver must refuse, whatever its hardware: orders that a newer one has overtaken, and an image for a card of
 * which somebody holds a part. Of this process alone: the agent, which knows of all, asks for neither.
 */
import { DriverError } from './errors.ts';
import type { Inventory } from './protocol.ts';

interface Target {
  readonly backend: string;
  readonly accelerator: string;
}

interface Known {
  epoch: number;
  /** That it is prepared for. */
  attachment?: string | undefined;
}

export class OrderGuard {
  readonly #known = new Map<string, Map<string, Known>>();
  /** Key of the card by that of the accelerator. */
  readonly #cards = new Map<string, ReadonlyMap<string, string>>();

  /** @throws DriverError `invalid` for an epoch below one that was seen before. */
  enter({ backend, accelerator, epoch }: Target & { readonly epoch: number }): void {
    const known = this.#of(backend);
    const before = known.get(accelerator);
    if (before !== undefined && epoch < before.epoch) {
      throw new DriverError(
        'invalid',
        `epoch ${epoch} of ${accelerator} is older than ${before.epoch}, which was seen before: the order is not carried out`,
      );
    }
    known.set(accelerator, { ...before, epoch });
  }

  prepared({ backend, accelerator }: Target, attachment: string): void {
    const known = this.#of(backend).get(accelerator);
    if (known !== undefined) known.attachment = attachment;
  }

  /** @param attachment whose it was; undefined = nobody's any more, as after a clean. */
  released({ backend, accelerator }: Target, attachment?: string): void {
    const known = this.#of(backend).get(accelerator);
    if (known === undefined) return;
    if (attachment === undefined || known.attachment === attachment) known.attachment = undefined;
  }

  /** @throws DriverError `host-use` while a part of its card is prepared. */
  checkUnheld({ backend, accelerator }: Target): void {
    const cards = this.#cards.get(backend);
    const card = cards?.get(accelerator);
    for (const [other, { attachment }] of this.#of(backend)) {
      const isPart = other === accelerator || (card !== undefined && cards?.get(other) === card);
      if (!isPart || attachment === undefined) continue;
      throw new DriverError(
        'host-use',
        `${other} is prepared for attachment ${attachment}: no image is written before it is released`,
      );
    }
  }

  /** What is not listed any more is forgotten: if it comes back, it may be another ledger's, with epochs of its own. */
  discovered(backend: string, { devices }: Inventory): void {
    // A driver in plain JavaScript may answer anything: the agent checks it, and says where it is wrong.
    if (!Array.isArray(devices)) return;
    const cards = new Map(
      devices.flatMap((device) =>
        device.deployables.flatMap(({ accelerators }) =>
          accelerators.map(({ key }) => [key, device.key] as const),
        ),
      ),
    );
    this.#cards.set(backend, cards);
    const known = this.#of(backend);
    for (const key of known.keys()) if (!cards.has(key)) known.delete(key);
  }

  uninstalled(backend: string): void {
    this.#known.delete(backend);
    this.#cards.delete(backend);
  }

  #of(backend: string): Map<string, Known> {
    const known = this.#known.get(backend) ?? new Map<string, Known>();
    this.#known.set(backend, known);
    return known;
  }
}

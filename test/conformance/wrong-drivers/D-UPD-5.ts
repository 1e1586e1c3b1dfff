/** Believes that it still writes what was cancelled. */
import { Refusal, RightDriver, type Card, type Json } from './right.ts';

class Wrong extends RightDriver {
  override readonly stepMs = 300;
  #isWriting = false;
  #isStuck = false;

  override notified(method: string): void {
    if (method === '$/cancelRequest' && this.#isWriting) this.#isStuck = true;
  }

  override async update(card: Card, params: Json): Promise<Json> {
    if (this.#isStuck) throw new Refusal(4002, 'it is writing another image');
    this.#isWriting = true;
    return await super.update(card, params).finally(() => {
      this.#isWriting = false;
    });
  }
}

new Wrong().start();

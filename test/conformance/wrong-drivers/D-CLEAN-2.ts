/** Never gives again what it has cleaned. */
import { Refusal, RightDriver, type Card, type Json } from './right.ts';

class Wrong extends RightDriver {
  readonly #worn = new Set<unknown>();

  override prepare(card: Card, params: Json): Json {
    if (this.#worn.has(card.key)) throw new Refusal(4002, 'it is being cleaned');
    return super.prepare(card, params);
  }

  override clean(params: Json): string[] {
    this.#worn.add(params['accelerator']);
    return super.clean(params);
  }
}

new Wrong().start();

/** Remembers in its process alone what it has prepared. */
import { Refusal, RightDriver, type Card, type Json } from './right.ts';

class Wrong extends RightDriver {
  readonly #known = new Set<unknown>();

  override prepare(card: Card, params: Json): Json {
    this.#known.add(card.key);
    return super.prepare(card, params);
  }

  override clean(params: Json): string[] {
    if (!this.#known.has(params['accelerator'])) throw new Refusal(4002, 'I know nothing of it');
    return super.clean(params);
  }
}

new Wrong().start();

/** Has another plan each time. */
import { RightDriver, type Card, type Json } from './right.ts';

class Wrong extends RightDriver {
  #count = 0;

  override prepare(card: Card, params: Json): Json {
    this.#count += 1;
    return { ...super.prepare(card, params), address: `${card.address}#${this.#count}` };
  }
}

new Wrong().start();

/** Has thirty handles and never takes one back. */
import { Refusal, RightDriver, type Card, type Json } from './right.ts';

class Wrong extends RightDriver {
  #handles = 30;

  override prepare(card: Card, params: Json): Json {
    if (this.#handles === 0) throw new Refusal(4002, 'no handle is left');
    this.#handles -= 1;
    return super.prepare(card, params);
  }
}

new Wrong().start();

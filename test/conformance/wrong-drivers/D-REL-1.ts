/** Releases only what it has prepared. */
import { Refusal, RightDriver, type Card, type Json } from './right.ts';

class Wrong extends RightDriver {
  readonly #prepared = new Set<unknown>();

  override prepare(card: Card, params: Json): Json {
    this.#prepared.add(params['attachment']);
    return super.prepare(card, params);
  }

  override release(params: Json): Json {
    const isKnown = this.#prepared.delete(params['attachment']);
    if (!isKnown) throw new Refusal(4003, 'that was not prepared');
    return {};
  }
}

new Wrong().start();

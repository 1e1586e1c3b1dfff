/** Writes into a card that somebody has. */
import { RightDriver, type Card, type Json } from './right.ts';

class Wrong extends RightDriver {
  override async update(card: Card, params: Json): Promise<Json> {
    this.prepared.clear();
    return await super.update(card, params);
  }
}

new Wrong().start();

/** Gives everybody the same card. */
import { RightDriver, type Card, type Json } from './right.ts';

class Wrong extends RightDriver {
  override prepare(card: Card, params: Json): Json {
    return { ...super.prepare(card, params), address: '0000:18:00.0' };
  }
}

new Wrong().start();

/** Gives away what the host uses. */
import { RightDriver, type Card, type Json } from './right.ts';

class Wrong extends RightDriver {
  override prepare(card: Card, params: Json): Json {
    return super.prepare({ ...card, hostUse: null }, params);
  }
}

new Wrong().start();

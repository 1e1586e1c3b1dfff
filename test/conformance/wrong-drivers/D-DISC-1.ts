/** Leaves the health out. */
import { RightDriver, type Card, type Json } from './right.ts';

class Wrong extends RightDriver {
  override device(card: Card): Json {
    return { ...super.device(card), health: undefined };
  }
}

new Wrong().start();

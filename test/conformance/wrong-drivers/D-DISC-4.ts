/** Offers what the host uses. */
import { RightDriver, type Card, type Json } from './right.ts';

class Wrong extends RightDriver {
  override accelerator(card: Card): Json {
    return { ...super.accelerator(card), offered: true, reason: null };
  }
}

new Wrong().start();

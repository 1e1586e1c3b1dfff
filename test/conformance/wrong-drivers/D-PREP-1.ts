/** Has a plan that it did not list. */
import { RightDriver, type Card, type Json } from './right.ts';

class Wrong extends RightDriver {
  override prepare(card: Card, params: Json): Json {
    super.prepare(card, params);
    return { kind: 'virtio-rng', source: '/dev/urandom' };
  }
}

new Wrong().start();

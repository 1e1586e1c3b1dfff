/** Does not ask what the hypervisor can plug. */
import { RightDriver, type Card, type Json } from './right.ts';

class Wrong extends RightDriver {
  override prepare(card: Card): Json {
    return super.prepare(card, { plugs: ['pci'] });
  }
}

new Wrong().start();

/** Has words of its own where Placement's are due. */
import { RightDriver, type Card, type Json } from './right.ts';

class Wrong extends RightDriver {
  override device(card: Card): Json {
    const device = super.device(card);
    const parts = Array.isArray(device['deployables']) ? device['deployables'] : [];
    return {
      ...device,
      deployables: parts.map((part) => ({ ...part, resource_class: 'XEON_PHI' })),
    };
  }
}

new Wrong().start();

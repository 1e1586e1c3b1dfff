import { describe, it } from 'vitest';

import { OrderGuard } from './order-guard.ts';
import type { Inventory } from './protocol.ts';

const target = { backend: 'b', accelerator: 'a-0' };

/** Only what the guard reads: cards with the keys of their accelerators. */
function inventoryOf(cards: Readonly<Record<string, readonly string[]>>): Inventory {
  const devices = Object.entries(cards).map(([key, keys]) => ({
    key,
    deployables: [{ accelerators: keys.map((one) => ({ key: one })) }],
  }));
  return { devices, services: [] } as unknown as Inventory;
}

describe('the guard of orders', () => {
  it('refuses what a newer order has overtaken, for that accelerator alone', ({ expect }) => {
    const guard = new OrderGuard();
    guard.enter({ ...target, epoch: 7 });
    guard.enter({ ...target, epoch: 7 });
    expect(() => guard.enter({ ...target, epoch: 6 })).toThrow(/epoch 6 of a-0 is older than 7/);
    guard.enter({ ...target, accelerator: 'a-1', epoch: 1 });
    guard.enter({ ...target, backend: 'other', epoch: 1 });
  });

  it('forgets what is listed no more, and what is uninstalled', ({ expect }) => {
    const guard = new OrderGuard();
    guard.enter({ ...target, epoch: 7 });
    guard.discovered('b', inventoryOf({ card: ['a-0'] }));
    expect(() => guard.enter({ ...target, epoch: 6 })).toThrow('older');
    guard.discovered('b', inventoryOf({ card: ['a-1'] }));
    guard.enter({ ...target, epoch: 1 });
    guard.uninstalled('b');
    guard.enter({ ...target, epoch: 0 });
  });

  it('lets no image into a card of which a part is prepared, until it is released or clean', ({
    expect,
  }) => {
    const guard = new OrderGuard();
    guard.discovered('b', inventoryOf({ card: ['a-0', 'a-1'], other: ['a-2'] }));
    guard.enter({ ...target, epoch: 1 });
    guard.prepared(target, 'mine');
    const neighbour = { backend: 'b', accelerator: 'a-1' };
    for (const one of [target, neighbour]) {
      expect(() => guard.checkUnheld(one)).toThrow(/a-0 is prepared for attachment mine/);
    }
    guard.checkUnheld({ backend: 'b', accelerator: 'a-2' });
    guard.released(target, 'another');
    expect(() => guard.checkUnheld(neighbour)).toThrow('prepared');
    guard.released(target, 'mine');
    guard.checkUnheld(neighbour);
    guard.prepared(target, 'mine');
    guard.released(target);
    guard.checkUnheld(target);
  });
});

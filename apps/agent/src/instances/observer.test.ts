import { systemClock } from '@cyborg/service/clock';
import { it } from 'vitest';

import { Observer } from './observer.ts';
import { World } from './world.ts';

it('a listing is told when it changes, every half minute, and as soon as a missing instance counts as vanished', ({
  expect,
}) => {
  let nowMs = 0;
  const told: number[] = [];
  const observer = new Observer({
    clock: { ...systemClock, monotonicMs: () => nowMs },
    world: new World(),
    isOrdered: () => false,
    acceleratorOf: () => undefined,
    whyNotReleased: () => undefined,
    isUnprepared: () => false,
    refreshHeld: () => undefined,
    reporter: {
      listing: () => told.push(nowMs / 1000),
      observation: () => undefined,
      unclaimed: () => undefined,
    },
    held: {
      isLoaded: false,
      loads: 0,
      find: () => undefined,
      values: () => [],
      changedAtMs: () => 0,
    },
  });
  const guest = {
    id: 'a',
    name: 'a',
    projectId: null,
    state: 'ACTIVE' as const,
    plugs: [],
    devices: [],
  };
  const nothing = { unknownIds: [], unknownCount: 0 };
  for (; nowMs <= 140_000; nowMs += 4_000) {
    // Missing from the fifth second on.
    const instances = nowMs < 5_000 ? [guest] : [];
    observer.listed('qemu', { instances, ...nothing }, nowMs);
  }
  expect(told).toEqual([0, 8, 40, 72, 76, 80, 112]);
});

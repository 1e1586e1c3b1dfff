/** Promise 1, with many callers at once. */
import { setTimeout as sleep } from 'node:timers/promises';

import { ApiError } from '@cyborg/api-client/errors';
import { randomInt } from 'node:crypto';
import { describe, it } from 'vitest';

import { Fleet } from './fleet.ts';
import { Epochs, settled } from './settled.ts';

const seats = 24;
const settleMs = 60_000;

async function openFleet(crypto: number): Promise<{ fleet: Fleet; vm: string }> {
  const fleet = await Fleet.open();
  await fleet.startServer();
  await fleet.addHosts(['host-1']);
  await fleet.installVirtual(['host-1'], { crypto, entropy: 0 });
  return { fleet, vm: await fleet.instance('host-1') };
}

describe('callers that race', { retry: 0 }, () => {
  it('for the last accelerator: exactly one wins, the other hears that none is left', async ({
    expect,
  }) => {
    const { fleet, vm } = await openFleet(1);
    await using _fleet = fleet;
    for (let round = 0; round < 5; round += 1) {
      const answers = await Promise.allSettled([fleet.requestAttach(vm), fleet.requestAttach(vm)]);
      const won = answers.filter(({ status }) => status === 'fulfilled');
      const lost = answers.flatMap((one) => (one.status === 'rejected' ? [one.reason] : []));

      expect(won).toHaveLength(1);
      expect(lost).toMatchObject([{ status: 409, code: 'no-accelerator-left' }]);
      await settled(fleet);
      await fleet.detach(vm);
    }
  });

  it('sixteen at once with count 1 to 3 and clients that hang up: refused only when truly short', async ({
    expect,
  }) => {
    const { fleet, vm } = await openFleet(seats);
    await using _fleet = fleet;
    const epochs = new Epochs();
    for (let round = 0; round < 3; round += 1) {
      const counts = Array.from({ length: 16 }, () => randomInt(1, 4));
      const outcomes = await Promise.all(
        counts.map((count, at) => attempt(fleet, vm, { count, hangsUp: at % 4 === 0 })),
      );
      await settled(fleet, { withinMs: settleMs, epochs });

      const free = await fleet.accelerators({ state: 'available' });
      for (const { count, outcome } of outcomes) {
        expect(['accepted', 'hung up', 'no-accelerator-left']).toContain(outcome);
        // Nothing was given back meanwhile: what is free now was free then.
        if (outcome === 'no-accelerator-left') expect(free.length).toBeLessThan(count);
      }
      const accepted = outcomes.filter(({ outcome }) => outcome === 'accepted');
      const given = accepted.reduce((sum, { count }) => sum + count, 0);
      expect(seats - free.length).toBeGreaterThanOrEqual(given);
      await fleet.detach(vm);
      await settled(fleet, { withinMs: settleMs, epochs });
    }
  });
});

async function attempt(
  fleet: Fleet,
  vm: string,
  { count, hangsUp }: { count: number; hangsUp: boolean },
): Promise<{ count: number; outcome: string }> {
  const abort = new AbortController();
  const answer = fleet.v3
    .createAttachments({ params: { instance_id: vm }, body: { count }, signal: abort.signal })
    .then(
      () => 'accepted',
      (error: unknown) => (error instanceof ApiError ? error.code : 'hung up'),
    );
  if (hangsUp) {
    await sleep(randomInt(12));
    abort.abort();
  }
  return { count, outcome: await answer };
}

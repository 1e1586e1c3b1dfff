import { describe, it } from 'vitest';

import { card, openCards } from '../../test/cards.ts';
import { dispatch, obey, ordersOf, outcomeOf, report } from '../test-agent.ts';
import { brokenInvariants } from '../test-audit.ts';

describe('a card that moves while it is being attached', () => {
  it('is attached where it is now, whatever is said late of where it was', async ({ expect }) => {
    const bench = await openCards();
    const { database, deps, host } = bench;
    await using _ = database;
    await bench.put(card('41', { serial: 'a' }));
    await bench.attach({});
    await dispatch(deps);
    const [before] = await ordersOf(deps, host);
    await bench.put(card('42', { serial: 'a' }));
    // Its host plugged it before it moved, and was not heard.
    await report(deps, host, [outcomeOf(before!)]);
    const [now, ...others] = await ordersOf(deps, host);
    expect(others).toEqual([]);
    expect(now).toMatchObject({ kind: 'attach', attachment_id: before!.attachment_id });
    expect(now!.device_epoch).toBeGreaterThan(before!.device_epoch);
    expect(await bench.attachment()).toMatchObject({
      state: 'attaching',
      left_addresses: ['0000:41:00.0'],
    });
    await obey(deps, host);
    expect(await bench.attachment()).toMatchObject({ state: 'attached', left_addresses: [] });
    expect(await brokenInvariants(database.db)).toEqual([]);
  });
});

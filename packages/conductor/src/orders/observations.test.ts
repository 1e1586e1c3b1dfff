import { sql } from 'kysely';
import { describe, it } from 'vitest';

import { setUp } from '../../test/attaching.ts';
import { obey, ordersOf, outcomeOf, report } from '../test-agent.ts';
import { act } from '../transaction.ts';
import { applyObservations } from './observations.ts';
import { listHeld } from './orders.ts';

describe('an observation', () => {
  it('that a guest lost its device has it plugged again under the same name', async ({
    expect,
  }) => {
    const { database, db, deps, host, attach } = await setUp({ count: 1 });
    await using _ = database;
    await attach();
    await obey(deps, host);
    const { items } = await listHeld(db, host.id, undefined);
    const [held] = items;
    const see = (observed: 'plugged' | 'missing' | 'unknown', epoch = held!.epoch) =>
      act(deps, (current) =>
        applyObservations(current, deps, {
          host,
          observations: [{ attachment_id: held!.attachment_id, epoch, observed }],
        }),
      );
    const events = async () => (await db.selectFrom('event').select('id').execute()).length;
    const before = await events();
    await see('plugged');
    await see('missing', held!.epoch - 1);
    expect(await events()).toBe(before);
    expect(await ordersOf(deps, host)).toEqual([]);
    await see('missing');
    const orders = await ordersOf(deps, host);
    expect(orders).toMatchObject([
      {
        kind: 'attach',
        epoch: held!.epoch,
        device_epoch: held!.device_epoch,
        attachment_id: held!.attachment_id,
      },
    ]);
    expect(
      (await db.selectFrom('accelerator').select('state').executeTakeFirstOrThrow()).state,
    ).toBe('attached');
    await report(deps, host, [outcomeOf(orders[0]!, { outcome: 'failed', message: 'no slot' })]);
    expect(await db.selectFrom('attachment').selectAll().executeTakeFirstOrThrow()).toMatchObject({
      state: 'failed',
      reason: 'no slot',
    });
    expect((await listHeld(db, host.id, undefined)).items).toHaveLength(1);
  });

  it('writes nothing when all is as the ledger has it', async ({ expect }) => {
    const { database, db, deps, host, attach } = await setUp({ count: 2 });
    await using _ = database;
    await attach({ count: 2 });
    await obey(deps, host);
    const { items } = await listHeld(db, host.id, undefined);
    const rows = async () =>
      (await sql`select xmin, xmax, * from attachment order by id`.execute(db)).rows;
    const before = await rows();
    const observations = items.map((item) => ({
      attachment_id: item.attachment_id,
      epoch: item.epoch,
      observed: 'plugged' as const,
    }));
    await act(deps, (current) => applyObservations(current, deps, { host, observations }));
    expect(await rows()).toEqual(before);
  });
});

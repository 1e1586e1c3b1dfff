import { connect } from '@cyborg/store/connect';
import { quietLog } from '@cyborg/testing/log';
import { sql } from 'kysely';
import { describe, it } from 'vitest';

import { setUp } from '../../test/attaching.ts';
import { dispatchAttachments } from '../reconcilers/dispatch-attachments.ts';
import { brokenInvariants } from '../test-audit.ts';

describe('an accelerator', () => {
  it('has at most one live attachment, says the database itself', async ({ expect }) => {
    const { database, db, attach } = await setUp({ count: 1 });
    await using _ = database;
    await attach();
    const copy =
      sql`insert into attachment (id, accelerator_id, host_id, instance_id, project_id, user_id, origin,
        state, plugged_by, created_at)
      select '00000000-0000-4000-8000-000000000001', accelerator_id, host_id, instance_id, project_id, user_id,
        origin, 'attaching', plugged_by, created_at from attachment`.execute(db);
    await expect(copy).rejects.toMatchObject({ constraint: 'attachment_live' });
  });

  it('goes to one of the callers who ask for it at once', async ({ expect }) => {
    const { database, db, accelerators, attach, instances } = await setUp({ count: 12 });
    await using _ = database;
    for (const { id } of accelerators) {
      const answers = await Promise.allSettled(
        [0, 1, 0, 1, 0, 1].map((guest) => attach({ accelerator: id }, instances[guest])),
      );
      const refused = answers.filter((answer) => answer.status === 'rejected');
      expect(refused).toHaveLength(5);
      for (const { reason } of refused) expect(reason).toMatchObject({ code: 'already-attached' });
    }
    expect(await brokenInvariants(db)).toEqual([]);
  });

  it.for([1, 2, 3])(
    'is refused only when too few are left: 16 callers, some giving up, round %i',
    async (round, { expect }) => {
      const total = 12;
      const { database, db, deps, attach, accelerators } = await setUp({ count: total });
      await using _ = database;
      let gone = 0;
      const mayGiveUp = Promise.withResolvers<void>();
      const giveUp = async (): Promise<void> => {
        // Takes some, as a reservation does, and gives up before it commits.
        await db
          .transaction()
          .execute(async (tx) => {
            await sql`update accelerator set state = 'reserved' where id in (
              select id from accelerator where state = 'available' order by id limit 2
              for update skip locked)`.execute(tx);
            gone += 1;
            await mayGiveUp.promise;
            throw new Error('gave up');
          })
          .catch(() => undefined);
      };
      const callers = Array.from({ length: 16 }, (_value, index) => 1 + ((index * round) % 3));
      const aborts = Array.from({ length: 4 }, giveUp);
      const asked = callers.map((count) => attach({ count }));
      // Those who give up hold on until somebody waits for them, or until nobody does.
      const allAnswered = new AbortController();
      const looking = someoneWaits(database.url, allAnswered.signal).then(mayGiveUp.resolve);
      const answers = await Promise.allSettled(asked);
      allAnswered.abort();
      await Promise.all([...aborts, looking]);
      const won = answers.reduce(
        (sum, answer, index) => sum + (answer.status === 'fulfilled' ? callers[index]! : 0),
        0,
      );
      const free = await db
        .selectFrom('accelerator')
        .select('id')
        .where('state', '=', 'available')
        .execute();
      expect(gone).toBe(4);
      expect(won + free.length).toBe(total);
      answers.forEach((answer, index) => {
        if (answer.status === 'fulfilled') return;
        expect(answer.reason).toMatchObject({ code: 'no-accelerator-left' });
        expect(callers[index]).toBeGreaterThan(free.length);
      });
      expect(await brokenInvariants(db)).toEqual([]);
      expect(accelerators).toHaveLength(total);
      await dispatchAttachments(deps).pass(new AbortController().signal);
    },
  );
});

/** Returns when a connection waits for another one's lock, or when the signal is aborted. */
async function someoneWaits(url: string, signal: AbortSignal): Promise<void> {
  const { db } = connect({ url, log: quietLog, poolSizeMax: 1 });
  try {
    for (let isWaiting = false; !isWaiting && !signal.aborted;) {
      const { rows } = await sql`select 1 from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'`.execute(db);
      isWaiting = rows.length > 0;
    }
  } finally {
    await db.destroy();
  }
}

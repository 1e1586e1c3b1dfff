/** The ledger's own identity: made at the first start, and a new incarnation after a restore. */
import { firstEpoch } from '@cyborg/model/epoch';
import { toId } from '@cyborg/model/ids';
import type { Clock } from '@cyborg/service/clock';
import type { Rng } from '@cyborg/service/rng';
import { renewEpochsOfReturns } from '@cyborg/store/holdings';

import type { Db, Ledger } from '../deps.ts';

/** Reads the ledger's row, made at the first start; of two servers that start together one makes it. */
export async function openLedger(
  db: Db,
  rng: Pick<Rng, 'uuid'>,
  clock: Pick<Clock, 'now'>,
): Promise<Ledger> {
  await db
    .insertInto('ledger')
    .values({ id: rng.uuid(), incarnation: 1, created_at: clock.now() })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  return toLedger(await db.selectFrom('ledger').selectAll().executeTakeFirstOrThrow());
}

/**
 * To be called once after a restore from a backup, with every server stopped: epochs of the new incarnation are higher
 * than all that hosts have seen, and servers of the old one are refused by every agent.
 *
 * What was on its way back is ordered anew: hosts have seen higher epochs since, and would refuse the old orders for ever.
 * That is safe whatever happened meanwhile, for it gives nobody anything. What was on its way to a guest stays refused:
 * whether it is still wanted, a person knows.
 */
export async function newIncarnation(db: Db, clock: Pick<Clock, 'now'>): Promise<Ledger> {
  return db.transaction().execute(async (tx) => {
    const row = await tx
      .updateTable('ledger')
      .set((eb) => ({ incarnation: eb('incarnation', '+', 1), updated_at: clock.now() }))
      .returningAll()
      .executeTakeFirstOrThrow();
    const ledger = toLedger(row);
    await renewEpochsOfReturns(tx, { now: clock.now(), floor: firstEpoch(ledger.incarnation) });
    return ledger;
  });
}

function toLedger(row: { readonly id: string; readonly incarnation: number }): Ledger {
  return { id: toId(row.id), incarnation: row.incarnation };
}

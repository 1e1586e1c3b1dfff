/** The ledger's own identity: made at the first start, and a new incarnation after a restore. */
import { toId } from '@cyborg/model/ids';
import type { Clock } from '@cyborg/service/clock';
import type { Rng } from '@cyborg/service/rng';

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
 */
export async function newIncarnation(db: Db, clock: Pick<Clock, 'now'>): Promise<Ledger> {
  const row = await db
    .updateTable('ledger')
    .set((eb) => ({ incarnation: eb('incarnation', '+', 1), updated_at: clock.now() }))
    .returningAll()
    .executeTakeFirstOrThrow();
  return toLedger(row);
}

function toLedger(row: { readonly id: string; readonly incarnation: number }): Ledger {
  return { id: toId(row.id), incarnation: row.incarnation };
}

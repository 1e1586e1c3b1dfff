/** Which ledger this database is: its id for good, its incarnation since the last restore. */
import type { Kysely } from 'kysely';

import type { Database } from './schema.ts';

export interface LedgerRow {
  readonly id: string;
  readonly incarnation: number;
}

/** The ledger of this database; the first server to ask makes it. */
export async function ensureLedger(
  db: Kysely<Database>,
  { id, now }: { id: string; now: Date },
): Promise<LedgerRow> {
  await db
    .insertInto('ledger')
    .values({ id, incarnation: 1, created_at: now, updated_at: null })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  return db.selectFrom('ledger').select(['id', 'incarnation']).executeTakeFirstOrThrow();
}

/** After a restore: orders of the lost time are told apart from those to come. */
export async function beginIncarnation(
  db: Kysely<Database>,
  now: Date,
): Promise<LedgerRow | undefined> {
  return db
    .updateTable('ledger')
    .set((eb) => ({ incarnation: eb('incarnation', '+', 1), updated_at: now }))
    .returning(['id', 'incarnation'])
    .executeTakeFirst();
}

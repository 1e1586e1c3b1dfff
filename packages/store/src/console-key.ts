import type { Kysely } from 'kysely';

import type { Database } from './schema.ts';

/** The key of the ledger's console sessions: the one that is there, or `fresh`, which then is. */
export async function openConsoleKey(
  db: Kysely<Database>,
  { fresh, now }: { readonly fresh: Buffer; readonly now: Date },
): Promise<Buffer> {
  await db
    .insertInto('console_key')
    .values({ key: fresh.toString('base64'), created_at: now })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  const { key } = await db.selectFrom('console_key').select('key').executeTakeFirstOrThrow();
  return Buffer.from(key, 'base64');
}

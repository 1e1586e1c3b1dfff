import { sql, type Kysely, type Selectable } from 'kysely';

import type { Database, UnclaimedTable } from './schema.ts';

export type UnclaimedRow = Selectable<UnclaimedTable> & { readonly host: string };

const withHost = sql`select u.*, h.name as host from unclaimed u join host h on h.id = u.host_id`;

/** In id order. */
export async function listUnclaimed(
  db: Kysely<Database>,
  {
    host,
    after,
    limit,
  }: {
    readonly host?: string | undefined;
    readonly after?: string | undefined;
    readonly limit: number;
  },
): Promise<UnclaimedRow[]> {
  const { rows } = await sql<UnclaimedRow>`${withHost}
    where u.id > ${after ?? '00000000-0000-0000-0000-000000000000'}::uuid
      ${host === undefined ? sql`` : sql`and (h.name = ${host} or h.id::text = ${host})`}
    order by u.id limit ${limit}`.execute(db);
  return rows;
}

/** Locked until the transaction ends. */
export async function lockUnclaimed(
  tx: Kysely<Database>,
  id: string,
): Promise<UnclaimedRow | undefined> {
  const { rows } = await sql<UnclaimedRow>`${withHost} where u.id = ${id} for update of u`.execute(
    tx,
  );
  return rows[0];
}

export async function orderUnclaimedRelease(
  tx: Kysely<Database>,
  { id, now }: { readonly id: string; readonly now: Date },
): Promise<void> {
  await tx
    .updateTable('unclaimed')
    .set({ ordered: 'release', updated_at: now })
    .where('id', '=', id)
    .execute();
}

export async function deleteUnclaimed(tx: Kysely<Database>, id: string): Promise<void> {
  await tx.deleteFrom('unclaimed').where('id', '=', id).execute();
}

import { isUuid } from '@cyborg/model/ids';
import { sql, type Kysely, type RawBuilder, type Selectable } from 'kysely';

import { pageLimit } from './page-of-ids.ts';
import type { Database, UnclaimedTable } from './schema.ts';

export type UnclaimedRow = Selectable<UnclaimedTable> & { readonly host: string };

const withHost = sql`select u.*, h.name as host from unclaimed u join host h on h.id = u.host_id`;

/** By name or id, each by its own index. */
function hostsNamed(host: string): RawBuilder<unknown> {
  const isId = isUuid(host) ? sql`or id = ${host}::uuid` : sql``;
  return sql`select id from host where name = ${host} ${isId}`;
}

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
      ${host === undefined ? sql`` : sql`and u.host_id in (${hostsNamed(host)})`}
    order by u.id limit ${pageLimit(limit)}`.execute(db);
  return rows;
}

/** Locked until the transaction ends, unless for a rehearsal. */
export async function lockUnclaimed(
  tx: Kysely<Database>,
  id: string,
  { withoutLock = false }: { readonly withoutLock?: boolean } = {},
): Promise<UnclaimedRow | undefined> {
  const lock = withoutLock ? sql`` : sql`for update of u`;
  const { rows } = await sql<UnclaimedRow>`${withHost} where u.id = ${id} ${lock}`.execute(tx);
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

/** Devices of ours that hosts found unasked, and which accelerators of the ledger they are. */
import { isUuid } from '@cyborg/model/ids';
import { sql, type Kysely, type RawBuilder, type Selectable } from 'kysely';

import { pageLimit } from './page-of-ids.ts';
import type { Database, UnclaimedTable } from './schema.ts';

export type UnclaimedRow = Selectable<UnclaimedTable> & {
  readonly host: string;
  /** Of the accelerator that it is; null: nobody knows which. */
  readonly known_id: string | null;
  readonly known_name: string | null;
};

const domain = sql`ltrim(a.attach_info ->> 'domain', '0')`;

/** Of `accelerator a`, as the kernel writes it. */
const functionAddress = sql`lower(concat(lpad(${domain}, greatest(4, length(${domain})), '0'), ':',
  a.attach_info ->> 'bus', ':', a.attach_info ->> 'device', '.', a.attach_info ->> 'function'))`;

/**
 * For a query on `unclaimed u`: the accelerator that it is. The one that its host was ordered to plug goes before the one
 * that is at its address, since an older ledger may have a card where it was.
 */
const known = sql`left join accelerator named on named.id = u.accelerator_id and named.host_id = u.host_id
  left join lateral (
    select a.id, a.name from accelerator a
    where named.id is null and u.address is not null and a.host_id = u.host_id and a.plans ? 'pci'
      and ${functionAddress} = u.address
    order by a.presence = 'present' desc, a.id limit 1) located on true`;

const withHost = sql`select u.*, h.name as host, coalesce(named.id, located.id) as known_id,
    coalesce(named.name, located.name) as known_name
  from unclaimed u join host h on h.id = u.host_id ${known}`;

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

const onOffer = sql`from unclaimed u ${known}
  join accelerator free on free.id = coalesce(named.id, located.id)
  where free.attachment_id is null and free.state in ('available', 'withheld')`;

/** Whether `listUnclaimedOnOffer` finds any. */
export const hasUnclaimedOnOffer: RawBuilder<boolean> = sql`exists (select ${onOffer})`;

export interface UnclaimedOnOffer {
  /** Of the accelerator. */
  readonly id: string;
  readonly unclaimed_id: string;
  readonly instance_id: string;
  readonly device_name: string;
}

/** Accelerators that a guest has and that could be given to another one, in id order. */
export async function listUnclaimedOnOffer(
  db: Kysely<Database>,
  { hostId, limit }: { readonly hostId?: string; readonly limit: number },
): Promise<UnclaimedOnOffer[]> {
  const { rows } = await sql<UnclaimedOnOffer>`
    select free.id, u.id as unclaimed_id, u.instance_id, u.device_name ${onOffer}
      ${hostId === undefined ? sql`` : sql`and u.host_id = ${hostId}::uuid`}
    order by free.id, u.id limit ${limit}`.execute(db);
  return rows;
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

/** Devices as v2 lists them: those whose type upstream has a word for. */
import { sql, type Kysely, type RawBuilder, type Selectable } from 'kysely';

import type { Database } from '../schema.ts';
import type { DeviceTable } from '../schema-inventory.ts';
import { inBatches, inOrder, isAfter, type Sort } from './batches.ts';

export interface V2DeviceRow extends Selectable<DeviceTable> {
  readonly sort_value: string;
  readonly v2_type: string;
  readonly v2_vendor: string;
  readonly hostname: string;
}

export interface V2DeviceFilter {
  readonly type?: string | undefined;
  readonly vendor?: string | undefined;
  readonly hostname?: string | undefined;
}

const vendor = sql`coalesce(regexp_replace(t.vendor_id, '^0x', ''), t.vendor, '')`;

/** What `sort_key` may name. */
export const deviceSorts = {
  id: { expression: sql`t.number`, type: 'integer' },
  uuid: { expression: sql`t.id`, type: 'uuid' },
  type: { expression: sql`t.v2_type`, type: 'text' },
  vendor: { expression: vendor, type: 'text' },
  model: { expression: sql`coalesce(t.model, '')`, type: 'text' },
  status: { expression: sql`t.status`, type: 'text' },
  created_at: { expression: sql`t.created_at`, type: 'timestamptz' },
  updated_at: { expression: sql`coalesce(t.updated_at, '-infinity')`, type: 'timestamptz' },
  hostname: {
    expression: sql`(select node_name from host where host.id = t.host_id)`,
    type: 'text',
  },
} as const satisfies Record<string, Omit<Sort, 'direction'>>;

export function streamDevices(
  db: Kysely<Database>,
  { filter, sort, limit }: { filter: V2DeviceFilter; sort: Sort; limit: number | undefined },
): AsyncGenerator<readonly V2DeviceRow[]> {
  const conditions = matches(filter);
  return inBatches<V2DeviceRow>(async (last, wanted) => {
    const { rows } = await sql<V2DeviceRow>`
      ${select(sort)} where t.v2_type is not null ${conditions} and ${isAfter(sort, last)}
      ${inOrder(sort)} limit ${sql.lit(wanted)}`.execute(db);
    return rows;
  }, limit);
}

const byNumber: Sort = { ...deviceSorts.id, direction: 'asc' };

export async function findV2Device(
  db: Kysely<Database>,
  id: string,
): Promise<V2DeviceRow | undefined> {
  const { rows } = await sql<V2DeviceRow>`
    ${select(byNumber)} where t.id = ${id}::uuid and t.v2_type is not null`.execute(db);
  return rows[0];
}

/** @returns whether it has changed. */
export async function setDeviceStatus(
  db: Kysely<Database>,
  given: { readonly id: string; readonly status: 'enabled' | 'maintaining'; readonly now: Date },
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('device')
    .set({ status: given.status, updated_at: given.now })
    .where('id', '=', given.id)
    .where('status', '<>', given.status)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

function select({ expression }: Sort): RawBuilder<V2DeviceRow> {
  return sql`select t.*, ${vendor} as v2_vendor, (${expression})::text as sort_value,
    (select node_name from host where host.id = t.host_id) as hostname from device t`;
}

function matches({ type, vendor: wanted, hostname }: V2DeviceFilter): RawBuilder<unknown> {
  const parts = [
    ...(type === undefined ? [] : [sql`and t.v2_type = ${type}`]),
    ...(wanted === undefined ? [] : [sql`and ${vendor} = ${wanted}`]),
    ...(hostname === undefined
      ? []
      : [sql`and t.host_id = any(array(select id from host where node_name = ${hostname}))`]),
  ];
  return parts.length === 0 ? sql`` : sql.join(parts, sql` `);
}

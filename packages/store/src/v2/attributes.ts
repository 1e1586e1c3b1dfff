/** Attributes of deployables: the driver's (`rc`, `trait…`) and the operators' own. */
import { sql, type Insertable, type Kysely, type RawBuilder, type Selectable } from 'kysely';

import type { AttributeTable } from '../schema-inventory.ts';
import type { Database } from '../schema.ts';
import { inBatches, isAfter, type Sort } from './batches.ts';

export interface V2AttributeRow extends Selectable<AttributeTable> {
  readonly sort_value: string;
  readonly deployable_number: number;
}

const byNumber: Sort = { expression: sql`t.number`, type: 'integer', direction: 'asc' };

export function streamAttributes(
  db: Kysely<Database>,
  filter: { readonly deployable?: number | undefined; readonly key?: string | undefined },
): AsyncGenerator<readonly V2AttributeRow[]> {
  const { deployable, key } = filter;
  const ofDeployable =
    deployable === undefined
      ? sql``
      : sql`and t.deployable_id = (select d.id from deployable d where d.number = ${deployable})`;
  const named = key === undefined ? sql`` : sql`and t.key = ${key}`;
  return inBatches<V2AttributeRow>(async (last, wanted) => {
    const { rows } = await sql<V2AttributeRow>`
      ${select} where ${isAfter(byNumber, last)} ${ofDeployable} ${named}
      order by t.number limit ${sql.lit(wanted)}`.execute(db);
    return rows;
  });
}

export async function findAttribute(
  db: Kysely<Database>,
  id: string,
): Promise<V2AttributeRow | undefined> {
  const { rows } = await sql<V2AttributeRow>`${select} where t.id = ${id}::uuid`.execute(db);
  return rows[0];
}

/** @returns the deployable's id; undefined when v2 shows none of this number. */
export async function findDeployableByNumber(
  db: Kysely<Database>,
  number: number,
): Promise<string | undefined> {
  const row = await db
    .selectFrom('deployable')
    .select('id')
    .where('number', '=', number)
    .where('in_v2', '=', true)
    .executeTakeFirst();
  return row?.id;
}

/** @returns false when the id is in use. */
export async function insertAttribute(
  db: Kysely<Database>,
  row: Insertable<AttributeTable>,
): Promise<boolean> {
  const { numInsertedOrUpdatedRows = 0n } = await db
    .insertInto('attribute')
    .values(row)
    .onConflict((conflict) => conflict.column('id').doNothing())
    .executeTakeFirst();
  return numInsertedOrUpdatedRows > 0n;
}

export async function deleteAttribute(db: Kysely<Database>, id: string): Promise<boolean> {
  const { numDeletedRows } = await db
    .deleteFrom('attribute')
    .where('id', '=', id)
    .executeTakeFirst();
  return numDeletedRows > 0n;
}

const select: RawBuilder<V2AttributeRow> = sql`select t.*, t.number::text as sort_value,
  (select d.number from deployable d where d.id = t.deployable_id) as deployable_number
  from attribute t`;

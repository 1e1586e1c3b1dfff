/** Lists of v2 have no pages: they are read batch by batch while they are written, each batch where the last one ended. */
import { sql, type RawBuilder, type SqlBool } from 'kysely';

/** Rows held at once for a list; also how often a long list goes back to the database. */
export const batchRowsMax = 500;

/** A row says where it stands in the order of its list. */
export interface Placed {
  readonly number: number;
  /** Of the sort's expression, as text; absent when the list is in the order of its numbers. */
  readonly sort_value: string;
}

export interface Sort {
  /** Never null. */
  readonly expression: RawBuilder<unknown>;
  readonly type: 'integer' | 'text' | 'timestamptz' | 'uuid';
  readonly direction: 'asc' | 'desc';
}

/** The rows after a row: by the sort's expression, then by number. */
export function isAfter(sort: Sort, last: Placed | undefined): RawBuilder<SqlBool> {
  if (last === undefined) return sql<SqlBool>`true`;
  const than = sort.direction === 'asc' ? sql`>` : sql`<`;
  const value = sql`${last.sort_value}::text::${sql.raw(sort.type)}`;
  return sql<SqlBool>`(${sort.expression}, t.number) ${than} (${value}, ${last.number}::integer)`;
}

export function inOrder({ expression, direction }: Sort): RawBuilder<unknown> {
  const way = sql.raw(direction);
  return sql`order by ${expression} ${way}, t.number ${way}`;
}

/** @param limit  rows at most; undefined = all. */
export async function* inBatches<Row extends Placed>(
  read: (last: Row | undefined, rows: number) => Promise<readonly Row[]>,
  limit = Number.POSITIVE_INFINITY,
): AsyncGenerator<readonly Row[]> {
  let last: Row | undefined;
  for (let left = limit; left > 0;) {
    const wanted = Math.min(batchRowsMax, left);
    const rows = await read(last, wanted);
    if (rows.length > 0) yield rows;
    if (rows.length < wanted) return;
    last = rows.at(-1);
    left -= rows.length;
  }
}

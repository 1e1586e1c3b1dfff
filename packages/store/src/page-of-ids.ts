/** First the ids of a page, by index; then, for these alone, what is to be said of them. */
import { sql, type RawBuilder, type SqlBool } from 'kysely';

/** Limits (with the row that tells whether another page follows) that callers ask for often. */
const commonLimits: ReadonlySet<number> = new Set([2, 11, 21, 51, 101, 201, 501, 1001]);

/**
 * A limit, written out when it is a common one: for a limit that it does not know PostgreSQL plans as for a tenth of
 * the table. Others stay parameters, so that callers cannot fill every connection with statements.
 */
export function pageLimit(rows: number): RawBuilder<number> {
  return commonLimits.has(rows) ? sql.lit(rows) : sql<number>`${rows}`;
}

export interface PageOfIds {
  /** What a row must be one of; each alternative is looked up by an index of its own. On the table alone. */
  readonly anyOf: readonly RawBuilder<SqlBool>[];
  /** What it must be besides. On the table alone. */
  readonly conditions: readonly RawBuilder<SqlBool>[];
  readonly after?: string | undefined;
  readonly limit: number;
  /** Unless given, the order is the ids'. */
  readonly order?: PageOrder | undefined;
}

export interface PageOrder {
  /** Of the table, not null, with an index on it and the id. */
  readonly column: RawBuilder<string>;
  readonly isDescending: boolean;
  /** What the column has in the row `after`. */
  readonly afterKey?: string | undefined;
}

/** A condition on the table: that a row is of this page, in id order. */
export function isOnPage(
  table: 'accelerator' | 'device',
  { anyOf, conditions, after, limit, order }: PageOfIds,
): RawBuilder<SqlBool> {
  const id = sql.ref(`${table}.id`);
  if (order !== undefined) {
    return isOnOrderedPage(table, { anyOf, conditions, after, limit, order });
  }
  const all = after === undefined ? conditions : [...conditions, sql`${id} > ${after}::uuid`];
  const found = anyOf.map(
    (alternative) => sql`(select ${id} from ${sql.table(table)}
      where ${sql.join([alternative, ...all], sql` and `)} order by ${id} limit ${pageLimit(limit)})`,
  );
  return sql<SqlBool>`${id} in (
    select id from (${sql.join(found, sql` union `)}) as found order by id limit ${pageLimit(limit)})`;
}

/** What the rows of such a page are then to be sorted by. */
export function orderOf(table: 'accelerator', order: PageOrder | undefined): RawBuilder<unknown> {
  const id = sql.ref(`${table}.id`);
  if (order === undefined) return id;
  const direction = order.isDescending ? sql`desc` : sql`asc`;
  return sql`${order.column} ${direction}, ${id} ${direction}`;
}

function isOnOrderedPage(
  table: 'accelerator' | 'device',
  page: PageOfIds & { readonly order: PageOrder },
): RawBuilder<SqlBool> {
  const { anyOf, conditions, after, limit, order } = page;
  const { column, isDescending, afterKey } = order;
  const id = sql.ref(`${table}.id`);
  const direction = isDescending ? sql`desc` : sql`asc`;
  const beyond = isDescending ? sql`<` : sql`>`;
  const all =
    after === undefined || afterKey === undefined
      ? conditions
      : [...conditions, sql`(${column}, ${id}) ${beyond} (${afterKey}, ${after}::uuid)`];
  const found = anyOf.map(
    (alternative) => sql`(select ${id}, ${column} as key from ${sql.table(table)}
      where ${sql.join([alternative, ...all], sql` and `)}
      order by ${column} ${direction}, ${id} ${direction} limit ${pageLimit(limit)})`,
  );
  return sql<SqlBool>`${id} in (
    select id from (${sql.join(found, sql` union `)}) as found
    order by key ${direction}, id ${direction} limit ${pageLimit(limit)})`;
}

/**
 * For lists that are ordered by `project_id` first: written so that the project's index alone has that order. With a plain
 * `=` any index with the rest of the order will do, and for a small project it is read to its end.
 */
export function isOfProject(table: 'event' | 'operation', projectId: string): RawBuilder<SqlBool> {
  return sql<SqlBool>`${sql.ref(`${table}.project_id`)} = any(array[${projectId}])`;
}

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
}

/** A condition on the table: that a row is of this page, in id order. */
export function isOnPage(
  table: 'accelerator' | 'device',
  { anyOf, conditions, after, limit }: PageOfIds,
): RawBuilder<SqlBool> {
  const id = sql.ref(`${table}.id`);
  const all = after === undefined ? conditions : [...conditions, sql`${id} > ${after}::uuid`];
  const found = anyOf.map(
    (alternative) => sql`(select ${id} from ${sql.table(table)}
      where ${sql.join([alternative, ...all], sql` and `)} order by ${id} limit ${pageLimit(limit)})`,
  );
  return sql<SqlBool>`${id} in (
    select id from (${sql.join(found, sql` union `)}) as found order by id limit ${pageLimit(limit)})`;
}

/**
 * For lists that are ordered by `project_id` first: written so that the project's index alone has that order. With a plain
 * `=` any index with the rest of the order will do, and for a small project it is read to its end.
 */
export function isOfProject(table: 'event' | 'operation', projectId: string): RawBuilder<SqlBool> {
  return sql<SqlBool>`${sql.ref(`${table}.project_id`)} = any(array[${projectId}])`;
}

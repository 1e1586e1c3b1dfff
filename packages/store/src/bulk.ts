/** Many rows in one statement and one parameter, whatever their number: rows travel as one JSON document. */
import { sql, type Insertable, type Kysely, type Selectable } from 'kysely';

import type { Database } from './schema.ts';

type Table = keyof Database;
type Column<T extends Table> = keyof Selectable<Database[T]> & string;
type Row<T extends Table> = Partial<Record<keyof Insertable<Database[T]>, unknown>>;

export interface Bulk<T extends Table> {
  readonly table: T;
  /** Columns that are written; every other one keeps its default or its value. */
  readonly columns: readonly Column<T>[];
  /** jsonb columns hold their value, not JSON text. */
  readonly rows: readonly Row<T>[];
  /** On insert: a row that exists already (by any unique key) is left as it is. */
  readonly isExistingKept?: boolean;
}

export async function insertMany<T extends Table>(
  db: Kysely<Database>,
  { table, columns, rows, isExistingKept = false }: Bulk<T>,
): Promise<void> {
  if (rows.length === 0) return;
  const conflict = isExistingKept ? sql`on conflict do nothing` : sql``;
  const names = sql.join(columns.map((column) => sql.ref(column)));
  await sql`insert into ${sql.table(table)} (${names})
    select ${names} from jsonb_populate_recordset(null::${sql.table(table)}, ${JSON.stringify(rows)}::jsonb)
    ${conflict}`.execute(db);
}

/** Rows are found by `id`. */
export async function updateMany<T extends Table>(
  db: Kysely<Database>,
  { table, columns, rows }: Bulk<T>,
): Promise<void> {
  if (rows.length === 0) return;
  const changes = columns.map((column) => sql`${sql.ref(column)} = ${sql.ref(`given.${column}`)}`);
  await sql`update ${sql.table(table)} as kept set ${sql.join(changes)}
    from jsonb_populate_recordset(null::${sql.table(table)}, ${JSON.stringify(rows)}::jsonb) as given
    where kept.id = given.id`.execute(db);
}

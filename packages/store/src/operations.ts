import { sql, type Kysely, type RawBuilder, type Selectable, type SqlBool } from 'kysely';

import { isOfProject, pageLimit } from './page-of-ids.ts';
import type { Database, OperationTable } from './schema.ts';

export type OperationRow = Selectable<OperationTable>;

export interface OperationFilter {
  readonly state?: string | undefined;
  readonly kind?: string | undefined;
  /** Of this project alone; of all when undefined. */
  readonly projectId: string | undefined;
  /** Sort key of the last row of the page before: its instant and id. */
  readonly before?: { readonly createdAt: string; readonly id: string } | undefined;
  readonly limit: number;
}

/** Newest first. */
export function listOperations(
  db: Kysely<Database>,
  { state, kind, projectId, before, limit }: OperationFilter,
): Promise<OperationRow[]> {
  let query = db.selectFrom('operation').selectAll().limit(pageLimit(limit));
  if (projectId !== undefined) {
    query = query.where(isOfProject('operation', projectId)).orderBy('project_id');
  }
  query = query.orderBy('created_at', 'desc').orderBy('id', 'desc');
  if (state !== undefined) query = query.where(sql<SqlBool>`state = ${state}`);
  if (kind !== undefined) query = query.where(sql<SqlBool>`kind = ${kind}`);
  if (before !== undefined) {
    query = query.where(
      sql<SqlBool>`(created_at, id) < (${before.createdAt}::timestamptz, ${before.id}::uuid)`,
    );
  }
  return query.execute();
}

export function findOperation(
  db: Kysely<Database>,
  id: string,
  visible: RawBuilder<SqlBool>,
): Promise<OperationRow | undefined> {
  return db
    .selectFrom('operation')
    .selectAll()
    .where('id', '=', id)
    .where(visible)
    .executeTakeFirst();
}

/** Locks those that have not ended, in id order. */
export function lockOpenOperations(
  tx: Kysely<Database>,
  {
    ids,
    withoutLock,
  }: {
    readonly ids: readonly string[];
    /** For rehearsals: reads only. */
    readonly withoutLock?: boolean | undefined;
  },
): Promise<OperationRow[]> {
  const query = tx
    .selectFrom('operation')
    .selectAll()
    .where(sql<SqlBool>`id = any(${ids}::uuid[])`)
    .where('state', 'in', ['queued', 'running', 'waiting'])
    .orderBy('id');
  return (withoutLock === true ? query : query.forUpdate()).execute();
}

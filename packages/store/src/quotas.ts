import { sql, type Kysely, type Selectable, type Transaction } from 'kysely';

import type { Database, QuotaTable } from './schema.ts';

export type QuotaRow = Selectable<QuotaTable>;

export interface QuotaUse {
  readonly type: string;
  readonly accelerators_max: number | null;
  readonly accelerators_used: number;
}

/** Types that have a limit or are held, in the order of their names. */
export async function readQuota(db: Kysely<Database>, projectId: string): Promise<QuotaUse[]> {
  const { rows } = await sql<QuotaUse>`
    with held as (
      select type, count(*) as used from accelerator where project_id = ${projectId} group by type),
    given as (select type, accelerators_max from quota where project_id = ${projectId})
    select coalesce(given.type, held.type) as type, given.accelerators_max,
      coalesce(held.used, 0) as accelerators_used
    from given full join held on held.type = given.type order by 1`.execute(db);
  return rows;
}

/** Locks the project's limits, as a reservation does, so that neither counts past the other. */
export function lockQuotas(tx: Transaction<Database>, projectId: string): Promise<QuotaRow[]> {
  return tx
    .selectFrom('quota')
    .selectAll()
    .where('project_id', '=', projectId)
    .orderBy('type')
    .forUpdate()
    .execute();
}

/** Changes of a project's limits one after the other, also while it has none that could be locked. */
export async function takeTurnOnQuota(tx: Transaction<Database>, projectId: string): Promise<void> {
  await sql`select pg_advisory_xact_lock(hashtextextended(${`quota ${projectId}`}, 0))`.execute(tx);
}

export async function setQuota(
  tx: Kysely<Database>,
  row: {
    readonly projectId: string;
    readonly type: string;
    readonly max: number;
    readonly now: Date;
  },
): Promise<void> {
  const { projectId, type, max, now } = row;
  await tx
    .insertInto('quota')
    .values({
      project_id: projectId,
      type,
      accelerators_max: max,
      created_at: now,
      updated_at: null,
    })
    .onConflict((conflict) =>
      conflict
        .columns(['project_id', 'type'])
        .doUpdateSet({ accelerators_max: max, updated_at: now }),
    )
    .execute();
}

export async function liftQuota(
  tx: Kysely<Database>,
  { projectId, type }: { readonly projectId: string; readonly type: string },
): Promise<void> {
  await tx
    .deleteFrom('quota')
    .where('project_id', '=', projectId)
    .where('type', '=', type)
    .execute();
}

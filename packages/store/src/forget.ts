/** Takes away what is over and older than is kept, the oldest first, a bounded number of rows at a time. */
import { sql, type Kysely, type RawBuilder, type Transaction } from 'kysely';

import type { Database } from './schema.ts';

/** Any number that no other advisory lock of ours uses. */
const forgetterLockKey = 7_267_331_907;

export interface Forgetting {
  /** What was over by then may go. */
  readonly before: Date;
  readonly limit: number;
}

/** Kinds of which an accelerator's last one stays: they say what was done to it, or what a person decided about it. */
const doneTo = ['accelerator.cleaned', 'accelerator.cleaning_failed'];
const decided = ['accelerator.available', 'accelerator.withheld', 'accelerator.updated'];

/**
 * Events go in the order of their numbers, up to the first one that is younger, so that those that stay have no gap.
 *
 * One at a time: a second one finds the lock taken and leaves.
 *
 * @returns how many went.
 */
export async function forgetEvents(
  tx: Transaction<Database>,
  { before, limit }: Forgetting,
): Promise<number> {
  const { rows } = await sql<{ locked: boolean }>`
    select pg_try_advisory_xact_lock(${forgetterLockKey}) as locked`.execute(tx);
  if (rows[0]?.locked !== true) return 0;
  const range = await findForgettable(tx, { before, limit });
  if (range.until <= range.after) return 0;
  const isOld = sql`number > ${range.after} and number <= ${range.until}`;
  await keepLastOfAccelerators(tx, isOld);
  const { numAffectedRows } = await sql`delete from event where ${isOld}`.execute(tx);
  await tx.updateTable('event_counter').set({ forgotten: range.until }).execute();
  return Number(numAffectedRows ?? 0n);
}

interface Range {
  readonly after: number;
  readonly until: number;
}

async function findForgettable(
  tx: Transaction<Database>,
  { before, limit }: Forgetting,
): Promise<Range> {
  const { rows } = await sql<Range>`
    with oldest as (
      select event.number, event.at from event, event_counter where event.number > event_counter.forgotten
      order by event.number limit ${sql.lit(limit)}),
    young as (select min(number) as number from oldest where at >= ${before})
    select c.forgotten as after, coalesce(
      (select number - 1 from young), (select max(number) from oldest), c.forgotten) as until
    from event_counter c`.execute(tx);
  return rows[0] ?? { after: 0, until: 0 };
}

async function keepLastOfAccelerators(
  tx: Transaction<Database>,
  isOld: RawBuilder<unknown>,
): Promise<void> {
  await sql`
    with telling as materialized (
      select *, subject_id::uuid as accelerator_id from event where ${isOld} and (kind = any(${doneTo})
        or (kind = any(${decided}) and user_id is not null)))
    insert into kept_event (accelerator_id, kind, number, at, host_id, project_id, user_id, data)
    select distinct on (a.id, e.kind) a.id, e.kind, e.number, e.at, e.host_id, e.project_id, e.user_id, e.data
    from telling e join accelerator a on a.id = e.accelerator_id
    order by a.id, e.kind, e.number desc
    on conflict (accelerator_id, kind) do update set number = excluded.number, at = excluded.at,
      host_id = excluded.host_id, project_id = excluded.project_id, user_id = excluded.user_id,
      data = excluded.data`.execute(tx);
}

/** Those that have ended. */
export function forgetOperations(db: Kysely<Database>, forgetting: Forgetting): Promise<number> {
  return forget(db, forgetting, { table: 'operation', isOver: sql`true`, since: 'finished_at' });
}

/** Those that have ended, and of which Placement need not be told any more. */
export function forgetAttachments(db: Kysely<Database>, forgetting: Forgetting): Promise<number> {
  const isOver = sql`state = 'released' and allocation is null`;
  return forget(db, forgetting, { table: 'attachment', isOver, since: 'updated_at' });
}

/** Those that vanished, unless they hold something: what their hypervisor merely does not answer for has not. */
export function forgetInstances(db: Kysely<Database>, forgetting: Forgetting): Promise<number> {
  const isOver = sql`is_vanished and not exists (
    select from attachment t where t.instance_id = instance.id and t.state <> 'released')`;
  return forget(db, forgetting, { table: 'instance', isOver, since: 'missing_since' });
}

/** Used or not: after their time they are good for nothing. */
export function forgetJoinTokens(db: Kysely<Database>, forgetting: Forgetting): Promise<number> {
  return forget(db, forgetting, { table: 'join_token', isOver: sql`true`, since: 'expires_at' });
}

interface What {
  readonly table: keyof Database;
  readonly isOver: RawBuilder<unknown>;
  /** When it was over; null: not yet. */
  readonly since: string;
}

async function forget(
  db: Kysely<Database>,
  { before, limit }: Forgetting,
  { table, isOver, since }: What,
): Promise<number> {
  const at = sql.ref(since);
  const { numAffectedRows } = await sql`delete from ${sql.table(table)} where id in (
    select id from ${sql.table(table)} where ${isOver} and ${at} < ${before}
    order by ${at} limit ${sql.lit(limit)} for update skip locked)`.execute(db);
  return Number(numAffectedRows ?? 0n);
}

import { isUuid } from '@cyborg/model/ids';
import { sql, type Kysely, type RawBuilder, type Transaction } from 'kysely';

import { isOfProject, pageLimit } from './page-of-ids.ts';
import type { Database } from './schema.ts';

/** Any number that no other advisory lock of ours uses. */
const sequencerLockKey = 7_267_331_901;

export interface EventRow {
  readonly number: number;
  readonly at: Date;
  readonly kind: string;
  readonly subject_kind: string;
  readonly subject_id: string;
  readonly host: string | null;
  readonly project_id: string | null;
  readonly user_id: string | null;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface EventFilter {
  readonly after: number;
  /** Newest first, from this number (exclusive) down, or from the newest. */
  readonly before?: number | 'newest' | undefined;
  readonly kind?: string | undefined;
  readonly subjectId?: string | undefined;
  readonly limit: number;
  /** Of this project alone; of all when undefined. */
  readonly projectId: string | undefined;
}

/** Whether `numberEvents` has any to number. */
export const hasUnnumberedEvents: RawBuilder<boolean> = sql`exists (select from event where number is null)`;

/**
 * Gives the oldest unnumbered committed events their numbers, in the order in which they were written.
 *
 * One sequencer at a time: the second one finds the lock taken and leaves. The lock is a statement of its own, so that
 * the next one sees everything that an earlier sequencer committed.
 *
 * @returns how many were numbered.
 */
export async function numberEvents(tx: Transaction<Database>, limit: number): Promise<number> {
  const { rows } = await sql<{ locked: boolean }>`
    select pg_try_advisory_xact_lock(${sequencerLockKey}) as locked`.execute(tx);
  if (rows[0]?.locked !== true) return 0;
  const numbered = await sql<{ count: number }>`
    with batch as (
      select id, row_number() over (order by id) as position
      from (select id from event where number is null order by id limit ${limit}) as oldest),
    numbered as (
      update event set number = event_counter.last + batch.position
      from batch, event_counter where event.id = batch.id),
    total as (select count(*) as count from batch)
    update event_counter set last = last + total.count from total
    where total.count > 0 returning total.count`.execute(tx);
  return numbered.rows[0]?.count ?? 0;
}

/**
 * Numbered events after a number, in order. Those about one accelerator begin with the ones that are kept of it beyond
 * their time.
 */
export async function listEvents(db: Kysely<Database>, filter: EventFilter): Promise<EventRow[]> {
  const rows = await listYoungEvents(db, filter);
  if (filter.subjectId === undefined || !isUuid(filter.subjectId)) return rows;
  // Asked for last, so that what is forgotten meanwhile is found in one of the two.
  const known = new Set(rows.map(({ number }) => number));
  const kept = (await listKeptEvents(db, filter, filter.subjectId)).filter(
    ({ number }) => !known.has(number),
  );
  const all = filter.before === undefined ? [...kept, ...rows] : [...rows, ...kept.toReversed()];
  return all.slice(0, filter.limit);
}

/** At most one of each kind, in order. */
async function listKeptEvents(
  db: Kysely<Database>,
  { after, before, kind, projectId }: EventFilter,
  acceleratorId: string,
): Promise<EventRow[]> {
  const { rows } = await sql<EventRow>`
    select k.number, k.at, k.kind, 'accelerator' as subject_kind, k.accelerator_id::text as subject_id,
      h.name as host, k.project_id, k.user_id, k.data
    from kept_event k left join host h on h.id = k.host_id
    where k.accelerator_id = ${acceleratorId}::uuid and k.number > ${after}
      ${typeof before === 'number' ? sql`and k.number < ${before}` : sql``}
      ${kind === undefined ? sql`` : sql`and k.kind = ${kind}`}
      ${projectId === undefined ? sql`` : sql`and k.project_id = ${projectId}`}
    order by k.number`.execute(db);
  return rows;
}

async function listYoungEvents(db: Kysely<Database>, filter: EventFilter): Promise<EventRow[]> {
  let query = db
    .selectFrom('event')
    .leftJoin('host', 'host.id', 'event.host_id')
    .select([
      'event.number',
      'event.at',
      'event.kind',
      'event.subject_kind',
      'event.subject_id',
      'host.name as host',
      'event.project_id',
      'event.user_id',
      'event.data',
    ])
    .where('event.number', '>', filter.after)
    .limit(pageLimit(filter.limit));
  const direction = filter.before === undefined ? 'asc' : 'desc';
  if (typeof filter.before === 'number') query = query.where('event.number', '<', filter.before);
  if (filter.kind !== undefined) query = query.where('event.kind', '=', filter.kind);
  if (filter.subjectId !== undefined)
    query = query.where('event.subject_id', '=', filter.subjectId);
  if (filter.projectId !== undefined) {
    query = query
      .where(isOfProject('event', filter.projectId))
      .orderBy('event.project_id', direction);
  }
  const rows = await query.orderBy('event.number', direction).execute();
  return rows.map((row) => ({ ...row, number: row.number ?? 0 }));
}

export interface EventBounds {
  /** The highest number given so far. */
  readonly last: number;
  /** Up to this number they are forgotten; those after it are all there. */
  readonly forgotten: number;
}

export function readEventBounds(db: Kysely<Database>): Promise<EventBounds> {
  return db.selectFrom('event_counter').select(['last', 'forgotten']).executeTakeFirstOrThrow();
}

/** The highest number given so far. */
export async function lastEventNumber(db: Kysely<Database>): Promise<number> {
  const row = await db.selectFrom('event_counter').select('last').executeTakeFirstOrThrow();
  return row.last;
}

/** What has happened since the last look, by the events' numbers: for monitoring. */
import { sql, type Kysely } from 'kysely';

import { lastEventNumber } from './events.ts';
import type { Database } from './schema.ts';

export interface EndedOperation {
  readonly kind: string;
  readonly state: string;
  readonly seconds: number;
}

export interface Lately {
  /** Where the next look begins. */
  readonly until: number;
  /** More has happened than one look takes. */
  readonly hasMore: boolean;
  readonly events: readonly { readonly kind: string; readonly count: number }[];
  readonly operations: readonly EndedOperation[];
}

/** Numbers in one look. */
const numbersMax = 10_000;

/** @param after  number of the last event that was counted. */
export async function readLately(db: Kysely<Database>, after: number): Promise<Lately> {
  const last = await lastEventNumber(db);
  // Lower than before: the ledger was restored.
  if (last <= after) return { until: last, hasMore: false, events: [], operations: [] };
  const until = Math.min(last, after + numbersMax);
  const events = await sql<{ kind: string; count: number }>`
    select kind, count(*) as count from event where number > ${after} and number <= ${until}
    group by kind`.execute(db);
  const ended = events.rows.some(({ kind }) => endings.has(kind));
  return {
    until,
    hasMore: until < last,
    events: events.rows,
    operations: ended ? await readEnded(db, { after, until }) : [],
  };
}

const endings = new Set(['operation.succeeded', 'operation.failed', 'operation.cancelled']);

async function readEnded(
  db: Kysely<Database>,
  { after, until }: { readonly after: number; readonly until: number },
): Promise<EndedOperation[]> {
  const { rows } = await sql<EndedOperation>`
    select o.kind, o.state, extract(epoch from o.finished_at - o.created_at)::float8 as seconds
    from event e join operation o on o.id = e.subject_id::uuid
    where e.number > ${after} and e.number <= ${until} and o.finished_at is not null
      and e.kind in (${sql.join([...endings])})`.execute(db);
  return rows;
}

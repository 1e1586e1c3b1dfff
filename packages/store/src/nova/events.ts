/** The outbox of what Nova is to be told of its accelerator requests: claimed, sent, gone or tried again. */
import { sql, type Kysely, type RawBuilder } from 'kysely';

import type { Database } from '../schema.ts';
import type { Claim } from './claim.ts';

export interface DueNovaEvent {
  readonly id: string;
  readonly attachment_id: string;
  readonly instance_id: string;
  readonly status: 'completed' | 'failed';
  readonly attempts: number;
  readonly created_at: Date;
  /** Of the attachment. */
  readonly trace_parent: string | null;
}

const isDue = (now: Date): RawBuilder<unknown> =>
  sql`coalesce(e.next_attempt_at <= ${now}, true) and coalesce(e.claim_expires_at <= ${now}, true)`;

export function hasDueNovaEvents(now: Date): RawBuilder<boolean> {
  return sql`exists (select from nova_event e where ${isDue(now)})`;
}

/** What was bound and is not any more (deleted, unbound, given to another instance) is nothing to tell. */
export async function dropStaleNovaEvents(db: Kysely<Database>): Promise<number> {
  const { numAffectedRows } = await sql`
    delete from nova_event e using attachment t
    where t.id = e.attachment_id and (t.instance_id is distinct from e.instance_id
      or t.state <> case e.status when 'completed' then 'attached' else 'failed' end)`.execute(db);
  return Number(numAffectedRows ?? 0);
}

/** Whole instances, the longest waiting first; nobody else sends them until the claim runs out. */
export async function claimNovaEvents(
  db: Kysely<Database>,
  { now, until, by, limit }: Claim,
): Promise<DueNovaEvent[]> {
  const { rows } = await sql<DueNovaEvent>`
    with due as (
      select e.id from nova_event e where ${isDue(now)}
      order by e.next_attempt_at nulls first, e.created_at limit ${limit} for update skip locked)
    update nova_event e set claimed_by = ${by}, claim_expires_at = ${until} from due where due.id = e.id
    returning e.id, e.attachment_id, e.instance_id, e.status, e.attempts, e.created_at,
      (select t.trace_parent from attachment t where t.id = e.attachment_id) as trace_parent`.execute(
    db,
  );
  return rows;
}

export async function deleteNovaEvents(
  db: Kysely<Database>,
  ids: readonly string[],
): Promise<void> {
  if (ids.length === 0) return;
  await sql`delete from nova_event where id = any(${ids}::uuid[])`.execute(db);
}

export interface PutOff {
  readonly id: string;
  readonly nextAttemptAt: Date;
}

export async function putOffNovaEvents(
  db: Kysely<Database>,
  rows: readonly PutOff[],
): Promise<void> {
  if (rows.length === 0) return;
  const given = rows.map(({ id, nextAttemptAt }) => ({ id, next_attempt_at: nextAttemptAt }));
  await sql`update nova_event e set attempts = e.attempts + 1, next_attempt_at = given.next_attempt_at,
      claimed_by = null, claim_expires_at = null
    from jsonb_to_recordset(${JSON.stringify(given)}::jsonb) as given(id uuid, next_attempt_at timestamptz)
    where given.id = e.id`.execute(db);
}

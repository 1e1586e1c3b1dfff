/** Attachments of origin cyborg with what Placement is to know of them: `wanted` before it is made, `made` until it is gone. */
import { sql, type Kysely, type RawBuilder } from 'kysely';

import type { Database } from '../schema.ts';
import type { Claim } from './claim.ts';

export interface AllocationRow {
  readonly id: string;
  readonly accelerator_id: string;
  readonly operation_id: string | null;
  readonly project_id: string;
  readonly user_id: string;
  readonly state: string;
  readonly attempts: number;
  readonly allocation: 'wanted' | 'made';
  readonly trace_parent: string | null;
  /** Null: its provider is not there (any more). */
  readonly rp_uuid: string | null;
  readonly resource_class: string | null;
}

const columns = sql`t.id, t.accelerator_id, t.operation_id, t.project_id, t.user_id, t.state, t.attempts, t.allocation, t.trace_parent,
  p.rp_uuid, p.synced ->> 'resource_class' as resource_class`;
const provider = sql`left join accelerator a on a.id = t.accelerator_id
  left join placement_provider p on p.deployable_id = a.deployable_id and p.is_made`;

const isUnclaimed = (now: Date): RawBuilder<unknown> =>
  sql`coalesce(t.claim_expires_at <= ${now}, true)`;
const isFree = (now: Date): RawBuilder<unknown> =>
  sql`coalesce(t.next_attempt_at <= ${now}, true) and ${isUnclaimed(now)}`;

const isToMake = (now: Date): RawBuilder<unknown> =>
  sql`t.allocation = 'wanted' and t.state = 'reserved' and ${isFree(now)}`;

/** Returned, and clean or kept out; or never given. Without an attempt, its time is that of the next check. */
const isToRemove = (
  now: Date,
): RawBuilder<unknown> => sql`t.allocation is not null and t.state = 'released'
  and (t.attempts = 0 or t.next_attempt_at <= ${now}) and ${isUnclaimed(now)} and not exists (
    select from accelerator held where held.id = t.accelerator_id and held.state = 'cleaning')`;

const isToCheck = (
  now: Date,
): RawBuilder<unknown> => sql`t.allocation = 'made' and t.next_attempt_at <= ${now}
  and t.state in ('attaching', 'attached', 'failed', 'detaching') and ${isFree(now)}`;

const wheres = { make: isToMake, remove: isToRemove, check: isToCheck } as const;
export type AllocationWork = keyof typeof wheres;

export function hasAllocationWork(work: AllocationWork, now: Date): RawBuilder<boolean> {
  return sql`exists (select from attachment t where ${wheres[work](now)})`;
}

/** Claimed; what one request is to be given comes as a whole. */
export async function claimAllocations(
  db: Kysely<Database>,
  work: AllocationWork,
  { now, until, by, limit }: Claim,
): Promise<AllocationRow[]> {
  const where = wheres[work](now);
  const { rows } = await sql<AllocationRow>`
    with due as (
      select t.id, t.operation_id from attachment t where ${where}
      order by t.next_attempt_at nulls first, t.id limit ${limit}),
    claimed as (
      update attachment t set claimed_by = ${by}::uuid, claim_expires_at = ${until}::timestamptz
      where ${where} and (t.id in (select id from due)
        or (${work === 'make'} and t.operation_id in (select operation_id from due)))
      returning t.*)
    select ${columns} from claimed t ${provider} order by t.id`.execute(db);
  return rows;
}

/** Those that are still reserved; the host may be told of them now. */
export async function writeAllocationsMade(
  db: Kysely<Database>,
  { ids, checkAt }: { readonly ids: readonly string[]; readonly checkAt: Date },
): Promise<void> {
  await sql`update attachment set allocation = 'made', attempts = 0, next_attempt_at = ${checkAt},
      claimed_by = null, claim_expires_at = null
    where id = any(${ids}::uuid[]) and state <> 'released'`.execute(db);
}

export async function writeAllocationGone(db: Kysely<Database>, id: string): Promise<void> {
  await sql`update attachment set allocation = null, attempts = 0, next_attempt_at = null,
    claimed_by = null, claim_expires_at = null where id = ${id}::uuid and state = 'released'`.execute(
    db,
  );
}

export async function putOffAllocations(
  db: Kysely<Database>,
  { ids, nextAttemptAt }: { readonly ids: readonly string[]; readonly nextAttemptAt: Date },
): Promise<void> {
  await sql`update attachment set attempts = attempts + 1, next_attempt_at = ${nextAttemptAt},
      claimed_by = null, claim_expires_at = null where id = any(${ids}::uuid[])`.execute(db);
}

/** Whether an earlier holder's allocation of these providers has yet to be taken back. */
export async function hasLeftovers(
  db: Kysely<Database>,
  rpUuids: readonly string[],
): Promise<boolean> {
  const { rows } = await sql<{ found: boolean }>`
    select exists (select from attachment t join accelerator a on a.id = t.accelerator_id
      join placement_provider p on p.deployable_id = a.deployable_id
      where t.allocation is not null and t.state = 'released' and p.rp_uuid = any(${rpUuids}::uuid[])) as found`.execute(
    db,
  );
  return rows[0]?.found === true;
}

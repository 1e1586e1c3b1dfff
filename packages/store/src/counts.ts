/**
 * Figures about the whole fleet, for monitoring: not for lists, which must not get slower with the fleet. Only the count
 * of the accelerators reads a whole large table, once.
 */
import { sql, type Kysely } from 'kysely';

import type { Database } from './schema.ts';

export interface AcceleratorCount {
  readonly type: string;
  readonly state: string;
  readonly health: string;
  readonly presence: string;
  readonly count: number;
}

export async function countAccelerators(db: Kysely<Database>): Promise<AcceleratorCount[]> {
  const { rows } = await sql<AcceleratorCount>`
    select a.type, a.state, a.health,
      case when a.presence = 'present' and b.state = 'stale' then 'stale' else a.presence end as presence,
      count(*) as count
    from accelerator a join backend b on b.id = a.backend_id group by 1, 2, 3, 4`.execute(db);
  return rows;
}

/** A part of the fleet by what it is (where it is several things), its state and its status. */
export interface PartCount {
  readonly part: 'host' | 'backend' | 'service' | 'installation' | 'server';
  readonly kind: string;
  readonly state: string;
  readonly status: string;
  readonly count: number;
}

export async function countParts(db: Kysely<Database>, now: Date): Promise<PartCount[]> {
  const { rows } = await sql<PartCount>`
    select 'host' as part, '' as kind, case when revoked_at is null and lease_expires_at > ${now}
        then 'up' else 'down' end as state, status::text as status, count(*) as count
      from host group by 1, 2, 3, 4
    union all select 'backend', '', state, status, count(*) from backend group by 1, 2, 3, 4
    union all select 'service', s.kind,
        case when s.state = 'up' and h.revoked_at is null and h.lease_expires_at > ${now} then 'up' else 'down' end,
        s.status, count(*) from service s join host h on h.id = s.host_id group by 1, 2, 3, 4
    union all select 'installation', '', state, '', count(*) from installation group by 1, 2, 3, 4
    union all select 'server', role, case when lease_expires_at > ${now} then 'up' else 'down' end, '', count(*)
      from replica group by 1, 2, 3, 4`.execute(db);
  return rows;
}

export interface ConditionCount {
  readonly kind: string;
  readonly count: number;
}

/** Hosts by what is the matter with them; one host may have several conditions. */
export async function countHostConditions(db: Kysely<Database>): Promise<ConditionCount[]> {
  const { rows } = await sql<ConditionCount>`
    select condition ->> 'kind' as kind, count(*) as count
    from host, jsonb_array_elements(conditions) as condition group by 1`.execute(db);
  return rows;
}

export interface OpenOperationCount {
  readonly kind: string;
  readonly state: string;
  readonly count: number;
  readonly oldest_at: Date;
}

export async function countOpenOperations(db: Kysely<Database>): Promise<OpenOperationCount[]> {
  const { rows } = await sql<OpenOperationCount>`
    select kind, state, count(*) as count, min(created_at) as oldest_at
    from operation where state in ('queued', 'running', 'waiting') group by kind, state`.execute(
    db,
  );
  return rows;
}

export async function countUnclaimed(db: Kysely<Database>): Promise<number> {
  const { rows } = await sql<{ count: number }>`select count(*) as count from unclaimed`.execute(
    db,
  );
  return rows[0]?.count ?? 0;
}

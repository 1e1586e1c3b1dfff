/** The fleet at a glance. Its cost grows with the fleet: for a page that somebody looks at, not for loops. */
import { sql, type Kysely, type RawBuilder, type SqlBool } from 'kysely';

import { setupRequired } from './setup-required.ts';
import type { Database } from './schema.ts';

type Condition = RawBuilder<SqlBool>;

/** Which rows the caller sees, of each table. */
export interface SummaryScope {
  readonly accelerators: Condition;
  readonly hosts: Condition;
  readonly backends: Condition;
  readonly instances: Condition;
  readonly attachments: Condition;
  readonly seesUnclaimed: boolean;
}

export interface CapacityRow {
  readonly type: string;
  readonly state: string;
  readonly count: number;
}

export async function countByTypeAndState(
  db: Kysely<Database>,
  { accelerators }: SummaryScope,
): Promise<CapacityRow[]> {
  const { rows } = await sql<CapacityRow>`
    select type, state, count(*) as count from accelerator where ${accelerators}
    group by type, state order by type, state`.execute(db);
  return rows;
}

export interface FleetCounts {
  readonly up: number;
  readonly down: number;
  readonly instances: number;
}

export async function countHostsAndInstances(
  db: Kysely<Database>,
  { hosts, instances }: SummaryScope,
  now: Date,
): Promise<FleetCounts> {
  const { rows } = await sql<FleetCounts>`
    select count(*) filter (where ${isUp(now)}) as up,
      count(*) filter (where not ${isUp(now)}) as down,
      (select count(*) from instance where is_present and ${instances}) as instances
    from host where ${hosts}`.execute(db);
  return rows[0] ?? { up: 0, down: 0, instances: 0 };
}

function isUp(now: Date): Condition {
  return sql`(host.revoked_at is null and host.lease_expires_at is not null and host.lease_expires_at > ${now})`;
}

export interface AttentionRow {
  readonly problem: string;
  readonly subject_kind: string;
  readonly subject_id: string;
  readonly name: string;
  readonly host: string | null;
  readonly reason: string | null;
}

/** At most `each` of every kind of trouble, in the order of the kinds. */
export async function listAttention(
  db: Kysely<Database>,
  scope: SummaryScope,
  { now, each }: { readonly now: Date; readonly each: number },
): Promise<AttentionRow[]> {
  const limit = sql.lit(each);
  const kinds = [
    sql`select 'host-down', 'host', host.name, host.name, host.name, null
      from host where ${scope.hosts} and not ${isUp(now)} order by host.name limit ${limit}`,
    sql`select 'attachment-failed', 'accelerator', a.id::text, a.name, host.name, attachment.reason
      from attachment join accelerator a on a.id = attachment.accelerator_id
      join host on host.id = a.host_id
      where attachment.state = 'failed' and ${scope.attachments} order by attachment.id limit ${limit}`,
    ofAccelerators('cleaning_failed', scope, limit),
    ofAccelerators('orphaned', scope, limit),
    sql`select 'backend-' || backend.state, 'backend', backend.id::text, backend.name, host.name, backend.reason
      from backend join host on host.id = backend.host_id
      where backend.state in ('failed', 'blocked', 'stale', 'draining') and ${scope.backends}
      order by backend.id limit ${limit}`,
    // What blocks a backend is said of the backend.
    sql`select 'host-condition', 'host', host.name, host.name, host.name, first.message
      from host cross join lateral (
        select condition ->> 'message' as message
        from jsonb_array_elements(host.conditions) with ordinality as all_of_it(condition, at)
        where condition ->> 'kind' <> ${sql.lit(setupRequired)} order by at limit 1) as first
      where ${scope.hosts} order by host.name limit ${limit}`,
    sql`select 'unclaimed', 'unclaimed', unclaimed.id::text, unclaimed.device_name, host.name, null
      from unclaimed join host on host.id = unclaimed.host_id
      where ${sql.lit(scope.seesUnclaimed)} order by unclaimed.id limit ${limit}`,
  ].map(
    (kind, at) => sql`(select ${sql.lit(at)} as rank, kind.* from (${kind}) as kind
      (problem, subject_kind, subject_id, name, host, reason))`,
  );
  const { rows } = await sql<AttentionRow>`
    select problem, subject_kind, subject_id, name, host, reason
    from (${sql.join(kinds, sql` union all `)}) as trouble order by rank, name`.execute(db);
  return rows;
}

function ofAccelerators(
  state: 'cleaning_failed' | 'orphaned',
  { accelerators }: SummaryScope,
  limit: RawBuilder<unknown>,
): RawBuilder<unknown> {
  return sql`select ${sql.lit(state)}, 'accelerator', accelerator.id::text, accelerator.name, host.name,
      accelerator.reason
    from accelerator join host on host.id = accelerator.host_id
    where accelerator.state = ${sql.lit(state)} and ${accelerators}
    order by accelerator.id limit ${limit}`;
}

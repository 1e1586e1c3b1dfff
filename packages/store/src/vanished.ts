/** What instances hold that their hypervisors say are gone. */
import { sql, type Kysely, type RawBuilder, type Transaction } from 'kysely';

import { deletedStatus, novaHypervisor } from './nova/servers.ts';
import type { Database, HostCondition } from './schema.ts';

export interface VanishedRow {
  readonly host_id: string;
  readonly host: string;
  readonly instance_id: string;
  readonly project_id: string;
  readonly attachment_id: string;
  readonly accelerator_id: string;
  /** Nova has the server on record as deleted, which somebody did; not only that it knows none. */
  readonly is_deleted: boolean;
  /** Equal for the instance's parts of one IOMMU group: taken one by one, the hardware could not be reset. */
  readonly unit: string | null;
}

/** One conductor at a time counts and releases. */
const vanishedLockKey = 7_267_331_902;

/** @returns false when another conductor is at it. */
export async function lockVanished(tx: Transaction<Database>): Promise<boolean> {
  const { rows } = await sql<{ locked: boolean }>`
    select pg_try_advisory_xact_lock(${vanishedLockKey}) as locked`.execute(tx);
  return rows[0]?.locked === true;
}

/** With a Nova, its servers count as vanished only when it says so too: an answer, not the lack of one. */
const vanished = (usesNova: boolean): RawBuilder<unknown> => sql`
    from instance i join attachment t on t.instance_id = i.id and t.host_id = i.host_id
    join host h on h.id = t.host_id
    ${usesNova ? sql`left join nova_server s on s.instance_id = i.id` : sql``}
    where i.is_vanished ${usesNova ? sql`and (i.hypervisor <> ${novaHypervisor} or s.gone_at is not null)` : sql``} and t.state in ('attaching', 'attached', 'failed') and t.plugged_by = 'agent'
      and t.accelerator_id is not null`;

/** Whether there is any, or a host that says (by a condition of this kind) that there were. */
export function hasVanished(kind: string, usesNova: boolean): RawBuilder<boolean> {
  const condition = JSON.stringify([{ kind }]);
  return sql`exists (select ${vanished(usesNova)})
    or exists (select from host where conditions @> ${condition}::jsonb)`;
}

/** Their instances stay vanished until the transaction ends: a host that reports one just now is waited for, or waits. */
export async function listVanished(
  db: Kysely<Database>,
  { limit, usesNova }: { readonly limit: number; readonly usesNova: boolean },
): Promise<VanishedRow[]> {
  const { rows } = await sql<VanishedRow>`
    select t.host_id, h.name as host, t.instance_id, t.project_id, t.id as attachment_id, t.accelerator_id,
      ${usesNova ? sql`coalesce(s.status = ${deletedStatus}, false)` : sql`false`} as is_deleted,
      (select concat(t.instance_id, ' ', a.iommu_group) from accelerator a
        where a.id = t.accelerator_id and a.iommu_group is not null and a.presence = 'present') as unit
    ${vanished(usesNova)}
    order by t.host_id, t.id limit ${limit} for share of i`.execute(db);
  return rows;
}

export interface ReleaseCounts {
  readonly host_id: string;
  readonly live: number;
  /** Released by this rule since the given instant; what somebody deleted in Nova does not count. */
  readonly released: number;
}

/** By host; a host without both is left out. */
export async function countReleases(
  db: Kysely<Database>,
  { userId, since }: { readonly userId: string; readonly since: Date },
): Promise<ReleaseCounts[]> {
  const { rows } = await sql<ReleaseCounts>`
    select host_id, sum(live)::int8 as live, sum(released)::int8 as released from (
      select host_id, count(*) as live, 0 as released from attachment
      where state in ('attached', 'failed') and host_id is not null group by host_id
      union all
      select host_id, count(*), 0 from attachment
      where state in ('reserved', 'attaching', 'detaching') and host_id is not null group by host_id
      union all
      select host_id, 0, sum(progress_total) from operation
      where created_at > ${since} and user_id = ${userId} and kind = 'detach-instance' and host_id is not null
        and subject ->> 'cause' = 'vanished'
      group by host_id) as counted
    group by host_id`.execute(db);
  return rows;
}

export interface HostConditions {
  readonly id: string;
  readonly name: string;
  readonly conditions: readonly HostCondition[];
}

/** Hosts that have this condition, or are named. Locked. */
export async function lockConditions(
  tx: Transaction<Database>,
  { kind, hostIds }: { readonly kind: string; readonly hostIds: readonly string[] },
): Promise<HostConditions[]> {
  const { rows } = await sql<HostConditions>`
    select id, name, conditions from host
    where id = any(${hostIds}::uuid[]) or conditions @> ${JSON.stringify([{ kind }])}::jsonb
    order by id for update`.execute(tx);
  return rows;
}

export async function writeConditions(
  tx: Transaction<Database>,
  id: string,
  conditions: readonly HostCondition[],
): Promise<void> {
  await tx
    .updateTable('host')
    .set({ conditions: JSON.stringify(conditions) })
    .where('id', '=', id)
    .execute();
}

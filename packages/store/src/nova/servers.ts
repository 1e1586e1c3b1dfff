/** What Nova last said of the instances that are its servers. */
import { sql, type Kysely, type RawBuilder, type SqlBool } from 'kysely';

import type { Database, HostCondition } from '../schema.ts';
import type { Claim } from './claim.ts';

/** Domains that the agent beside nova-compute reports are Nova's servers. */
export const novaHypervisor = 'libvirt';

/** Nova has it on record that somebody deleted the server. */
export const deletedStatus = 'DELETED';
/** Not one of Nova's: it knows no such server, which is less than a record of its end. */
export const unknownStatus = 'UNKNOWN_TO_NOVA';

/** Who is missing or gone from its hypervisor waits for Nova's word, so Nova is asked sooner. */
const askSoonSeconds = 15;

const due = (now: Date): RawBuilder<unknown> => sql`
  from instance i left join nova_server s on s.instance_id = i.id
  where i.hypervisor = ${novaHypervisor} and coalesce(s.claim_expires_at <= ${now}, true)
    and (s.instance_id is null or s.next_attempt_at <= ${now}
      or (s.gone_at is null and i.is_vanished
        and s.looked_at <= ${now}::timestamptz - make_interval(secs => ${askSoonSeconds})
        and s.attempts = 0))`;

export function hasDueServers(now: Date): RawBuilder<boolean> {
  return sql`exists (select ${due(now)})`;
}

/** Instances that Nova is to be asked about. */
export async function claimServers(
  db: Kysely<Database>,
  { now, until, by, limit }: Claim,
): Promise<{ readonly instance_id: string; readonly attempts: number }[]> {
  const { rows } = await sql<{ instance_id: string; attempts: number }>`
    insert into nova_server as kept (instance_id, claimed_by, claim_expires_at)
    select i.id, ${by}::uuid, ${until}::timestamptz ${due(now)}
    order by s.next_attempt_at nulls first, i.id limit ${limit}
    on conflict (instance_id) do update set claimed_by = excluded.claimed_by,
      claim_expires_at = excluded.claim_expires_at
      where coalesce(kept.claim_expires_at <= ${now}, true)
    returning kept.instance_id, kept.attempts`.execute(db);
  return rows;
}

export interface ServerFacts {
  readonly status: string;
  readonly task_state: string | null;
  readonly is_locked: boolean;
  readonly host: string | null;
  readonly node_name: string | null;
  readonly project_id: string | null;
  /** Nova says that it is deleted, or knows no such server. */
  readonly is_gone: boolean;
}

export interface LookedAt {
  readonly instanceId: string;
  readonly facts: ServerFacts;
  readonly now: Date;
  readonly nextAttemptAt: Date;
}

/** Writes nothing for an instance that the ledger does not have. */
export async function writeServer(
  db: Kysely<Database>,
  { instanceId, facts, now, nextAttemptAt }: LookedAt,
): Promise<void> {
  const { status, task_state, is_locked, host, node_name } = facts;
  const goneAt = facts.is_gone ? now : null;
  await sql`insert into nova_server as kept
      (instance_id, status, task_state, is_locked, host, node_name, gone_at, looked_at, next_attempt_at)
    select id, ${status}, ${task_state}, ${is_locked}, ${host}, ${node_name}, ${goneAt}::timestamptz,
      ${now}::timestamptz, ${nextAttemptAt}::timestamptz
    from instance where id = ${instanceId}::uuid
    on conflict (instance_id) do update set
      status = case when kept.status = ${deletedStatus} and excluded.status = ${unknownStatus} then kept.status else excluded.status end,
      task_state = excluded.task_state,
      is_locked = excluded.is_locked, host = excluded.host, node_name = excluded.node_name,
      gone_at = case when excluded.gone_at is null then null else coalesce(kept.gone_at, excluded.gone_at) end,
      looked_at = excluded.looked_at, next_attempt_at = excluded.next_attempt_at, attempts = 0,
      claimed_by = null, claim_expires_at = null`.execute(db);
}

export async function putOffServer(
  db: Kysely<Database>,
  { instanceId, nextAttemptAt }: { readonly instanceId: string; readonly nextAttemptAt: Date },
): Promise<void> {
  await sql`update nova_server set attempts = attempts + 1, next_attempt_at = ${nextAttemptAt},
      claimed_by = null, claim_expires_at = null where instance_id = ${instanceId}::uuid`.execute(
    db,
  );
}

/** Nova is to be asked about these again soon; those that the ledger lacks are left out. */
export async function lookAgain(
  db: Kysely<Database>,
  { instanceIds, at }: { readonly instanceIds: readonly string[]; readonly at: Date },
): Promise<void> {
  if (instanceIds.length === 0) return;
  await sql`update nova_server set next_attempt_at = least(next_attempt_at, ${at}::timestamptz)
    where instance_id = any(${instanceIds}::uuid[])`.execute(db);
}

/** What Nova said last. */
export type KnownServer = Omit<ServerFacts, 'project_id'>;

export interface InstanceOfNova {
  readonly id: string;
  readonly name: string;
  readonly host_id: string;
  readonly host: string;
  readonly hypervisor: string;
  readonly project_id: string | null;
  readonly project_source: string | null;
  readonly server: KnownServer | null;
}

/** Those of them that the ledger has, with what Nova last said. */
export async function listInstancesOfNova(
  db: Kysely<Database>,
  ids: readonly string[],
): Promise<InstanceOfNova[]> {
  const { rows } = await sql<InstanceOfNova>`
    select i.id, i.name, i.host_id, h.name as host, i.hypervisor, i.project_id, i.project_source,
      ${serverJson} as server
    from instance i join host h on h.id = i.host_id left join nova_server s on s.instance_id = i.id
    where i.id = any(${ids}::uuid[]) order by i.id`.execute(db);
  return rows;
}

/** Of a `nova_server` row called `s`; null when Nova has not answered yet. */
export const serverJson: RawBuilder<unknown> = sql`case when s.looked_at is null then null else jsonb_build_object(
  'status', s.status, 'task_state', s.task_state, 'is_locked', s.is_locked, 'host', s.host,
  'node_name', s.node_name, 'is_gone', s.gone_at is not null) end`;

/** Nova's word on whose it is goes before what an operator or the hypervisor said. @returns false: it was so already. */
export async function writeProject(
  db: Kysely<Database>,
  { id, projectId, now }: { readonly id: string; readonly projectId: string; readonly now: Date },
): Promise<boolean> {
  const { numAffectedRows } = await sql`
    update instance set project_id = ${projectId}, project_source = 'nova', updated_at = ${now}
    where id = ${id}::uuid and (project_id is distinct from ${projectId} or project_source is distinct from 'nova')`.execute(
    db,
  );
  return Number(numAffectedRows ?? 0) > 0;
}

export interface HostNames {
  readonly id: string;
  readonly name: string;
  readonly node_name: string;
  readonly service_host: string | null;
  readonly conditions: readonly HostCondition[];
  /** An instance of this host that Nova has on a host which nobody here is. */
  readonly stranger: StrangeServer | null;
  /** Nova's name of this host's compute service, by an instance whose node name is the host's. */
  readonly nova_host: string | null;
}

export interface StrangeServer {
  readonly id: string;
  readonly name: string;
  readonly host: string | null;
  readonly node_name: string;
}

/** Hosts with what Nova's servers on them say they are called. Locked. A server that is being moved says nothing. */
export async function lockHostNames(
  db: Kysely<Database>,
  hostIds: readonly string[],
): Promise<HostNames[]> {
  const settled = sql`i.host_id = h.id and i.is_present and s.gone_at is null and s.task_state is null
    and s.node_name is not null and i.hypervisor = ${novaHypervisor}`;
  const { rows } = await sql<HostNames>`
    select h.id, h.name, h.node_name, h.service_host, h.conditions,
      (select jsonb_build_object('id', i.id, 'name', i.name, 'host', s.host, 'node_name', s.node_name)
        from instance i join nova_server s on s.instance_id = i.id
        where ${settled} and s.node_name <> h.node_name
          and not exists (select from host other where other.node_name = s.node_name)
        order by i.id limit 1) as stranger,
      (select s.host from instance i join nova_server s on s.instance_id = i.id
        where ${settled} and s.node_name = h.node_name and s.host is not null order by i.id limit 1) as nova_host
    from host h where h.id = any(${hostIds}::uuid[]) order by h.id for update of h`.execute(db);
  return rows;
}

export async function writeHostNames(
  db: Kysely<Database>,
  host: Pick<HostNames, 'id' | 'service_host' | 'conditions'>,
): Promise<void> {
  await sql`update host set service_host = ${host.service_host}, conditions = ${JSON.stringify(host.conditions)}::jsonb
    where id = ${host.id}::uuid`.execute(db);
}

export interface NovaWatch {
  /** Null: nothing has been read yet. */
  readonly read_until: Date | null;
}

const isWatchDue = (now: Date): RawBuilder<unknown> =>
  sql`coalesce(next_attempt_at <= ${now}, true) and coalesce(claim_expires_at <= ${now}, true)`;

export function isNovaWatchDue(now: Date): RawBuilder<boolean> {
  return sql`exists (select from nova_watch where ${isWatchDue(now)})`;
}

/** @returns undefined when another process reads, or it is too early. */
export async function claimNovaWatch(
  db: Kysely<Database>,
  { now, until, by }: Omit<Claim, 'limit'>,
): Promise<NovaWatch | undefined> {
  const { rows } = await sql<NovaWatch>`
    update nova_watch set claimed_by = ${by}, claim_expires_at = ${until} where ${isWatchDue(now)}
    returning read_until`.execute(db);
  return rows[0];
}

/** `readUntil` undefined: it failed, and the next reading begins where this one did. */
export async function endNovaWatch(
  db: Kysely<Database>,
  { readUntil, next }: { readonly readUntil: Date | undefined; readonly next: Date },
): Promise<void> {
  await sql`update nova_watch set read_until = coalesce(${readUntil ?? null}::timestamptz, read_until),
    next_attempt_at = ${next}, claimed_by = null, claim_expires_at = null`.execute(db);
}

/** By id whosever it is, or by a name among those that are visible; two when several have the name. */
export async function findInstancesOfNova(
  db: Kysely<Database>,
  {
    id,
    name,
    visible,
  }: {
    readonly id?: string;
    readonly name?: string;
    readonly visible: RawBuilder<SqlBool>;
  },
): Promise<{ readonly id: string; readonly hypervisor: string }[]> {
  const where =
    id === undefined ? sql`instance.name = ${name} and ${visible}` : sql`instance.id = ${id}::uuid`;
  const { rows } = await sql<{ id: string; hypervisor: string }>`
    select instance.id, instance.hypervisor from instance where ${where} order by instance.id limit 2`.execute(
    db,
  );
  return rows;
}

/** Accelerator requests (ARQs): attachments as v2 shows and binds them. Whose they are is part of every query. */
import { sql, type Kysely, type RawBuilder, type SqlBool, type Transaction } from 'kysely';
import { resolvedStates, v2Plans } from '@cyborg/model/v2/arq';
import type { AttachmentOrigin, AttachmentState } from '@cyborg/model/attachment-lifecycle';

import type { Locking } from '../candidates.ts';
import type { AcceleratorRow, AttachmentRow } from '../holdings.ts';
import { isAlone } from '../iommu-groups.ts';
import { noRelativeHeld } from '../relatives.ts';
import type { Database } from '../schema.ts';
import { noServiceDisabled } from '../services.ts';

export interface ArqRow {
  readonly id: string;
  readonly number: number;
  readonly state: Exclude<AttachmentState, 'released'>;
  readonly origin: AttachmentOrigin;
  readonly was_bound: boolean;
  /** Its bind has failed, and Nova has yet to hear of it. */
  readonly is_failure_untold: boolean;
  readonly instance_id: string | null;
  readonly project_id: string;
  readonly profile_name: string | null;
  readonly profile_group: number | null;
  readonly hostname: string | null;
  readonly rp_uuid: string | null;
  readonly accelerator_id: string | null;
  readonly plans: readonly string[] | null;
  readonly attach_info: Readonly<Record<string, string>> | null;
  readonly created_at: Date;
  readonly updated_at: Date | null;
}

/** Rows that the caller may see. */
export interface ArqScope {
  /** null: of all projects. */
  readonly projectId: string | null;
}

export interface ArqFilter extends ArqScope {
  readonly ids?: readonly string[] | undefined;
  /** Of this instance, and bound by Nova: it composes a server's hardware from that list. */
  readonly instanceId?: string | undefined;
  readonly isResolved?: boolean | undefined;
}

/** The next rows in the order of their creation. The limit comes before the joins: no more is joined than is shown. */
export async function listArqs(
  db: Kysely<Database>,
  { after, limit, ...filter }: ArqFilter & { readonly after: number; readonly limit: number },
): Promise<ArqRow[]> {
  const { rows } = await sql<ArqRow>`
    select t.id, t.number, t.state, t.origin, t.was_bound, t.instance_id, t.project_id, p.name as profile_name,
      t.state = 'failed' and exists (${untold(sql`t.id`)}) as is_failure_untold,
      t.profile_group, coalesce(t.hostname, h.node_name) as hostname, d.rp_uuid, t.accelerator_id, a.plans,
      a.attach_info, t.created_at, t.updated_at
    from (select * from attachment where ${matches(filter)} and number > ${after}
      order by number limit ${sql.lit(limit)}) t
    left join device_profile p on p.id = t.profile_id
    left join accelerator a on a.id = t.accelerator_id
    left join deployable d on d.id = a.deployable_id
    left join host h on h.id = t.host_id
    order by t.number`.execute(db);
  return rows;
}

/** Whether an instance has requests that are still being bound. */
export async function hasUnresolved(db: Kysely<Database>, filter: ArqFilter): Promise<boolean> {
  const { rows } = await sql<{ found: boolean }>`
    select exists (select from attachment where ${matches(filter)}
      and (state <> all(${[...resolvedStates]})
        or (state = 'failed' and exists (${untold(sql`attachment.id`)})))) as found`.execute(db);
  return rows[0]?.found === true;
}

/** A compute service that reads "failed" for itself would start the server without its accelerators. */
function untold(id: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`select from nova_event e where e.attachment_id = ${id} and e.status = 'failed'`;
}

function matches({ projectId, ids, instanceId, isResolved }: ArqFilter): RawBuilder<SqlBool> {
  const parts = [
    sql<SqlBool>`state <> 'released'`,
    ...(projectId === null ? [] : [sql`project_id = ${projectId}`]),
    ...(ids === undefined ? [] : [sql`id = any(${ids}::uuid[])`]),
    ...(instanceId === undefined
      ? []
      : [sql`instance_id = ${instanceId}::uuid and origin = 'nova'`]),
    ...(isResolved === true
      ? [
          sql<SqlBool>`(state = any(${[...resolvedStates]})
            and not (state = 'failed' and exists (${untold(sql`attachment.id`)})))`,
        ]
      : []),
  ];
  return sql<SqlBool>`(${sql.join(parts, sql` and `)})`;
}

/** Reads without a lock: what they hold is to be locked first. */
export async function readArqAttachments(
  tx: Kysely<Database>,
  { projectId, ids }: ArqScope & { readonly ids: readonly string[] },
): Promise<AttachmentRow[]> {
  const { rows } = await sql<AttachmentRow>`
    select * from attachment where ${matches({ projectId, ids })} order by id`.execute(tx);
  return rows;
}

/** In id order. Of what holds an accelerator, that one's lock comes first (holdings.ts). */
export async function lockArqAttachments(
  tx: Kysely<Database>,
  { projectId, ids }: ArqScope & { readonly ids: readonly string[] },
): Promise<AttachmentRow[]> {
  const { rows } = await sql<AttachmentRow>`
    select * from attachment where ${matches({ projectId, ids })} order by id for update`.execute(
    tx,
  );
  return rows;
}

/** Everything an instance holds or is being given, of either origin. */
export async function listInstanceArqIds(
  tx: Kysely<Database>,
  { projectId, instanceId }: ArqScope & { readonly instanceId: string },
): Promise<string[]> {
  const own = projectId === null ? sql`` : sql`and project_id = ${projectId}`;
  const { rows } = await sql<{ id: string }>`
    select id from attachment where instance_id = ${instanceId}::uuid and state <> 'released' ${own}
    order by id`.execute(tx);
  return rows.map(({ id }) => id);
}

/** First half of the locks' key; the second is the instance's. */
const instanceLockKey = 726_733;

/** Acts on one instance's requests come one after the other, until the transaction ends. */
export async function lockInstances(
  tx: Transaction<Database>,
  instanceIds: readonly string[],
): Promise<void> {
  const ids = [...new Set(instanceIds)].toSorted();
  if (ids.length === 0) return;
  await sql`select pg_advisory_xact_lock(${sql.lit(instanceLockKey)}, hashtext(id))
    from unnest(${ids}::text[]) as given(id)`.execute(tx);
}

/** The first of these instances that has requests already. */
export async function findOccupiedInstance(
  tx: Kysely<Database>,
  { projectId, instanceIds }: ArqScope & { readonly instanceIds: readonly string[] },
): Promise<string | undefined> {
  const own = projectId === null ? sql`` : sql`and project_id = ${projectId}`;
  const { rows } = await sql<{ instance_id: string }>`
    select instance_id from attachment where instance_id = any(${instanceIds}::uuid[]) and origin = 'nova'
      and state <> 'released' ${own} order by number limit 1`.execute(tx);
  return rows[0]?.instance_id;
}

const bindable = sql`a.plans ?| ${sql.lit(`{${v2Plans.join(',')}}`)}::text[]`;

export interface ProviderQuery {
  readonly rpUuid: string;
  /** Which project binds. */
  readonly projectId: string;
}

/** Of those that Nova can plug: what this project may be given once it is available. */
function givable(projectId: string): RawBuilder<SqlBool> {
  return sql<SqlBool>`(${bindable} and a.presence = 'present'
    and (a.reserved_for is null or a.reserved_for = ${projectId})
    and b.status = 'enabled' and b.state not in ('stale', 'failed', 'blocked', 'draining', 'removing')
    and h.status = 'enabled' and h.revoked_at is null
    and ${noServiceDisabled} and ${noRelativeHeld} and ${isAlone})`;
}

/** What can be bound of a resource provider now, in id order, locked. */
export async function pickOfProvider(
  tx: Kysely<Database>,
  {
    rpUuid,
    projectId,
    limit,
    locking,
  }: ProviderQuery & { readonly limit: number; readonly locking: Exclude<Locking, 'none'> },
): Promise<AcceleratorRow[]> {
  const lock = locking === 'wait' ? sql`for update of a` : sql`for update of a skip locked`;
  const { rows } = await sql<AcceleratorRow>`
    select a.* from deployable d join accelerator a on a.deployable_id = d.id
    join backend b on b.id = a.backend_id join host h on h.id = a.host_id
    where d.rp_uuid = ${rpUuid}::uuid and a.state = 'available' and ${givable(projectId)}
    order by a.id limit ${sql.lit(limit)} ${lock}`.execute(tx);
  return rows;
}

export interface ProviderState {
  readonly number: number;
  /** Whatever its state. */
  readonly bindable: number;
  /** Of these: what shares no IOMMU group with another one. */
  readonly alone: number;
  readonly available: number;
  /** Or being programmed. */
  readonly cleaning: number;
}

/** Why too little of a provider could be picked; undefined when there is no such provider. */
export async function readProvider(
  tx: Kysely<Database>,
  { rpUuid, projectId }: ProviderQuery,
): Promise<ProviderState | undefined> {
  const isGivable = givable(projectId);
  const { rows } = await sql<ProviderState>`
    select d.number, count(a.id) filter (where ${bindable}) as bindable,
      count(a.id) filter (where ${bindable} and ${isAlone}) as alone,
      count(a.id) filter (where a.state = 'available' and ${isGivable}) as available,
      count(a.id) filter (where a.state in ('cleaning', 'updating') and ${isGivable}) as cleaning
    from deployable d left join accelerator a on a.deployable_id = d.id
    left join backend b on b.id = a.backend_id left join host h on h.id = a.host_id
    where d.rp_uuid = ${rpUuid}::uuid group by d.number order by d.number limit 1`.execute(tx);
  return rows[0];
}

/** Deployables as Placement is to have them, and the rows that remember what it was told. */
import { v2Plans } from '@cyborg/model/v2/arq';
import { sql, type Kysely, type RawBuilder, type Selectable, type SqlBool } from 'kysely';

import { insertMany } from './bulk.ts';
import { toJson } from './json.ts';
import { isAlone } from './iommu-groups.ts';
import { noRelativeHeld } from './relatives.ts';
import type { PlacementProviderTable, ProviderContent } from './schema-openstack.ts';
import type { Database } from './schema.ts';
import { noServiceDisabled } from './services.ts';

export type PlacementRow = Selectable<PlacementProviderTable>;

/** A deployable as the ledger has it now. */
export interface OfferedRow {
  readonly deployable_id: string;
  readonly host_id: string;
  readonly node_name: string;
  /** null: Nova cannot bind it. */
  readonly rp_uuid: string | null;
  readonly name: string;
  readonly resource_class: string;
  readonly traits: readonly string[];
  readonly total: number;
  /** Of these: what nobody may be given through Nova, and no allocation stands for. */
  readonly reserved: number;
}

export interface OfferedQuery {
  /** What only our agents plug is there too. */
  readonly withHotplug: boolean;
  readonly hostIds?: readonly string[];
  readonly deployableIds?: readonly string[];
}

/** Nova's own driver makes vGPUs of what is allocated of it. */
const novasClass = 'VGPU';

const novaPlugs = sql<SqlBool>`a.plans ?| ${sql.lit(`{${v2Plans.join(',')}}`)}::text[]`;

const mayBeGiven = sql<SqlBool>`(a.presence = 'present' and a.reserved_for is null
  and e.status = 'enabled' and b.status = 'enabled' and b.state not in ('stale', 'failed', 'blocked', 'draining', 'removing')
  and h.status = 'enabled' and h.revoked_at is null and ${noServiceDisabled} and ${noRelativeHeld} and ${isAlone})`;

/** Nova allocates before it binds, and takes its allocation back after it has let go: what it holds is counted there. */
const isReserved = sql<SqlBool>`case a.state
  when 'available' then not ${mayBeGiven}
  when 'reserved' then coalesce(t.origin = 'cyborg' and t.allocation is null, false)
  when 'attached' then coalesce(t.origin = 'cyborg' and t.allocation is null, false)
  else true end`;

/** One row a deployable that has accelerators of the asked kind. */
export async function listOffered(
  db: Kysely<Database>,
  { withHotplug, hostIds, deployableIds }: OfferedQuery,
): Promise<OfferedRow[]> {
  const asked = [
    ...(hostIds === undefined ? [] : [sql`a.host_id = any(${hostIds}::uuid[])`]),
    ...(deployableIds === undefined ? [] : [sql`d.id = any(${deployableIds}::uuid[])`]),
    withHotplug
      ? sql`((d.rp_uuid is not null and ${novaPlugs}) or (d.rp_uuid is null and a.plans <> '[]' and not ${novaPlugs}))`
      : sql`d.rp_uuid is not null and ${novaPlugs}`,
  ];
  const { rows } = await sql<OfferedRow>`
    select d.id as deployable_id, a.host_id, h.node_name, d.rp_uuid, d.name, d.resource_class, d.traits,
      count(*) as total, count(*) filter (where ${isReserved}) as reserved
    from accelerator a join deployable d on d.id = a.deployable_id join device e on e.id = a.device_id
      join backend b on b.id = a.backend_id join host h on h.id = a.host_id
      left join attachment t on t.id = a.attachment_id
    where ${sql.join(asked, sql` and `)}
    group by d.id, a.host_id, h.node_name order by d.number`.execute(db);
  return rows;
}

export function listPlacementRows(
  db: Kysely<Database>,
  {
    hostIds,
    rpUuids,
  }: { readonly hostIds: readonly string[]; readonly rpUuids: readonly string[] },
): Promise<PlacementRow[]> {
  return db
    .selectFrom('placement_provider')
    .selectAll()
    .where(sql<SqlBool>`(host_id = any(${hostIds}::uuid[]) or rp_uuid = any(${rpUuids}::uuid[]))`)
    .execute();
}

export type NewPlacementRow = Pick<
  PlacementRow,
  | 'rp_uuid'
  | 'name'
  | 'deployable_id'
  | 'host_id'
  | 'next_attempt_at'
  | 'waiting_since'
  | 'created_at'
>;

/** Rows that another conductor has made meanwhile stay as they are. */
export async function insertPlacementRows(
  tx: Kysely<Database>,
  rows: readonly NewPlacementRow[],
): Promise<void> {
  await insertMany(tx, {
    table: 'placement_provider',
    columns: [
      'rp_uuid',
      'name',
      'deployable_id',
      'host_id',
      'owned_classes',
      'owned_traits',
      'is_made',
      'noticed',
      'attempts',
      'next_attempt_at',
      'waiting_since',
      'created_at',
    ],
    rows: rows.map((row) => ({
      ...row,
      owned_classes: [],
      owned_traits: [],
      is_made: false,
      noticed: 0,
      attempts: 0,
    })),
    isExistingKept: true,
  });
}

/** These are to be looked at; one that waits already goes on waiting for its turn. */
export async function noticePlacementRows(
  tx: Kysely<Database>,
  { rpUuids, now }: { readonly rpUuids: readonly string[]; readonly now: Date },
): Promise<void> {
  if (rpUuids.length === 0) return;
  await sql`update placement_provider set noticed = noticed + 1,
      next_attempt_at = coalesce(next_attempt_at, ${now}), waiting_since = coalesce(waiting_since, ${now})
    where rp_uuid = any(array(select rp_uuid from placement_provider where rp_uuid = any(${rpUuids}::uuid[])
      order by rp_uuid for update))`.execute(tx);
}

export interface PlacementClaim {
  readonly replicaId: string;
  readonly now: Date;
  readonly expiresAt: Date;
  readonly limit: number;
}

/** The ones that have waited longest, host by host. */
export async function claimPlacementRows(
  db: Kysely<Database>,
  { replicaId, now, expiresAt, limit }: PlacementClaim,
): Promise<PlacementRow[]> {
  const { rows } = await sql<PlacementRow>`
    update placement_provider set claimed_by = ${replicaId}::uuid, claim_expires_at = ${expiresAt}
    where rp_uuid in (select rp_uuid from placement_provider where ${isDue(now)}
      order by next_attempt_at, host_id limit ${sql.lit(limit)} for update skip locked)
    returning *`.execute(db);
  return rows;
}

/** Whether one of them can be claimed. */
export function placementIsDue(now: Date): RawBuilder<boolean> {
  return sql`exists (select from placement_provider where ${isDue(now)})`;
}

function isDue(now: Date): RawBuilder<SqlBool> {
  return sql`next_attempt_at <= ${now} and (claim_expires_at is null or claim_expires_at <= ${now})`;
}

export type PlacementChanges = Partial<
  Pick<
    PlacementRow,
    | 'is_made'
    | 'trouble'
    | 'reason'
    | 'attempts'
    | 'next_attempt_at'
    | 'waiting_since'
    | 'checked_at'
  >
> & {
  readonly owned_classes?: string;
  readonly owned_traits?: string;
  readonly name?: string;
  readonly host_id?: string;
  readonly deployable_id?: string;
  readonly claimed_by?: null;
  readonly claim_expires_at?: null;
};

export async function updatePlacementRow(
  db: Kysely<Database>,
  rpUuid: string,
  changes: PlacementChanges & { readonly updated_at: Date },
): Promise<void> {
  await db.updateTable('placement_provider').set(changes).where('rp_uuid', '=', rpUuid).execute();
}

export async function deletePlacementRow(db: Kysely<Database>, rpUuid: string): Promise<void> {
  await db.deleteFrom('placement_provider').where('rp_uuid', '=', rpUuid).execute();
}

export interface SyncedProvider {
  readonly rpUuid: string;
  readonly content: ProviderContent;
  readonly generation: number;
  /** It was made just now: its generations begin again. */
  readonly isNew: boolean;
}

/** What Placement has now; a later write that is on record already stays. */
export async function recordSynced(
  db: Kysely<Database>,
  { rpUuid, content, generation, isNew }: SyncedProvider,
): Promise<void> {
  await sql`update placement_provider set synced = ${toJson(content)}::jsonb, generation = ${generation}
    where rp_uuid = ${rpUuid}::uuid and (${isNew} or generation is null or generation <= ${generation})`.execute(
    db,
  );
}

/** The attempt is over. What was noticed since it began is looked at again at once. */
export async function settlePlacementRow(
  db: Kysely<Database>,
  { rp_uuid: rpUuid, noticed }: Pick<PlacementRow, 'rp_uuid' | 'noticed'>,
  now: Date,
): Promise<void> {
  await sql`update placement_provider set claimed_by = null, claim_expires_at = null, attempts = 0, trouble = null,
      reason = null, next_attempt_at = case when noticed = ${noticed} then null else ${now}::timestamptz end,
      waiting_since = case when noticed = ${noticed} then null else ${now}::timestamptz end
    where rp_uuid = ${rpUuid}::uuid`.execute(db);
}

/** Hosts whose providers have not been compared with Placement since, each taken by one conductor at a time. */
export async function takeUncheckedHosts(
  db: Kysely<Database>,
  { before, now, limit }: { readonly before: Date; readonly now: Date; readonly limit: number },
): Promise<string[]> {
  const { rows } = await sql<{ host_id: string }>`
    with due as (select host_id from placement_provider
      where next_attempt_at is null and (checked_at is null or checked_at <= ${before})
      order by checked_at nulls first limit ${sql.lit(limit)} for update skip locked),
    taken as (update placement_provider set checked_at = ${now} where host_id in (select host_id from due)
      and next_attempt_at is null returning host_id)
    select distinct host_id from taken`.execute(db);
  return rows.map((row) => row.host_id);
}

/** Of the deployables that these accelerators belong to: providers that are there. */
export async function listMadeProviders(
  db: Kysely<Database>,
  acceleratorIds: readonly string[],
): Promise<PlacementRow[]> {
  const { rows } = await sql<PlacementRow>`
    select p.* from placement_provider p where p.is_made and p.deployable_id in (
      select deployable_id from accelerator where id = any(${acceleratorIds}::uuid[]))`.execute(db);
  return rows;
}

/**
 * Of these accelerators, about to be given: those that Placement offers, so that an allocation has to stand for them. One
 * that is kept for a project or shares its IOMMU group is reserved there, and stays so while it is held.
 */
export async function listAllocatable(
  db: Kysely<Database>,
  acceleratorIds: readonly string[],
): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    select a.id from accelerator a join placement_provider p on p.deployable_id = a.deployable_id
    where a.id = any(${acceleratorIds}::uuid[]) and p.is_made and p.synced is not null
      and p.synced ->> 'resource_class' <> ${sql.lit(novasClass)} and a.reserved_for is null and ${isAlone}`.execute(
    db,
  );
  return rows.map((row) => row.id);
}

export interface WaitingCount {
  readonly trouble: PlacementRow['trouble'];
  readonly count: number;
  readonly waiting_since: Date;
  readonly reason: string | null;
}

/** What Placement does not have as the ledger has it; `reason` is one of the reasons. */
export async function countWaitingForPlacement(db: Kysely<Database>): Promise<WaitingCount[]> {
  const { rows } = await sql<WaitingCount>`
    select trouble, count(*) as count, min(coalesce(waiting_since, next_attempt_at)) as waiting_since, min(reason) as reason
    from placement_provider where next_attempt_at is not null group by trouble order by trouble`.execute(
    db,
  );
  return rows;
}

export interface HostTrouble {
  readonly host_id: string;
  readonly trouble: NonNullable<PlacementRow['trouble']>;
  readonly count: number;
  readonly reason: string;
}

/** Matters of single hosts: not an outage, which is everybody's. */
export async function listHostTroubles(
  db: Kysely<Database>,
  hostIds: readonly string[],
): Promise<HostTrouble[]> {
  const { rows } = await sql<HostTrouble>`
    select host_id, trouble, count(*) as count, min(reason) as reason from placement_provider
    where host_id = any(${hostIds}::uuid[]) and trouble is not null and trouble <> 'outage'
    group by host_id, trouble order by host_id, trouble`.execute(db);
  return rows;
}

/** Number of the last event that readers see. */
export async function readLastEvent(db: Kysely<Database>): Promise<number> {
  const { last } = await db.selectFrom('event_counter').select('last').executeTakeFirstOrThrow();
  return last;
}

/** Hosts that events after this number are about. */
export async function listTouchedHosts(
  db: Kysely<Database>,
  { after, until }: { readonly after: number; readonly until: number },
): Promise<string[]> {
  const { rows } = await sql<{ host_id: string }>`
    select distinct host_id from event where number > ${after} and number <= ${until} and host_id is not null`.execute(
    db,
  );
  return rows.map((row) => row.host_id);
}

/** Hosts in the order of their ids, those with rows of hosts that are gone among them. */
export async function listHostsAfter(
  db: Kysely<Database>,
  { after, limit }: { readonly after: string | undefined; readonly limit: number },
): Promise<string[]> {
  const from = after === undefined ? sql`` : sql`where id > ${after}::uuid`;
  const { rows } = await sql<{ id: string }>`
    select id from (select id from host union select host_id from placement_provider) as every
    ${from} order by id limit ${sql.lit(limit)}`.execute(db);
  return rows.map((row) => row.id);
}

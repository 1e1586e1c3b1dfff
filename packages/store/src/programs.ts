/** Writings of program images into deployables, and the v2 binds that wait for them. */
import { sql, type Kysely, type RawBuilder, type Selectable, type SqlBool } from 'kysely';

import type { AcceleratorRow, AttachmentRow } from './holdings.ts';
import { insertMany } from './bulk.ts';
import type { ArqBindTable, ProgrammingState, ProgrammingTable } from './schema-programs.ts';
import type { Database } from './schema.ts';
import type { DeployableTable } from './schema-inventory.ts';

export type ProgrammingRow = Selectable<ProgrammingTable>;
export type ArqBindRow = Selectable<ArqBindTable>;
export type DeployableRow = Selectable<DeployableTable>;

export const liveProgrammingStates = ['staging', 'writing'] as const satisfies ProgrammingState[];

/** A deployable with all its accelerators, in id order, locked: who programs one takes it whole. */
export async function lockDeployable(
  tx: Kysely<Database>,
  id: string,
): Promise<{ deployable: DeployableRow; accelerators: AcceleratorRow[] } | undefined> {
  const accelerators = await tx
    .selectFrom('accelerator')
    .selectAll()
    .where('deployable_id', '=', id)
    .orderBy('id')
    .forUpdate()
    .execute();
  const deployable = await tx
    .selectFrom('deployable')
    .selectAll()
    .where('id', '=', id)
    .forUpdate()
    .executeTakeFirst();
  return deployable === undefined ? undefined : { deployable, accelerators };
}

/** The same, for a look that changes nothing. */
export async function readDeployable(
  db: Kysely<Database>,
  id: string,
): Promise<{ deployable: DeployableRow; accelerators: AcceleratorRow[] } | undefined> {
  const accelerators = await db
    .selectFrom('accelerator')
    .selectAll()
    .where('deployable_id', '=', id)
    .orderBy('id')
    .execute();
  const deployable = await db
    .selectFrom('deployable')
    .selectAll()
    .where('id', '=', id)
    .executeTakeFirst();
  return deployable === undefined ? undefined : { deployable, accelerators };
}

/** The deployables behind providers, as they are now. */
export async function listProviderDeployables(
  db: Kysely<Database>,
  rpUuids: readonly string[],
): Promise<DeployableRow[]> {
  const { rows } = await sql<DeployableRow>`
    select * from deployable where rp_uuid = any(${rpUuids}::uuid[]) order by id`.execute(db);
  return rows;
}

/** Which image a request's profile wants written before it is bound. */
export interface ArqProgramRow {
  readonly id: string;
  readonly bitstream_id: string | null;
  readonly function_id: string | null;
}

/** Requests in scope whose group has an FPGA and names an image; most have none. */
export async function listArqPrograms(
  db: Kysely<Database>,
  { ids, projectId }: { readonly ids: readonly string[]; readonly projectId: string | null },
): Promise<ArqProgramRow[]> {
  const { rows } = await sql<ArqProgramRow>`
    select t.id, g.value ->> 'accel:bitstream_id' as bitstream_id, g.value ->> 'accel:function_id' as function_id
    from attachment t join device_profile p on p.id = t.profile_id,
      lateral (select (p.groups -> t.profile_group)::jsonb as value) g
    where t.id = any(${ids}::uuid[]) and t.state = 'requested' and g.value ? 'resources:FPGA'
      and (${projectId}::text is null or t.project_id = ${projectId})
      and (g.value ? 'accel:bitstream_id' or g.value ? 'accel:function_id')`.execute(db);
  return rows;
}

const insertedColumns = [
  'id',
  'deployable_id',
  'accelerator_id',
  'host_id',
  'bind_id',
  'operation_id',
  'image_id',
  'image_name',
  'function_id',
  'staged_image_id',
  'sha256',
  'state',
  'epoch',
  'user_id',
  'project_id',
  'deadline_at',
  'next_attempt_at',
  'progress_percent',
  'attempts',
  'trace_parent',
  'created_at',
] as const;

export type NewProgramming = Pick<ProgrammingRow, (typeof insertedColumns)[number]>;

export async function insertProgramming(tx: Kysely<Database>, row: NewProgramming): Promise<void> {
  await insertMany(tx, { table: 'programming', columns: insertedColumns, rows: [row] });
}

export async function insertArqBind(
  tx: Kysely<Database>,
  row: Pick<ArqBindRow, 'id' | 'held_until' | 'created_at'>,
): Promise<void> {
  await tx
    .insertInto('arq_bind')
    .values({ ...row, state: 'started' })
    .execute();
}

export function findProgramming(
  db: Kysely<Database>,
  id: string,
): Promise<ProgrammingRow | undefined> {
  return db.selectFrom('programming').selectAll().where('id', '=', id).executeTakeFirst();
}

export function lockProgramming(
  tx: Kysely<Database>,
  id: string,
): Promise<ProgrammingRow | undefined> {
  return tx
    .selectFrom('programming')
    .selectAll()
    .where('id', '=', id)
    .where('state', 'in', liveProgrammingStates)
    .forUpdate()
    .executeTakeFirst();
}

/** Which of the host's programmings this epoch of the accelerator is. */
export async function findOrderedProgramming(
  db: Kysely<Database>,
  given: { readonly hostId: string; readonly acceleratorId: string; readonly epoch: number },
): Promise<ProgrammingRow | undefined> {
  return db
    .selectFrom('programming')
    .selectAll()
    .where('host_id', '=', given.hostId)
    .where('accelerator_id', '=', given.acceleratorId)
    .where('epoch', '=', given.epoch)
    .where('state', '=', 'writing')
    .executeTakeFirst();
}

export type ProgrammingChanges = Partial<
  Pick<
    ProgrammingRow,
    | 'state'
    | 'staged_image_id'
    | 'progress_percent'
    | 'reason'
    | 'attempts'
    | 'next_attempt_at'
    | 'claimed_by'
    | 'claim_expires_at'
    | 'finished_at'
  >
>;

export async function updateProgramming(
  db: Kysely<Database>,
  id: string,
  changes: ProgrammingChanges & { readonly updated_at: Date },
): Promise<void> {
  await db.updateTable('programming').set(changes).where('id', '=', id).execute();
}

function isStaging(now: Date): RawBuilder<SqlBool> {
  return sql`state = 'staging' and next_attempt_at <= ${now}
    and (claim_expires_at is null or claim_expires_at <= ${now})`;
}

export function hasStaging(now: Date): RawBuilder<boolean> {
  return sql`exists (select from programming where ${isStaging(now)})`;
}

export async function claimStaging(
  db: Kysely<Database>,
  given: {
    readonly replicaId: string;
    readonly now: Date;
    readonly expiresAt: Date;
    readonly limit: number;
  },
): Promise<ProgrammingRow[]> {
  const { rows } = await sql<ProgrammingRow>`
    update programming set claimed_by = ${given.replicaId}::uuid, claim_expires_at = ${given.expiresAt}
    where id in (select id from programming where ${isStaging(given.now)}
      order by next_attempt_at limit ${sql.lit(given.limit)} for update skip locked)
    returning *`.execute(db);
  return rows;
}

/** @returns false when somebody else has it by now, or it has ended. */
export async function renewStaging(
  db: Kysely<Database>,
  given: { readonly id: string; readonly replicaId: string; readonly expiresAt: Date },
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('programming')
    .set({ claim_expires_at: given.expiresAt })
    .where('id', '=', given.id)
    .where('state', '=', 'staging')
    .where('claimed_by', '=', given.replicaId)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

const isOverdue = (now: Date): RawBuilder<SqlBool> =>
  sql`state in ('staging', 'writing') and deadline_at <= ${now}`;

export function hasOverdueProgrammings(now: Date): RawBuilder<boolean> {
  return sql`exists (select from programming where ${isOverdue(now)})`;
}

export async function listOverdueProgrammings(
  db: Kysely<Database>,
  { now, limit }: { readonly now: Date; readonly limit: number },
): Promise<ProgrammingRow[]> {
  const { rows } = await sql<ProgrammingRow>`select * from programming where ${isOverdue(now)}
    order by deadline_at limit ${sql.lit(limit)}`.execute(db);
  return rows;
}

export function listBindProgrammings(
  tx: Kysely<Database>,
  bindId: string,
): Promise<ProgrammingRow[]> {
  return tx
    .selectFrom('programming')
    .selectAll()
    .where('bind_id', '=', bindId)
    .orderBy('id')
    .execute();
}

export function findArqBind(db: Kysely<Database>, id: string): Promise<ArqBindRow | undefined> {
  return db.selectFrom('arq_bind').selectAll().where('id', '=', id).executeTakeFirst();
}

export function lockArqBind(tx: Kysely<Database>, id: string): Promise<ArqBindRow | undefined> {
  return tx.selectFrom('arq_bind').selectAll().where('id', '=', id).forUpdate().executeTakeFirst();
}

export async function updateArqBind(
  tx: Kysely<Database>,
  id: string,
  changes: Partial<Pick<ArqBindRow, 'state' | 'reason' | 'is_held' | 'finished_at'>>,
): Promise<void> {
  await tx.updateTable('arq_bind').set(changes).where('id', '=', id).execute();
}

/** Accelerators that a bind keeps for its requests. */
export async function listBindAcceleratorIds(
  tx: Kysely<Database>,
  bindId: string,
): Promise<string[]> {
  const { rows } = await sql<{ accelerator_id: string }>`select accelerator_id from attachment
    where bind_id = ${bindId}::uuid and state = 'reserved' and accelerator_id is not null`.execute(
    tx,
  );
  return rows.map((row) => row.accelerator_id);
}

/** Requests of a bind that nobody has deleted or unbound since. */
export function listBindAttachments(
  tx: Kysely<Database>,
  bindId: string,
): Promise<AttachmentRow[]> {
  return tx
    .selectFrom('attachment')
    .selectAll()
    .where('bind_id', '=', bindId)
    .where('state', '=', 'reserved')
    .orderBy('id')
    .forUpdate()
    .execute();
}

/** What is in the card now. Its accelerators have the deployable's traits. */
export async function setDeployableProgram(
  tx: Kysely<Database>,
  given: {
    readonly id: string;
    readonly bitstreamId: string | null;
    readonly functionId: string | null;
    readonly traits: readonly string[];
    readonly now: Date;
  },
): Promise<void> {
  const traits = JSON.stringify(given.traits);
  await sql`update deployable set bitstream_id = ${given.bitstreamId}::uuid, function_id = ${given.functionId},
    traits = ${traits}::jsonb, updated_at = ${given.now} where id = ${given.id}::uuid`.execute(tx);
  await sql`update accelerator set traits = ${traits}::jsonb where deployable_id = ${given.id}::uuid`.execute(
    tx,
  );
}

/** @returns how many. */
export async function forgetProgrammings(
  db: Kysely<Database>,
  { before, limit }: { readonly before: Date; readonly limit: number },
): Promise<number> {
  const { rows } = await sql`delete from programming where id in (
    select id from programming where finished_at < ${before} order by finished_at limit ${sql.lit(limit)})
    returning id`.execute(db);
  await sql`delete from arq_bind where finished_at < ${before}
    and not exists (select from programming p where p.bind_id = arq_bind.id)`.execute(db);
  return rows.length;
}

export function hasForgettableProgrammings(before: Date): RawBuilder<boolean> {
  return sql`exists (select from programming where finished_at < ${before})`;
}

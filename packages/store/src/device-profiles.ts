import { sql, type Insertable, type Kysely, type Selectable } from 'kysely';

import type { Database, DeviceProfileTable } from './schema.ts';

export type DeviceProfileRow = Selectable<DeviceProfileTable>;

export function findDeviceProfile(
  db: Kysely<Database>,
  by: { readonly id: string } | { readonly name: string },
): Promise<DeviceProfileRow | undefined> {
  const query = db.selectFrom('device_profile').selectAll();
  return (
    'id' in by ? query.where('id', '=', by.id) : query.where('name', '=', by.name)
  ).executeTakeFirst();
}

/** In the order of their numbers, which is that of their creation. */
export function listDeviceProfiles(
  db: Kysely<Database>,
  { after, limit }: { readonly after: number; readonly limit: number },
): Promise<DeviceProfileRow[]> {
  return db
    .selectFrom('device_profile')
    .selectAll()
    .where('number', '>', after)
    .orderBy('number')
    .limit(limit)
    .execute();
}

/** @returns undefined when the name is in use. */
export function insertDeviceProfile(
  db: Kysely<Database>,
  row: Insertable<DeviceProfileTable>,
): Promise<DeviceProfileRow | undefined> {
  return db
    .insertInto('device_profile')
    .values(row)
    .onConflict((conflict) => conflict.column('name').doNothing())
    .returningAll()
    .executeTakeFirst();
}

export async function deleteDeviceProfile(db: Kysely<Database>, id: string): Promise<void> {
  // An attachment that has ended keeps its history, not its profile.
  await db
    .updateTable('attachment')
    .set({ profile_id: null })
    .where('profile_id', '=', id)
    .where('state', '=', 'released')
    .execute();
  await db.deleteFrom('device_profile').where('id', '=', id).execute();
}

export interface ProfileUser {
  readonly id: string;
  readonly instance_id: string | null;
  readonly accelerator_id: string | null;
  readonly project_id: string;
}

/** Attachments that have not ended and were asked for by the profile; at most a hundred. */
export function listProfileUsers(db: Kysely<Database>, id: string): Promise<ProfileUser[]> {
  return db
    .selectFrom('attachment')
    .select(['id', 'instance_id', 'accelerator_id', 'project_id'])
    .where('profile_id', '=', id)
    .where('state', '<>', 'released')
    .limit(100)
    .execute();
}

export async function listDeviceProfileNames(db: Kysely<Database>): Promise<string[]> {
  const rows = await db.selectFrom('device_profile').select('name').limit(1000).execute();
  return rows.map((row) => row.name);
}

/** Waits for whoever changes the profile or makes an attachment of it, until the transaction ends. */
export async function lockDeviceProfile(tx: Kysely<Database>, id: string): Promise<void> {
  await sql`select 1 from device_profile where id = ${id}::uuid for update`.execute(tx);
}

/** By name; it cannot be deleted until the transaction ends. Several may hold it so at once. */
export async function shareDeviceProfile(
  tx: Kysely<Database>,
  name: string,
): Promise<DeviceProfileRow | undefined> {
  return tx
    .selectFrom('device_profile')
    .selectAll()
    .where('name', '=', name)
    .forKeyShare()
    .executeTakeFirst();
}

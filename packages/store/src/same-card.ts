/** Two entries of the ledger for one card: the one that is gone takes over the place of the one that appeared. */
import { sql, type Kysely, type Selectable } from 'kysely';

import type { AcceleratorRow } from './holdings.ts';
import type { Database } from './schema.ts';
import type { DeviceTable } from './schema-inventory.ts';

export interface CardRow {
  readonly device: Selectable<DeviceTable>;
  /** All that the ledger has of it, by id. */
  readonly accelerators: readonly AcceleratorRow[];
}

/** The backend is locked before its accelerators, as an inventory does. */
export async function readCards(
  tx: Kysely<Database>,
  {
    backendId,
    deviceIds,
    withoutLock,
  }: {
    readonly backendId: string;
    readonly deviceIds: readonly string[];
    /** For rehearsals: reads only. */
    readonly withoutLock: boolean;
  },
): Promise<CardRow[]> {
  const devices = tx.selectFrom('device').selectAll().where('id', 'in', deviceIds).orderBy('id');
  const parts = tx
    .selectFrom('accelerator')
    .selectAll()
    .where('device_id', 'in', deviceIds)
    .orderBy('id');
  if (!withoutLock) {
    await sql`select from backend where id = ${backendId}::uuid for update`.execute(tx);
  }
  const accelerators = await (withoutLock ? parts : parts.forUpdate()).execute();
  return (await devices.execute()).map((device) => ({
    device,
    accelerators: accelerators.filter((row) => row.device_id === device.id),
  }));
}

/** Parts are named after their card: `prefix` is a card's key, and each key of a part begins with it. */
export async function takeOverPlace(
  tx: Kysely<Database>,
  { gone, appeared }: { readonly gone: CardRow; readonly appeared: CardRow },
): Promise<void> {
  const { id, key, backend_id: backendId } = gone.device;
  await tx.deleteFrom('device').where('id', '=', appeared.device.id).execute();
  const renamed = sql<string>`concat(${appeared.device.key}::text, substr(key, ${key.length + 1}))`;
  await tx.updateTable('device').set({ key: renamed }).where('id', '=', id).execute();
  await tx.updateTable('deployable').set({ key: renamed }).where('device_id', '=', id).execute();
  await tx.updateTable('accelerator').set({ key: renamed }).where('device_id', '=', id).execute();
  // Its agent tells the whole inventory again, and that is compared with the new keys.
  await sql`update backend set inventory_hash = null, discovery_requested = discovery_requested + 1
    where id = ${backendId}::uuid`.execute(tx);
}

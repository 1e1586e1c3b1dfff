/** Server processes: each says every few seconds that it lives. */
import type { Kysely } from 'kysely';

import type { Database, ReplicaTable } from './schema.ts';

export interface Replica {
  readonly id: string;
  readonly name: string;
  readonly role: ReplicaTable['role'];
  readonly version: string;
}

/** Inserts or renews; also comes back when somebody forgot us as dead. */
export async function renewReplica(
  db: Kysely<Database>,
  replica: Replica,
  { now, leaseSeconds }: { now: Date; leaseSeconds: number },
): Promise<void> {
  const lease = new Date(now.getTime() + leaseSeconds * 1000);
  await db
    .insertInto('replica')
    .values({ ...replica, started_at: now, lease_expires_at: lease })
    .onConflict((conflict) => conflict.column('id').doUpdateSet({ lease_expires_at: lease }))
    .execute();
}

export async function deleteReplica(db: Kysely<Database>, id: string): Promise<void> {
  await db.deleteFrom('replica').where('id', '=', id).execute();
}

/** Forgets those that have said nothing since `before`. */
export async function deleteDeadReplicas(db: Kysely<Database>, before: Date): Promise<void> {
  await db.deleteFrom('replica').where('lease_expires_at', '<', before).execute();
}

const workTables = ['installation', 'accelerator', 'operation', 'attachment'] as const;

/**
 * Gives every claim on work back at once. Only for a conductor that is known to be alone: on the embedded database,
 * whose directory one server at a time can hold.
 */
export async function takeOverAlone(db: Kysely<Database>): Promise<void> {
  await db.transaction().execute(async (tx) => {
    await tx.deleteFrom('replica').execute();
    for (const table of workTables) {
      await tx
        .updateTable(table)
        .set({ claimed_by: null, claim_expires_at: null })
        .where('claimed_by', 'is not', null)
        .execute();
    }
  });
}

/** Names of the servers whose lease has not run out. */
export async function listLiveReplicas(db: Kysely<Database>, now: Date): Promise<string[]> {
  const rows = await db
    .selectFrom('replica')
    .select('name')
    .where('lease_expires_at', '>', now)
    .orderBy('name')
    .execute();
  return rows.map(({ name }) => name);
}

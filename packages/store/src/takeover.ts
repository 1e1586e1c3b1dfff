/** What a server may do on a database that is its alone, and how it knows. */
import type { Kysely } from 'kysely';

import type { Database } from './schema.ts';

const workTables = [
  'installation',
  'accelerator',
  'operation',
  'attachment',
  'placement_provider',
  'nova_event',
  'nova_server',
  'nova_watch',
] as const;

/**
 * Forgets every other server and gives back every claim on work, at once. Only for a conductor that is known to be
 * alone: on the embedded database, whose directory one server at a time can hold.
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

/** For agents that are known to have died with their server: the next ones need not wait for the leases to end. */
export async function releaseLeases(
  db: Kysely<Database>,
  hostNames: readonly string[],
): Promise<void> {
  if (hostNames.length === 0) return;
  await db
    .updateTable('host')
    .set({ agent_instance: null, lease_expires_at: null })
    .where('name', 'in', hostNames)
    .execute();
}

/** How far hosts have come since a start: what `npm start` waits for. */
import type { Kysely } from 'kysely';

import type { Database } from './schema.ts';

export interface HostProgress {
  readonly name: string;
  /** Of the agent that holds the lease now; null when none does. */
  readonly agentSince: Date | null;
  /** Its credential is worth nothing: no agent can hold the lease. */
  readonly isRevoked: boolean;
  readonly hasInventory: boolean;
  readonly hasInstances: boolean;
  /** A driver of which its agent has not said yet whether it runs; null when there is none. */
  readonly startingDriver: string | null;
}

export async function readHostProgress(
  db: Kysely<Database>,
  names: readonly string[],
): Promise<HostProgress[]> {
  if (names.length === 0) return [];
  const rows = await db
    .selectFrom('host')
    .select((row) => [
      'name',
      'agent_instance',
      'agent_since',
      'revoked_at',
      'first_inventory_at',
      'instances_reported_at',
      row
        .selectFrom('installation')
        .select((of) => of.fn.min('driver_id').as('id'))
        .whereRef('host_id', '=', 'host.id')
        .where('state', 'in', ['fetching', 'starting'])
        .as('starting_driver'),
    ])
    .where('name', 'in', names)
    .execute();
  return rows.map((row) => ({
    name: row.name,
    agentSince: row.agent_instance === null ? null : row.agent_since,
    isRevoked: row.revoked_at !== null,
    hasInventory: row.first_inventory_at !== null,
    hasInstances: row.instances_reported_at !== null,
    startingDriver: row.starting_driver,
  }));
}

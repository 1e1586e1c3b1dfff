/** Configurations that drivers have refused, and are asked about once more. */
import { sql } from 'kysely';

import type { Act } from '../transaction.ts';

/** Of one host's driver, or of a driver everywhere: another version, or a person, may have it otherwise. */
export async function tryRefusedAgain(
  { tx, wakeUps }: Act,
  where: { readonly installationId: string } | { readonly driverId: string },
): Promise<void> {
  const rows = await tx
    .updateTable('backend')
    .set((eb) => ({ generation: eb('generation', '+', 1), refused_generation: null }))
    .where(
      'installationId' in where ? 'installation_id' : 'driver_id',
      '=',
      'installationId' in where ? where.installationId : where.driverId,
    )
    .where(sql<boolean>`refused_generation = generation`)
    .where('state', 'not in', ['draining', 'removing'])
    .returning('host_id')
    .execute();
  for (const { host_id } of rows) wakeUps.add(`host:${host_id}`);
}

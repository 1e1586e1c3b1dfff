/** Figures about the whole fleet, for monitoring: not for lists, which must not get slower with the fleet. */
import type { Kysely } from 'kysely';

import type { Database } from './schema.ts';

export async function countAccelerators(
  db: Kysely<Database>,
): Promise<readonly { readonly state: string; readonly count: number }[]> {
  const rows = await db
    .selectFrom('accelerator')
    .select((eb) => ['state', eb.fn.countAll<number>().as('count')])
    .groupBy('state')
    .execute();
  return rows.map(({ state, count }) => ({ state, count }));
}

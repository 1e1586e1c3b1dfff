/** Accelerators whose cleaning a host that is up does not end. */
import { sql, type Kysely, type RawBuilder } from 'kysely';

import { isGone } from './orphans.ts';
import { refusedPrefix, retriedPrefix } from './refused-orders.ts';
import type { Database } from './schema.ts';

export interface OverdueQuery {
  readonly now: Date;
  /** Cleanings that have begun before, by an agent that has been up since before. */
  readonly since: Date;
}

/** One that waits for a holder to let go says so in its reason, and waits as long as it takes. A refusal is no such reason, nor is a try. */
function overdue({ now, since }: OverdueQuery): RawBuilder<unknown> {
  return sql`from accelerator a join host h on h.id = a.host_id join backend b on b.id = a.backend_id
    where a.state = 'cleaning' and (a.reason is null or starts_with(a.reason, ${refusedPrefix})
        or starts_with(a.reason, ${retriedPrefix}))
      and coalesce(a.updated_at, a.created_at) <= ${since}
      and h.lease_expires_at > ${now} and h.agent_since <= ${since} and not ${isGone}`;
}

export function hasOverdueCleaning(query: OverdueQuery): RawBuilder<boolean> {
  return sql`exists (select ${overdue(query)})`;
}

/** In id order. */
export async function listOverdueCleaning(
  db: Kysely<Database>,
  query: OverdueQuery & { readonly limit: number },
): Promise<readonly { readonly id: string; readonly host: string }[]> {
  const { rows } = await sql<{ id: string; host: string }>`
    select a.id, h.name as host ${overdue(query)} order by a.id limit ${query.limit}`.execute(db);
  return rows;
}

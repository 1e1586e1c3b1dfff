/** traceparents of operations under way on drivers. */
import { sql, type Kysely } from 'kysely';

import type { Database } from './schema.ts';

const isOpen = sql`o.state in ('queued', 'running', 'waiting') and o.trace_parent is not null`;

/** Of the newest one about the driver. */
export async function findDriverTraceParent(
  db: Kysely<Database>,
  driverId: string,
): Promise<string | null> {
  const { rows } = await sql<{ trace_parent: string }>`
    select o.trace_parent from operation o
    where ${isOpen} and o.subject ->> 'driver_id' = ${driverId}
    order by o.created_at desc limit 1`.execute(db);
  return rows[0]?.trace_parent ?? null;
}

/** Of the newest one about each installation of the host, its driver or one of its backends. */
export async function listInstallationTraceParents(
  db: Kysely<Database>,
  hostId: string,
): Promise<Map<string, string>> {
  const { rows } = await sql<{ id: string; trace_parent: string }>`
    select distinct on (i.id) i.id, o.trace_parent from installation i join operation o on ${isOpen}
      and (o.subject ->> 'driver_id' = i.driver_id or exists (select from backend b where b.installation_id = i.id
        and o.subject -> 'targets' @> jsonb_build_array(jsonb_build_object('backend_id', b.id))))
    where i.host_id = ${hostId} order by i.id, o.created_at desc`.execute(db);
  return new Map(rows.map((row) => [row.id, row.trace_parent]));
}

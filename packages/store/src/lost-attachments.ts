/** What instances have lost and could not be given again at once. */
import { sql, type Kysely, type RawBuilder } from 'kysely';

import type { Database } from './schema.ts';

/** Its time has come, its instance and its card are there, and its host can do it. */
const due = (now: Date): RawBuilder<unknown> => sql`
    from attachment t join accelerator a on a.id = t.accelerator_id and a.attachment_id = t.id
    join backend b on b.id = a.backend_id join host h on h.id = t.host_id
    join instance i on i.id = t.instance_id and i.host_id = t.host_id
    where t.state = 'failed' and t.again_at <= ${now} and t.plugged_by = 'agent'
      and a.state = 'attached' and a.presence = 'present' and b.state = 'ready' and i.is_present
      and h.agent_instance is not null and h.lease_expires_at > ${now}`;

export function hasLost(now: Date): RawBuilder<boolean> {
  return sql`exists (select ${due(now)})`;
}

/** Accelerators that are due to be given again: those that have waited longest first. */
export async function listLostAcceleratorIds(
  db: Kysely<Database>,
  { now, limit }: { readonly now: Date; readonly limit: number },
): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    select a.id ${due(now)} order by t.again_at, a.id limit ${limit}`.execute(db);
  return rows.map(({ id }) => id);
}

/** Backends of the host that report what may be somebody's card look again: it may be nobody's by now. */
export async function lookAgainAtDoubts(
  tx: Kysely<Database>,
  hostIds: readonly string[],
): Promise<void> {
  await sql`update backend set inventory_hash = null, discovery_requested = discovery_requested + 1
    where state <> 'removing' and id in (select backend_id from accelerator
      where host_id = any(${hostIds}::uuid[]) and doubt is not null)`.execute(tx);
}

/**
 * The end of an uninstall: a backend that its host has taken away goes from the ledger with what nobody holds. What was
 * kept through a forced uninstall (orphaned accelerators) stays, with its backend and device.
 */
import { sql } from 'kysely';

import { recordEvents } from '../record-event.ts';
import type { Act } from '../transaction.ts';
import { noteSetupRequired } from './setup-condition.ts';

export interface Removals {
  readonly backendIds?: readonly string[];
  /** All backends of these that are being removed are done with them. */
  readonly installationIds?: readonly string[];
}

/** States in which a row must stay: somebody holds it, or it is not clean. */
const kept = sql`('reserved', 'attached', 'orphaned', 'cleaning', 'cleaning_failed', 'updating')`;

export async function finishRemovals(act: Act, removals: Removals): Promise<void> {
  const { backendIds = [], installationIds = [] } = removals;
  if (backendIds.length + installationIds.length === 0) return;
  const { tx } = act;
  const { rows } = await sql<{ id: string; name: string; host_id: string; driver_id: string }>`
    select id, name, host_id, driver_id from backend
    where state = 'removing'
      and (id = any(${backendIds}::uuid[]) or installation_id = any(${installationIds}::uuid[]))
    order by id for update`.execute(tx);
  const ids = rows.map(({ id }) => id);
  if (ids.length === 0) return;
  await deleteWhatNobodyHolds(act, ids);
  // Another backend of the host may have the same functions: it reports them anew.
  await sql`update backend set inventory_hash = null
    where host_id = any(${rows.map((row) => row.host_id)}::uuid[])
      and id <> all(${ids}::uuid[])`.execute(tx);
  await recordEvents(
    act,
    rows.map((row) => ({
      kind: 'backend.removed',
      subjectKind: 'backend',
      subjectId: row.id,
      hostId: row.host_id,
      data: { name: row.name, driver_id: row.driver_id },
    })),
  );
  await noteSetupRequired(act, [...new Set(rows.map((row) => row.host_id))]);
  act.wakeUps.add('deployments');
}

async function deleteWhatNobodyHolds(
  { tx, now }: Act,
  backendIds: readonly string[],
): Promise<void> {
  await sql`delete from accelerator
    where backend_id = any(${backendIds}::uuid[]) and state not in ${kept}
      and attachment_id is null`.execute(tx);
  await sql`delete from device where backend_id = any(${backendIds}::uuid[])
    and not exists (select from accelerator a where a.device_id = device.id)`.execute(tx);
  // Nobody reports them any more.
  await sql`update accelerator set presence = 'absent', absent_since = ${now}
    where backend_id = any(${backendIds}::uuid[]) and presence = 'present'`.execute(tx);
  await sql`delete from service where backend_id = any(${backendIds}::uuid[])`.execute(tx);
  await sql`update backend set observed_generation = generation, inventory_hash = null,
      reason = 'uninstalled by force; kept for its accelerators that are held or could not be cleaned'
    where id = any(${backendIds}::uuid[])`.execute(tx);
  await sql`delete from backend where id = any(${backendIds}::uuid[])
    and not exists (select from accelerator a where a.backend_id = backend.id)`.execute(tx);
}

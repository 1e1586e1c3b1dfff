/** Taking backends from hosts: the steps that an uninstall shares with the end of draining. */
import { installationLifecycle } from '@cyborg/model/installation-lifecycle';
import { nextState } from '@cyborg/model/lifecycle';
import type { BackendState } from '@cyborg/store/schema-deployments';
import { sql } from 'kysely';

import { recordEvents } from '../record-event.ts';
import type { Act } from '../transaction.ts';

export interface RemovalTarget {
  readonly host: string;
  readonly host_id: string;
  readonly backend: string;
  readonly backend_id: string;
  readonly installation_id: string;
}

/** Why nothing of a backend that is drained is given out, and what comes next. */
export const drainingReason =
  'being uninstalled by force: it goes when everything that it gave out is detached and clean';

export function isLeaving(state: BackendState): boolean {
  return state === 'draining' || state === 'removing';
}

/** An attach that waits for one of these rows must find it taken off the list when it gets it. */
export async function withholdFree(
  running: Act,
  targets: readonly Pick<RemovalTarget, 'backend_id'>[],
): Promise<void> {
  const ids = targets.map(({ backend_id }) => backend_id);
  const { rows } = await sql<{ id: string; host_id: string }>`
    update accelerator set state = 'withheld', reason = 'its driver is being uninstalled',
      updated_at = ${running.now}
    where backend_id = any(${ids}::uuid[]) and state = 'available'
    returning id, host_id`.execute(running.tx);
  await recordEvents(
    running,
    rows.map(({ id, host_id }) => ({
      kind: 'accelerator.withheld',
      subjectKind: 'accelerator',
      subjectId: id,
      hostId: host_id,
      data: { reason: 'its driver is being uninstalled' },
    })),
  );
}

/** They stay on their hosts until nobody has anything of them: `uninstall-drained` goes on then. */
export async function drainOnHosts(running: Act, targets: readonly RemovalTarget[]): Promise<void> {
  if (targets.length === 0) return;
  await sql`update backend set state = 'draining', reason = ${drainingReason},
      updated_at = ${running.now}
    where id = any(${targets.map(({ backend_id }) => backend_id)}::uuid[])`.execute(running.tx);
  await recordEvents(
    running,
    targets.map((target) => ({
      kind: 'backend.draining',
      subjectKind: 'backend',
      subjectId: target.backend_id,
      hostId: target.host_id,
      data: { name: target.backend, reason: drainingReason },
    })),
  );
}

/** Orders the hosts to take them away; an installation that has no other backend goes, too. */
export async function removeOnHosts(
  running: Act,
  targets: readonly RemovalTarget[],
): Promise<void> {
  if (targets.length === 0) return;
  const { tx, now } = running;
  await sql`update backend set state = 'removing', reason = null, generation = generation + 1,
      updated_at = ${now}
    where id = any(${targets.map(({ backend_id }) => backend_id)}::uuid[])`.execute(tx);
  const ids = [...new Set(targets.map(({ installation_id }) => installation_id))];
  const empty = await tx
    .selectFrom('installation')
    .select(['id', 'state', 'host_id'])
    .where('id', '=', sql<string>`any(${ids}::uuid[])`)
    .where(
      sql<boolean>`not exists (select from backend b where b.installation_id = installation.id and b.state <> 'removing')`,
    )
    .forUpdate()
    .execute();
  for (const row of empty) {
    await tx
      .updateTable('installation')
      .set((eb) => ({
        state: nextState(installationLifecycle, row.state, 'remove'),
        reason: null,
        generation: eb('generation', '+', 1),
        updated_at: now,
      }))
      .where('id', '=', row.id)
      .execute();
  }
  await recordEvents(running, [
    ...targets.map((target) => ({
      kind: 'backend.removing' as const,
      subjectKind: 'backend',
      subjectId: target.backend_id,
      hostId: target.host_id,
      data: { name: target.backend },
    })),
    ...empty.map((row) => ({
      kind: 'installation.removing' as const,
      subjectKind: 'installation',
      subjectId: row.id,
      hostId: row.host_id,
      data: {},
    })),
  ]);
  for (const { host_id } of targets) running.wakeUps.add(`host:${host_id}`);
}

/** Installations of these that will have no backend left. */
export async function listLeaving(
  { tx }: Act,
  targets: readonly RemovalTarget[],
): Promise<{ readonly id: string; readonly host: string }[]> {
  const ids = [...new Set(targets.map(({ installation_id }) => installation_id))];
  const { rows } = await sql<{ id: string; host: string }>`
    select i.id, h.name as host from installation i join host h on h.id = i.host_id
    where i.id = any(${ids}::uuid[]) and not exists (
      select from backend b where b.installation_id = i.id and b.state not in ('draining', 'removing'))
    order by h.name`.execute(tx);
  return rows;
}

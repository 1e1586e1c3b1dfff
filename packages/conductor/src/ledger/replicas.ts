/** Server processes and their leases: what `service-list` shows of the control services. */
import type { ConductorDeps } from '../deps.ts';

export interface Replica {
  readonly name: string;
  readonly role: 'api' | 'conductor' | 'all';
  readonly version: string;
}

/** Rows of replicas that ended this long ago are forgotten. */
const forgottenAfterMs = 24 * 3_600_000;

type Deps = Pick<ConductorDeps, 'db' | 'clock' | 'limits' | 'replicaId'>;

export async function registerReplica(deps: Deps, replica: Replica): Promise<void> {
  const now = deps.clock.now();
  await deps.db
    .insertInto('replica')
    .values({
      id: deps.replicaId,
      ...replica,
      started_at: now,
      lease_expires_at: leaseEnd(deps, now),
    })
    .execute();
  await deps.db
    .deleteFrom('replica')
    .where('lease_expires_at', '<', new Date(now.getTime() - forgottenAfterMs))
    .execute();
}

/** Call it a few times per lease; `registerReplica` again when it answers false (the row was forgotten). */
export async function renewReplica(deps: Deps): Promise<boolean> {
  const row = await deps.db
    .updateTable('replica')
    .set({ lease_expires_at: leaseEnd(deps, deps.clock.now()) })
    .where('id', '=', deps.replicaId)
    .returning('id')
    .executeTakeFirst();
  return row !== undefined;
}

/** At an orderly stop, so that the list does not show it as down. */
export async function forgetReplica({
  db,
  replicaId,
}: Pick<Deps, 'db' | 'replicaId'>): Promise<void> {
  await db.deleteFrom('replica').where('id', '=', replicaId).execute();
}

function leaseEnd({ limits }: Deps, now: Date): Date {
  return new Date(now.getTime() + limits.leaseSeconds * 1000);
}

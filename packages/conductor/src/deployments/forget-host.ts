/** What deployments say of a host that leaves the ledger: its name goes from them, also from among the exceptions. */
import { toJson } from '@cyborg/store/json';
import type { HostSelector } from '@cyborg/store/schema-deployments';
import { sql, type SqlBool } from 'kysely';

import type { Tx } from '../deps.ts';
import { changedAt } from '../etag.ts';
import { recordEvents } from '../record-event.ts';
import type { Act } from '../transaction.ts';
import type { DeploymentBackendRow } from './context.ts';

export interface NamingBackend extends DeploymentBackendRow {
  readonly driver_id: string;
  /** Without the host; undefined when it is for no other host. */
  readonly left: HostSelector | undefined;
}

/** Backends of deployments whose rule names the host, in the order of their drivers. */
export async function listNaming(
  tx: Tx,
  hostId: string,
  { isLocked }: { readonly isLocked: boolean },
): Promise<NamingBackend[]> {
  const named = tx
    .selectFrom('deployment_backend')
    .innerJoin('deployment', 'deployment.id', 'deployment_backend.deployment_id')
    .selectAll('deployment_backend')
    .select('deployment.driver_id')
    .where(
      sql<SqlBool>`(selector->'host_ids' ? ${hostId} or selector->'except_host_ids' ? ${hostId})`,
    )
    .orderBy('deployment.driver_id')
    .orderBy('deployment_backend.name');
  if (isLocked) {
    // As every change of a deployment does: they take turns on the driver's row in the catalogue.
    const driverIds = (await named.execute()).map((row) => row.driver_id);
    await sql`select from driver where id = any(${driverIds}::text[]) order by id for update`.execute(
      tx,
    );
  }
  const rows = await named.execute();
  return rows.map((row) => ({ ...row, left: withoutName(row.selector, hostId) }));
}

function withoutName(selector: HostSelector, hostId: string): HostSelector | undefined {
  if (selector.kind === 'hosts') {
    const left = selector.host_ids.filter((id) => id !== hostId);
    return left.length === 0 ? undefined : { kind: 'hosts', host_ids: left };
  }
  const { except_host_ids: before, ...rest } = selector;
  const except = (before ?? []).filter((id) => id !== hostId);
  return except.length === 0 ? rest : { ...rest, except_host_ids: except };
}

/** A backend that is for no host any more goes, and a deployment without one, as with an uninstall. */
export async function forgetHost(
  running: Act,
  host: { readonly id: string; readonly name: string },
  given: { readonly naming: readonly NamingBackend[]; readonly userId: string },
): Promise<void> {
  for (const [deploymentId, own] of Map.groupBy(given.naming, (row) => row.deployment_id)) {
    for (const row of own) await writeLeft(running, row);
    await writeDeployment(running, deploymentId);
  }
  const named = given.naming.filter(({ selector }) => selector.kind === 'hosts');
  await recordEvents(
    running,
    [...Map.groupBy(named, (row) => row.driver_id)].map(([driverId, own]) => ({
      kind: 'driver.uninstalled',
      subjectKind: 'driver',
      subjectId: driverId,
      userId: given.userId,
      data: {
        backends: own.map(({ name }) => name),
        hosts: [host.id],
        why: `host ${host.name} was deleted`,
      },
    })),
  );
}

async function writeLeft({ tx, now }: Act, row: NamingBackend): Promise<void> {
  if (row.left === undefined) {
    await tx.deleteFrom('deployment_backend').where('id', '=', row.id).execute();
    return;
  }
  await tx
    .updateTable('deployment_backend')
    .set({ selector: toJson(row.left), updated_at: changedAt(row, now) })
    .where('id', '=', row.id)
    .execute();
}

async function writeDeployment({ tx, now }: Act, id: string): Promise<void> {
  const row = await tx
    .selectFrom('deployment')
    .selectAll()
    .where('id', '=', id)
    .forUpdate()
    .executeTakeFirstOrThrow();
  const { left } = await tx
    .selectFrom('deployment_backend')
    .select((eb) => eb.fn.countAll<number>().as('left'))
    .where('deployment_id', '=', id)
    .executeTakeFirstOrThrow();
  if (left === 0) {
    await tx.deleteFrom('deployment').where('id', '=', id).execute();
    return;
  }
  await tx
    .updateTable('deployment')
    .set({ generation: row.generation + 1, updated_at: changedAt(row, now) })
    .where('id', '=', id)
    .execute();
}

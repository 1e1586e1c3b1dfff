/** backend-restart: the driver's process ends and is started again, which also ends a quarantine. */
import type { Caller } from '@cyborg/model/caller';
import { ServiceError } from '@cyborg/model/errors';
import { sql } from 'kysely';

import { judgeRestart } from '../deployments/judge-restart.ts';
import { addHostOperation } from '../deployments/new-operation.ts';
import type { ConductorDeps, Tx } from '../deps.ts';
import { dryRun, type Change, type DryRunView } from '../dry-run.ts';
import { checkIfMatch } from '../etag.ts';
import type { DryRunQuery, Input } from '../handler.ts';
import { actOnce } from '../idempotency.ts';
import type { OperationView } from '../operations/read-operations.ts';
import { recordEvents } from '../record-event.ts';
import { scopeOf } from '../scope.ts';
import type { Act } from '../transaction.ts';
import { findBackend, type BackendRow } from './find-backend.ts';

export type RestartInput = Input<{ readonly backend: string }, DryRunQuery>;

/** @throws ServiceError `backend-not-found`, `stale-edit`; `wrong-state` when it is leaving; `in-use` while a card is written. */
export async function restartBackend(
  deps: ConductorDeps,
  caller: Caller,
  { params, query, ifMatch, idempotencyKey: key }: RestartInput,
): Promise<OperationView | DryRunView> {
  const find = async ({ tx }: Act, isLocked: boolean): Promise<BackendRow> => {
    const row = await findBackend(tx, scopeOf(caller), { ...params, isLocked });
    checkIfMatch(ifMatch, row, `backend ${nameOf(row)}`);
    await check(tx, row);
    return row;
  };
  if (query.dry_run === true) {
    return dryRun(deps, async (running) => changesOf(running.tx, await find(running, false)));
  }
  const path = `/v3/backends/${params.backend}/restart`;
  return actOnce(deps, { caller, method: 'POST', path, key, body: null }, async (running) =>
    restart(deps, running, { caller, row: await find(running, true) }),
  );
}

function nameOf({ host_name: host, name }: BackendRow): string {
  return `${host}@${name}`;
}

async function check(tx: Tx, row: BackendRow): Promise<void> {
  if (row.state === 'removing') {
    throw new ServiceError(
      'wrong-state',
      `Backend ${nameOf(row)} is being uninstalled: there is nothing to restart.`,
    );
  }
  const written = await tx
    .selectFrom('accelerator')
    .innerJoin('backend', 'backend.id', 'accelerator.backend_id')
    .select(['accelerator.name', 'backend.name as backend'])
    .where('backend.installation_id', '=', row.installation_id)
    .where('accelerator.state', '=', 'updating')
    .orderBy('accelerator.name')
    .limit(1)
    .executeTakeFirst();
  if (written === undefined) return;
  throw new ServiceError(
    'in-use',
    `An image is being written into ${written.name} of backend ${row.host_name}@${written.backend}, and a restart of driver ${row.driver_id} would break that off: wait for it (\`cyborg operation-list --kind program-accelerator\`).`,
  );
}

async function changesOf(tx: Tx, row: BackendRow): Promise<Change[]> {
  const others = await tx
    .selectFrom('backend')
    .select('name')
    .where('installation_id', '=', row.installation_id)
    .where('id', '<>', row.id)
    .orderBy('name')
    .execute();
  const names = others.map(({ name }) => name).join(', ');
  const more = names === '' ? '' : `; it serves ${names} as well`;
  const quarantine = row.quarantined_at === null ? '' : ', which ends its quarantine';
  const change = `driver ${row.driver_id} on ${row.host_name} is restarted${quarantine}${more}`;
  return [{ subject_kind: 'backend', subject_id: row.id, change }];
}

async function restart(
  deps: ConductorDeps,
  running: Act,
  { caller, row }: { readonly caller: Caller; readonly row: BackendRow },
): Promise<OperationView> {
  const { tx } = running;
  const { restart: number } = await tx
    .updateTable('installation')
    .set({ restart_requested: sql<number>`restart_requested + 1` })
    .where('id', '=', row.installation_id)
    .returning('restart_requested as restart')
    .executeTakeFirstOrThrow();
  const { discovery } = await tx
    .updateTable('backend')
    .set({ discovery_requested: sql<number>`discovery_requested + 1` })
    .where('id', '=', row.id)
    .returning('discovery_requested as discovery')
    .executeTakeFirstOrThrow();
  await recordEvents(running, [
    {
      kind: 'backend.restart-requested',
      subjectKind: 'backend',
      subjectId: row.id,
      hostId: row.host_id,
      userId: caller.userId,
      data: { name: row.name, host: row.host_name, driver_id: row.driver_id },
    },
  ]);
  running.wakeUps.add(`host:${row.host_id}`);
  const target = { host: row.host_name, backend: row.name, backend_id: row.id };
  const subject = { targets: [{ ...target, restart: number, discovery }] };
  return addHostOperation(deps, running, {
    caller,
    kind: 'restart-backend',
    subject,
    results: await judgeRestart(running, subject),
  });
}

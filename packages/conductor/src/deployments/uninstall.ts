/** DELETE deployment: all of it, of some hosts, or one backend; what is in use stands in the way unless an admin forces. */
import { isAdmin } from '@cyborg/model/caller';
import { ServiceError } from '@cyborg/model/errors';
import { toJson } from '@cyborg/store/json';
import { sql } from 'kysely';

import type { ConductorDeps } from '../deps.ts';
import { changedAt } from '../etag.ts';
import { notFound } from '../hosts/find-host.ts';
import type { OperationView } from '../operations/read-operations.ts';
import { recordEvents } from '../record-event.ts';
import { scopeOf } from '../scope.ts';
import type { Act } from '../transaction.ts';
import { deploymentOf, namedHosts, type DeploymentContext } from './context.ts';
import { judgeUninstall } from './judge.ts';
import { addHostOperation } from './new-operation.ts';
import {
  drainOnHosts,
  listLeaving,
  removeOnHosts,
  withholdFree,
  type RemovalTarget,
} from './removing.ts';
import { selects, without } from './selectors.ts';
import { detachHeld, orphanHeld, refuseInMotion, refuseNovas } from './uninstall-holders.ts';
import { inUse, lockUses, type Use } from './users.ts';

export interface UninstallQuery {
  readonly host?: readonly string[] | undefined;
  readonly backend?: string | undefined;
  /** What is in use is detached first. */
  readonly force?: boolean | undefined;
  /** What is in use stays attached, without its driver. */
  readonly keep_attached?: boolean | undefined;
}

export interface UninstallPlan {
  /** Backend names that go. */
  readonly names: readonly string[];
  /** Hosts that they go from; undefined: from all, and from those to come. */
  readonly hostIds: readonly string[] | undefined;
  readonly targets: readonly RemovalTarget[];
  /** Only with force: what is in use. */
  readonly forced: readonly Use[];
  readonly isKept: boolean;
}

/** Only reads, but for the locks that `isLocked` asks for. */
export async function planUninstall(
  { tx }: Act,
  context: DeploymentContext,
  { query, isLocked }: { readonly query: UninstallQuery; readonly isLocked: boolean },
): Promise<UninstallPlan> {
  const driverId = context.known.driver.id;
  const isKept = query.keep_attached === true;
  if ((query.force === true || isKept) && !isAdmin(context.caller)) {
    const key = isKept ? 'keep_attached' : 'force';
    throw new ServiceError('forbidden', `${key}: only an admin may take away what is in use.`);
  }
  const draining = await listDraining(tx, driverId);
  if (draining.length === 0) deploymentOf(context);
  const names = namesOf(context, query, draining);
  const hostIds = hostsOf(context, query, names);
  // Before the backends, as a report of their host does.
  if (isLocked) {
    await sql`select id from installation where driver_id = ${driverId}
      order by id for update`.execute(tx);
  }
  const { rows } = await sql<RemovalTarget>`
    select h.name as host, b.name as backend, b.id as backend_id, b.installation_id, b.host_id
    from backend b join host h on h.id = b.host_id
    where b.driver_id = ${driverId} and b.state <> 'removing'
      and b.name = any(${names}::text[])
      and (${hostIds === undefined} or b.host_id = any(${hostIds ?? []}::uuid[]))
    order by h.name, b.name ${isLocked ? sql`for update of b` : sql``}`.execute(tx);
  refuseAbsent(context, { names, hostIds: query.host === undefined ? [] : (hostIds ?? []), rows });
  const backendIds = rows.map(({ backend_id }) => backend_id);
  const forced = await lockUses(tx, { backendIds, isLocked });
  refuseUses(context, query, forced);
  return { names, hostIds, targets: rows, forced, isKept };
}

/** @throws ServiceError `in-use` with the users; `wrong-state` for what cannot be kept just now. */
function refuseUses(
  { caller, known }: DeploymentContext,
  { force, keep_attached: keep }: UninstallQuery,
  uses: readonly Use[],
): void {
  if (uses.length === 0) return;
  const driverId = known.driver.id;
  if (keep === true) return refuseInMotion(uses);
  if (force === true) return refuseNovas(uses, { caller, driverId });
  throw inUse(uses, {
    scope: scopeOf(caller),
    verb: `uninstall driver ${driverId}`,
    wayOut: isAdmin(caller)
      ? 'Detach them first, have them detached (`--force`), or leave them attached without their driver (`--keep-attached`).'
      : 'Detach them first, or ask an admin.',
  });
}

/** Names of backends that a forced uninstall of before has left until they are empty. */
async function listDraining(tx: Act['tx'], driverId: string): Promise<string[]> {
  const rows = await tx
    .selectFrom('backend')
    .select('name')
    .distinct()
    .where('driver_id', '=', driverId)
    .where('state', '=', 'draining')
    .orderBy('name')
    .execute();
  return rows.map(({ name }) => name);
}

/** A host that was named must have something to uninstall, or be meant to get it. */
function refuseAbsent(
  context: DeploymentContext,
  {
    names,
    hostIds,
    rows,
  }: {
    readonly names: readonly string[];
    readonly hostIds: readonly string[];
    readonly rows: readonly { readonly host_id: string }[];
  },
): void {
  const wished = context.backends.filter(({ name }) => names.includes(name));
  const absent = context.hosts.find(
    (host) =>
      hostIds.includes(host.id) &&
      !rows.some(({ host_id }) => host_id === host.id) &&
      !wished.some(({ selector }) => selects(selector, host)),
  );
  if (absent === undefined) return;
  const { id } = context.known.driver;
  const [only, ...more] = names;
  const what =
    only !== undefined && more.length === 0 && context.backends.length > 1
      ? `Backend ${only} of driver ${id}`
      : `Driver ${id}`;
  throw new ServiceError(
    'deployment-not-found',
    `${what} is not installed on host ${absent.name}: \`cyborg deployment-show ${id}\` tells where it is.`,
  );
}

function namesOf(
  context: DeploymentContext,
  { backend }: UninstallQuery,
  draining: readonly string[],
): string[] {
  const names = [...new Set([...context.backends.map(({ name }) => name), ...draining])];
  if (backend === undefined) return names;
  if (names.includes(backend)) return [backend];
  throw notFound('backend-not-found', { noun: 'backend of the deployment', name: backend, names });
}

/** A manager without a choice uninstalls from the granted hosts. */
function hostsOf(
  context: DeploymentContext,
  { host, backend }: UninstallQuery,
  names: readonly string[],
): readonly string[] | undefined {
  if (host !== undefined && host.length > 0) {
    return namedHosts(context, { hosts: host, backend: backend ?? null }).map(({ id }) => id);
  }
  if (isAdmin(context.caller)) return undefined;
  const granted = context.hosts.filter(({ id }) => names.every((name) => context.mayUse(id, name)));
  if (granted.length > 0) return granted.map(({ id }) => id);
  throw new ServiceError(
    'host-not-found',
    'No host is granted to your project for this driver: name a backend that is, or ask an admin.',
  );
}

export async function uninstall(
  deps: ConductorDeps,
  running: Act,
  { context, query }: { readonly context: DeploymentContext; readonly query: UninstallQuery },
): Promise<OperationView> {
  const plan = await planUninstall(running, context, { query, isLocked: true });
  const { caller } = context;
  const { targets, forced: uses, isKept } = plan;
  await withholdFree(running, targets);
  if (isKept) await orphanHeld(deps, running, { caller, uses });
  else await detachHeld(deps, running, { caller, uses });
  await shrinkDeployment(running, context, plan);
  const used = new Set(isKept ? [] : uses.map(({ backend_id }) => backend_id));
  await removeOnHosts(
    running,
    targets.filter(({ backend_id }) => !used.has(backend_id)),
  );
  await drainOnHosts(
    running,
    targets.filter(({ backend_id }) => used.has(backend_id)),
  );
  await tellUninstall(running, context, plan);
  const subject = {
    driver_id: context.known.driver.id,
    backends: plan.names,
    targets: targets.map(({ host, backend, backend_id }) => ({ host, backend, backend_id })),
    installations: await listLeaving(running, targets),
  };
  return addHostOperation(deps, running, {
    caller,
    kind: 'uninstall-driver',
    subject,
    results: await judgeUninstall(running, subject),
  });
}

async function tellUninstall(
  running: Act,
  { caller, known }: DeploymentContext,
  { names, hostIds, forced, isKept }: UninstallPlan,
): Promise<void> {
  const held = forced.map(({ id, instance_id }) => ({ accelerator_id: id, instance_id }));
  await recordEvents(running, [
    {
      kind: forced.length > 0 ? 'driver.forced-uninstall' : 'driver.uninstalled',
      subjectKind: 'driver',
      subjectId: known.driver.id,
      userId: caller.userId,
      projectId: caller.projectId,
      data: {
        backends: names,
        hosts: hostIds === undefined ? 'all' : hostIds,
        kept: isKept ? held : [],
        detached: isKept ? [] : held,
      },
    },
  ]);
}

/** The roll-out follows what stays written here: a host that was uninstalled from is left out from now on. */
async function shrinkDeployment(
  { tx, now }: Act,
  context: DeploymentContext,
  { names, hostIds }: UninstallPlan,
): Promise<void> {
  const { deployment } = context;
  if (deployment === undefined) return;
  let left = context.backends.length;
  for (const row of context.backends.filter(({ name }) => names.includes(name))) {
    const selector = hostIds === undefined ? undefined : without(row.selector, hostIds);
    if (selector === undefined) {
      left -= 1;
      await tx.deleteFrom('deployment_backend').where('id', '=', row.id).execute();
    } else {
      await tx
        .updateTable('deployment_backend')
        .set({ selector: toJson(selector), updated_at: changedAt(row, now) })
        .where('id', '=', row.id)
        .execute();
    }
  }
  if (left === 0) await tx.deleteFrom('deployment').where('id', '=', deployment.id).execute();
  else {
    await tx
      .updateTable('deployment')
      .set({ generation: deployment.generation + 1, updated_at: changedAt(deployment, now) })
      .where('id', '=', deployment.id)
      .execute();
  }
}

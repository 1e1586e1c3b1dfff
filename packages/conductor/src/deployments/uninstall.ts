/** DELETE deployment: all of it, of some hosts, or one backend; what is in use stands in the way unless an admin forces. */
import { acceleratorLifecycle, type AcceleratorEvent } from '@cyborg/model/accelerator-lifecycle';
import { isAdmin } from '@cyborg/model/caller';
import { ServiceError } from '@cyborg/model/errors';
import { installationLifecycle } from '@cyborg/model/installation-lifecycle';
import { nextState } from '@cyborg/model/lifecycle';
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
import { judgeUninstall, type UninstallTarget } from './judge.ts';
import { addHostOperation } from './new-operation.ts';
import { selects, without } from './selectors.ts';
import { inUse, lockUses, type Use } from './users.ts';

export interface UninstallQuery {
  readonly host?: readonly string[] | undefined;
  readonly backend?: string | undefined;
  readonly force?: boolean | undefined;
}

export interface UninstallPlan {
  /** Backend names that go. */
  readonly names: readonly string[];
  /** Hosts that they go from; undefined: from all, and from those to come. */
  readonly hostIds: readonly string[] | undefined;
  readonly targets: readonly (UninstallTarget & {
    readonly installation_id: string;
    readonly host_id: string;
  })[];
  /** Only with force: what is kept without its driver. */
  readonly forced: readonly Use[];
}

/** Only reads, but for the locks that `isLocked` asks for. */
export async function planUninstall(
  { tx }: Act,
  context: DeploymentContext,
  { query, isLocked }: { readonly query: UninstallQuery; readonly isLocked: boolean },
): Promise<UninstallPlan> {
  const deployment = deploymentOf(context);
  const isForced = query.force === true;
  if (isForced && !isAdmin(context.caller)) {
    throw new ServiceError('forbidden', 'force: only an admin may take away what is in use.');
  }
  const names = namesOf(context, query);
  const hostIds = hostsOf(context, query, names);
  // Before the backends, as a report of their host does.
  if (isLocked) {
    await sql`select id from installation where driver_id = ${deployment.driver_id}
      order by id for update`.execute(tx);
  }
  const { rows } = await sql<UninstallPlan['targets'][number]>`
    select h.name as host, b.name as backend, b.id as backend_id, b.installation_id, b.host_id
    from backend b join host h on h.id = b.host_id
    where b.driver_id = ${deployment.driver_id} and b.state <> 'removing'
      and b.name = any(${names}::text[])
      and (${hostIds === undefined} or b.host_id = any(${hostIds ?? []}::uuid[]))
    order by h.name, b.name ${isLocked ? sql`for update of b` : sql``}`.execute(tx);
  refuseAbsent(context, { names, hostIds: query.host === undefined ? [] : (hostIds ?? []), rows });
  const backendIds = rows.map(({ backend_id }) => backend_id);
  const uses = await lockUses(tx, { backendIds, isLocked });
  if (uses.length > 0 && !isForced) {
    throw inUse(uses, {
      scope: scopeOf(context.caller),
      verb: `uninstall driver ${deployment.driver_id}`,
      wayOut: isAdmin(context.caller)
        ? 'Detach them first, or force it: they stay attached, without their driver.'
        : 'Detach them first, or ask an admin.',
    });
  }
  refuseInMotion(uses);
  return { names, hostIds, targets: rows, forced: uses };
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

/** What is being given or cleaned has an order on its way to the host: a moment later it is one thing or the other. */
function refuseInMotion(uses: readonly Use[]): void {
  const moving = uses.find(({ state }) => state === 'reserved' || state === 'updating');
  if (moving === undefined) return;
  throw new ServiceError(
    'wrong-state',
    `Accelerator ${moving.name} on ${moving.host} is ${moving.state}: wait until that is over, then force it again.`,
  );
}

function namesOf(context: DeploymentContext, { backend }: UninstallQuery): string[] {
  const names = context.backends.map(({ name }) => name);
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
  await withholdFree(running, plan);
  await orphanHeld(running, context, plan);
  await shrinkDeployment(running, context, plan);
  const installations = await removeOnHosts(running, plan);
  const { driver } = context.known;
  await recordEvents(running, [
    {
      kind: plan.forced.length > 0 ? 'driver.forced-uninstall' : 'driver.uninstalled',
      subjectKind: 'driver',
      subjectId: driver.id,
      userId: context.caller.userId,
      projectId: context.caller.projectId,
      data: {
        backends: plan.names,
        hosts: plan.hostIds === undefined ? 'all' : plan.hostIds,
        kept: plan.forced.map(({ id, instance_id }) => ({ accelerator_id: id, instance_id })),
      },
    },
  ]);
  for (const { host_id } of plan.targets) running.wakeUps.add(`host:${host_id}`);
  const targets = plan.targets.map(({ host, backend, backend_id }) => ({
    host,
    backend,
    backend_id,
  }));
  const subject = { driver_id: driver.id, backends: plan.names, targets, installations };
  return addHostOperation(deps, running, {
    caller: context.caller,
    kind: 'uninstall-driver',
    subject,
    results: await judgeUninstall(running, subject),
  });
}

/** An attach that waits for one of these rows must find it taken off the list when it gets it. */
async function withholdFree(running: Act, { targets }: UninstallPlan): Promise<void> {
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

const forcedEvents: Readonly<Record<string, AcceleratorEvent>> = {
  attached: 'orphan',
  cleaning: 'fail-cleaning',
};

async function orphanHeld(
  running: Act,
  { caller }: DeploymentContext,
  { forced }: UninstallPlan,
): Promise<void> {
  const reason = 'its driver was uninstalled by force';
  for (const use of forced) {
    const event = forcedEvents[use.state];
    if (event === undefined) continue;
    const from = use.state === 'attached' ? 'attached' : 'cleaning';
    const state = nextState(acceleratorLifecycle, from, event);
    await running.tx
      .updateTable('accelerator')
      .set({ state, reason, updated_at: running.now })
      .where('id', '=', use.id)
      .execute();
    await recordEvents(running, [
      {
        kind: `accelerator.${state}`,
        subjectKind: 'accelerator',
        subjectId: use.id,
        hostId: use.host_id,
        projectId: use.project_id,
        userId: caller.userId,
        data: { reason, instance_id: use.instance_id, attachment_id: use.attachment_id },
      },
    ]);
  }
}

/** The roll-out follows what stays written here: a host that was uninstalled from is left out from now on. */
async function shrinkDeployment(
  { tx, now }: Act,
  context: DeploymentContext,
  { names, hostIds }: UninstallPlan,
): Promise<void> {
  const deployment = deploymentOf(context);
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

async function removeOnHosts(
  running: Act,
  { targets }: UninstallPlan,
): Promise<{ readonly id: string; readonly host: string }[]> {
  const { tx, now } = running;
  await sql`update backend set state = 'removing', reason = null, generation = generation + 1,
      updated_at = ${now}
    where id = any(${targets.map(({ backend_id }) => backend_id)}::uuid[])`.execute(tx);
  const ids = [...new Set(targets.map(({ installation_id }) => installation_id))];
  const empty = await tx
    .selectFrom('installation')
    .innerJoin('host', 'host.id', 'installation.host_id')
    .select(['installation.id', 'installation.state', 'host.name as host', 'host.id as host_id'])
    .where('installation.id', '=', sql<string>`any(${ids}::uuid[])`)
    .where(
      sql<boolean>`not exists (select from backend b where b.installation_id = installation.id and b.state <> 'removing')`,
    )
    .forUpdate('installation')
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
  return empty.map(({ id, host }) => ({ id, host }));
}

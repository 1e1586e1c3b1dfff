/** PUT deployment: what is wished is there afterwards; what was there stays. */
import { ServiceError } from '@cyborg/model/errors';
import { toJson } from '@cyborg/store/json';
import type { HostSelector, Rollout } from '@cyborg/store/schema-deployments';
import { isDeepStrictEqual } from 'node:util';

import type { ConductorDeps } from '../deps.ts';
import { approvedVersion } from '../drivers/find-driver.ts';
import { changedAt } from '../etag.ts';
import type { OperationView } from '../operations/read-operations.ts';
import { recordEvents } from '../record-event.ts';
import type { Act } from '../transaction.ts';
import { checkNames, checkOverlaps, toPlanned } from './conflicts.ts';
import { isServed } from './bare.ts';
import { shownHosts, type DeploymentBackendRow, type DeploymentContext } from './context.ts';
import { judgeInstall } from './judge.ts';
import { addHostOperation } from './new-operation.ts';
import { isSameSelector, selects, union } from './selectors.ts';
import { isBareInstall, readWishes, type InstallBody, type Wish } from './wishes.ts';

export interface InstallPlan {
  readonly version: string;
  readonly rollout: Rollout | undefined;
  readonly added: readonly Wish[];
  readonly widened: readonly {
    readonly row: DeploymentBackendRow;
    readonly selector: HostSelector;
  }[];
  /** Backends that the wish is about, whether anything changes or not. */
  readonly names: readonly string[];
  readonly isSame: boolean;
  /** No host gets the driver that did not have it: at most, hosts that join later will. */
  readonly isServed: boolean;
}

/** Only reads. @throws ServiceError of every kind of refusal. */
export async function planInstall(
  { tx }: Act,
  context: DeploymentContext,
  body: InstallBody,
): Promise<InstallPlan> {
  const { deployment, known } = context;
  const version = approvedVersion(known, body.version ?? deployment?.version);
  if (deployment !== undefined && version.version !== deployment.version) {
    throw new ServiceError(
      'use-update-driver',
      `Driver ${known.driver.id} is installed in version ${deployment.version}: use update-driver to go to ${version.version}.`,
      { extra: { installed_version: deployment.version } },
    );
  }
  const wishes = readWishes(context, version.manifest, body);
  const added = wishes.filter(({ name }) => keptOf(context, name) === undefined);
  const widened = wishes.flatMap((wish) => widen(context, wish));
  const rollout = rolloutOf(body);
  const isRolloutSame =
    rollout === undefined || isDeepStrictEqual(rollout, deployment?.rollout ?? {});
  await checkPlan(tx, context, { added, widened, manifest: version.manifest });
  return {
    version: version.version,
    added,
    widened,
    names: wishes.map(({ name }) => name),
    rollout,
    isSame: deployment !== undefined && added.length === 0 && widened.length === 0 && isRolloutSame,
    isServed: deployment !== undefined && isBareInstall(body) && areServed(context, wishes),
  };
}

function areServed(context: DeploymentContext, wishes: readonly Wish[]): boolean {
  return context.hosts.every(
    (host) => isServed(context, host) || !wishes.some(({ selector }) => selects(selector, host)),
  );
}

export function rolloutOf({ rollout }: Pick<InstallBody, 'rollout'>): Rollout | undefined {
  if (rollout === undefined) return undefined;
  const { batch, canary, canary_hosts, pause_seconds, max_failures } = rollout;
  return {
    ...(batch === undefined ? {} : { batch }),
    ...(canary === undefined ? {} : { canary }),
    ...(canary_hosts === undefined ? {} : { canary_hosts }),
    ...(pause_seconds === undefined ? {} : { pause_seconds }),
    ...(max_failures === undefined ? {} : { max_failures }),
  };
}

function keptOf(context: DeploymentContext, name: string): DeploymentBackendRow | undefined {
  return context.backends.find((row) => row.name === name);
}

/** A backend that exists gets more hosts; another kind or configuration under its name is refused. */
function widen(context: DeploymentContext, wish: Wish): InstallPlan['widened'] {
  const row = keptOf(context, wish.name);
  if (row === undefined) return [];
  if (wish.isConfigGiven && !isDeepStrictEqual(wish.config, row.config)) {
    throw new ServiceError(
      'use-update-driver',
      `backend ${row.name}: is installed with another configuration: use update-driver to change it, or choose another name.`,
    );
  }
  const selector = union(row.selector, wish.selector, context.hosts);
  if (selector === undefined) {
    throw new ServiceError(
      'already-exists',
      `backend ${row.name}: exists for hosts with other labels: choose another name.`,
    );
  }
  return isSameSelector(selector, row.selector) ? [] : [{ row, selector }];
}

async function checkPlan(
  tx: Act['tx'],
  context: DeploymentContext,
  given: Pick<InstallPlan, 'added' | 'widened'> & {
    readonly manifest: Parameters<typeof toPlanned>[2];
  },
): Promise<void> {
  const driverId = context.known.driver.id;
  const selectors = new Map(given.widened.map(({ row, selector }) => [row.name, selector]));
  const kept = context.backends.map((row) =>
    toPlanned(
      { ...row, selector: selectors.get(row.name) ?? row.selector },
      driverId,
      given.manifest,
    ),
  );
  const added = given.added.map((wish) => ({
    name: wish.name,
    driverId,
    kind: wish.kind.kind,
    config: wish.filled,
    selector: wish.selector,
  }));
  const changed = new Set([...selectors.keys(), ...added.map(({ name }) => name)]);
  const ours = [...kept, ...added];
  checkNames(
    context,
    ours.filter(({ name }) => changed.has(name)),
  );
  const others = context.others.map((row) => toPlanned(row, row.driver_id, undefined));
  await checkOverlaps(tx, context, { all: [...ours, ...others], changed });
}

export async function install(
  deps: ConductorDeps,
  running: Act,
  { context, body }: { readonly context: DeploymentContext; readonly body: InstallBody },
): Promise<OperationView> {
  const plan = await planInstall(running, context, body);
  if (!plan.isSame) await writeInstall(deps, running, { context, plan });
  const driver_id = context.known.driver.id;
  const subject = {
    driver_id,
    version: plan.version,
    backends: plan.names,
    ...shownHosts(context, plan.names),
  };
  const results = await judgeInstall(running, subject);
  // A wish that grew, say from this host to every host, while every host has what it asks for.
  const isEverywhere =
    plan.isServed || (results.length > 0 && results.every((it) => it.outcome === 'succeeded'));
  return addHostOperation(deps, running, {
    caller: context.caller,
    kind: 'install-driver',
    subject: plan.isSame || isEverywhere ? { ...subject, already_installed: true } : subject,
    results,
  });
}

async function writeInstall(
  deps: ConductorDeps,
  running: Act,
  { context, plan }: { readonly context: DeploymentContext; readonly plan: InstallPlan },
): Promise<void> {
  const { tx, now } = running;
  const { caller, known } = context;
  const deploymentId = await writeDeployment(deps, running, { context, plan });
  for (const wish of plan.added) {
    await tx
      .insertInto('deployment_backend')
      .values({
        id: deps.rng.uuid(),
        deployment_id: deploymentId,
        name: wish.name,
        kind: wish.kind.kind,
        config: toJson(wish.config),
        selector: toJson(wish.selector),
        created_by_project: caller.projectId,
        created_at: now,
      })
      .execute();
  }
  for (const { row, selector } of plan.widened) {
    await tx
      .updateTable('deployment_backend')
      .set({ selector: toJson(selector), updated_at: changedAt(row, now) })
      .where('id', '=', row.id)
      .execute();
  }
  await recordEvents(running, [
    {
      kind: 'driver.installed',
      subjectKind: 'driver',
      subjectId: known.driver.id,
      userId: caller.userId,
      projectId: caller.projectId,
      data: { version: plan.version, backends: plan.names },
    },
  ]);
}

async function writeDeployment(
  deps: ConductorDeps,
  { tx, now }: Act,
  { context, plan }: { readonly context: DeploymentContext; readonly plan: InstallPlan },
): Promise<string> {
  const { deployment, known } = context;
  if (deployment === undefined) {
    const id = deps.rng.uuid();
    await tx
      .insertInto('deployment')
      .values({
        id,
        driver_id: known.driver.id,
        version: plan.version,
        rollout: toJson(plan.rollout ?? {}),
        created_at: now,
      })
      .execute();
    return id;
  }
  await tx
    .updateTable('deployment')
    .set({
      generation: deployment.generation + 1,
      rollout: toJson(plan.rollout ?? deployment.rollout),
      updated_at: changedAt(deployment, now),
    })
    .where('id', '=', deployment.id)
    .execute();
  return deployment.id;
}

/** PATCH deployment: another version, another pace, other configuration keys. */
import { isDeepStrictEqual } from 'node:util';

import { isAdmin } from '@cyborg/model/caller';
import { ServiceError } from '@cyborg/model/errors';
import { toJson } from '@cyborg/store/json';
import type { BackendConfig, Rollout } from '@cyborg/store/schema-deployments';

import type { ConductorDeps } from '../deps.ts';
import { approvedVersion, type VersionRow } from '../drivers/find-driver.ts';
import { forced, refuseForceOf, type ForceQuery } from '../disabling.ts';
import { changedAt, checkIfMatch } from '../etag.ts';
import { notFound } from '../hosts/find-host.ts';
import type { OperationView } from '../operations/read-operations.ts';
import { recordEvents, type NewEvent } from '../record-event.ts';
import { scopeOf } from '../scope.ts';
import type { Act } from '../transaction.ts';
import { checkConfig, checkDelegable, kindOf, mergeConfig } from './config.ts';
import { checkOverlaps, toPlanned } from './conflicts.ts';
import {
  deploymentOf,
  shownHosts,
  type DeploymentBackendRow,
  type DeploymentContext,
  type DeploymentRow,
} from './context.ts';
import { rolloutOf } from './install.ts';
import { judgeInstall } from './judge.ts';
import { addHostOperation } from './new-operation.ts';
import { overtakeOperations } from './overtaken.ts';
import { tryRefusedAgain } from './refused-configs.ts';
import { selects } from './selectors.ts';
import { takenAway } from './taken-away.ts';
import { inUse, lockUses, type Use } from './users.ts';
import { compareVersions } from './versions.ts';
import type { RolloutWish } from './wishes.ts';

/** `rollback`: to the version before, everywhere. `resume`: also after a stop, and tries again where it failed. */
export type RolloutAct = 'rollback' | 'pause' | 'resume';

export interface UpdateBody {
  readonly version?: string | undefined;
  readonly rollout?: RolloutWish | undefined;
  readonly act?: RolloutAct | undefined;
  readonly backends?:
    | readonly { readonly name: string; readonly config: BackendConfig }[]
    | undefined;
}

export interface UpdatePlan {
  readonly deployment: DeploymentRow;
  readonly version: VersionRow;
  readonly rollout: Rollout | undefined;
  readonly configs: readonly {
    readonly row: DeploymentBackendRow;
    readonly config: BackendConfig;
  }[];
  readonly names: readonly string[];
  readonly act: RolloutAct | undefined;
  /** Only with force: what is kept although the new configuration leaves it out. */
  readonly forced: readonly Use[];
}

export interface UpdateInput {
  readonly context: DeploymentContext;
  readonly body: UpdateBody;
  readonly ifMatch: string | undefined;
  readonly query?: ForceQuery;
}

/** Only reads, but for the locks that `isLocked` asks for. Without a field in the body, the wish is the newest approved version. */
export async function planUpdate(
  running: Act,
  input: UpdateInput,
  isLocked = false,
): Promise<UpdatePlan> {
  const { context, body, ifMatch, query = {} } = input;
  refuseForceOf(context.caller, query);
  const deployment = deploymentOf(context);
  checkIfMatch(ifMatch, deployment, `the deployment of ${deployment.driver_id}`);
  const version = approvedVersion(context.known, wantedVersion(deployment, body));
  const changes = (body.backends ?? []).map(({ name, config }) => {
    const row = findRow(context, name);
    return { row, config: mergeConfig(row.config, config) };
  });
  const configs = changes.filter(({ row, config }) => !isDeepStrictEqual(row.config, config));
  checkConfigs(context, { version, configs });
  const isVersionNew = version.version !== deployment.version;
  checkReach(
    context,
    isVersionNew || body.rollout !== undefined || body.act !== undefined
      ? context.backends
      : configs.map(({ row }) => row),
  );
  // The version before is come up to beside this one, and nothing that is held may be missing in it.
  if (isVersionNew && body.act !== 'rollback') {
    await refuseDowngradeInUse(running, context, { deployment, version });
  }
  if (configs.length > 0) await checkRules(running, context, { version, configs });
  const names = body.backends?.map(({ name }) => name) ?? context.backends.map(({ name }) => name);
  const forced = await refuseTaking(running, input, { version, configs, isLocked });
  const rollout = body.act === 'rollback' ? atOnce(deployment, body) : rolloutOf(body);
  return { deployment, version, rollout, configs, names, forced, act: body.act };
}

/** Without a field in the body: the newest approved version. */
function wantedVersion(deployment: DeploymentRow, body: UpdateBody): string | undefined {
  const { act, version, ...others } = body;
  if (act !== undefined && version !== undefined) {
    throw new ServiceError(
      'invalid-input',
      `body.version: ${act} is about versions that are known: leave the version out.`,
      { extra: { field: 'body.version' } },
    );
  }
  if (act === 'rollback') {
    if (deployment.previous_version !== null) return deployment.previous_version;
    if (deployment.rolled_back_from !== null) throw rolledBackAlready(deployment);
    throw new ServiceError(
      'wrong-state',
      `Driver ${deployment.driver_id} has had no version before ${deployment.version} here: there is nothing to go back to.`,
    );
  }
  const isBare = Object.values({ act, version, ...others }).every((value) => value === undefined);
  return isBare ? undefined : (version ?? deployment.version);
}

/** A repeated request must not go forward to the version that was left. */
function rolledBackAlready({
  driver_id: id,
  version,
  rolled_back_from: from,
}: DeploymentRow): ServiceError {
  return new ServiceError(
    'wrong-state',
    `Driver ${id} was rolled back from ${from} to ${version} already: \`cyborg deployment-show ${id}\` says how far that is. To go to another version, name it: \`cyborg update-driver ${id} --version ${from}\`.`,
  );
}

/** What is wrong is taken away everywhere, as many hosts at a time as before. */
function atOnce({ rollout }: DeploymentRow, body: UpdateBody): Rollout {
  return rolloutOf(body) ?? (rollout.batch === undefined ? {} : { batch: rollout.batch });
}

/** Answers what is kept by force. */
async function refuseTaking(
  { tx }: Act,
  { context, query }: UpdateInput,
  given: Pick<UpdatePlan, 'version' | 'configs'> & { readonly isLocked: boolean },
): Promise<readonly Use[]> {
  const { version, configs: changes, isLocked } = given;
  if (changes.length === 0) return [];
  const driverId = context.known.driver.id;
  const uses = await takenAway(tx, { driverId, manifest: version.manifest, changes, isLocked });
  if (uses.length === 0 || query?.force === true) return uses;
  throw inUse(uses, {
    scope: scopeOf(context.caller),
    verb: `change backend ${changes.map(({ row }) => row.name).join(', ')}: its new configuration leaves out what is held`,
    wayOut: isAdmin(context.caller)
      ? 'Detach them first, or force it: they stay attached, and are absent once their driver reports them no more.'
      : 'Detach them first, or ask an admin.',
  });
}

function findRow(context: DeploymentContext, name: string): DeploymentBackendRow {
  const row = context.backends.find((backend) => backend.name === name);
  if (row !== undefined) return row;
  const names = context.backends.map((backend) => backend.name);
  throw notFound('backend-not-found', { noun: 'backend of the deployment', name, names });
}

function checkConfigs(
  context: DeploymentContext,
  { version, configs }: Pick<UpdatePlan, 'version' | 'configs'>,
): void {
  const after = new Map(configs.map(({ row, config }) => [row.name, config]));
  for (const row of context.backends) {
    const kind = kindOf(version.manifest, { backend: row.name, kind: row.kind });
    const config = after.get(row.name) ?? row.config;
    checkConfig(kind, { backend: row.name, config });
    if (isAdmin(context.caller)) continue;
    checkDelegable(kind, { backend: row.name, before: row.config, after: config });
  }
}

/** A manager changes what runs on granted hosts only: other projects' hosts follow the same deployment. */
function checkReach(context: DeploymentContext, rows: readonly DeploymentBackendRow[]): void {
  for (const { name, selector } of rows) {
    const isOpen = selector.kind !== 'hosts' && !isAdmin(context.caller);
    const foreign = context.hosts.some(
      (host) => selects(selector, host) && !context.mayUse(host.id, name),
    );
    if (!isOpen && !foreign) continue;
    throw new ServiceError(
      'forbidden',
      `backend ${name} is also for hosts that are not granted to your project: ask an admin to change it, or install a backend of your own.`,
    );
  }
}

async function refuseDowngradeInUse(
  { tx }: Act,
  context: DeploymentContext,
  { deployment, version }: Pick<UpdatePlan, 'deployment' | 'version'>,
): Promise<void> {
  if (compareVersions(version.version, deployment.version) > 0) return;
  const backends = await tx
    .selectFrom('backend')
    .select('id')
    .where('driver_id', '=', deployment.driver_id)
    .execute();
  const ids = backends.map(({ id }) => id);
  const uses = await lockUses(tx, { backendIds: ids, isLocked: false });
  if (uses.length === 0) return;
  throw inUse(uses, {
    scope: scopeOf(context.caller),
    verb: `go back from ${deployment.version} to ${version.version}`,
    wayOut: 'Detach them first.',
  });
}

function checkRules(
  { tx }: Act,
  context: DeploymentContext,
  { version, configs }: Pick<UpdatePlan, 'version' | 'configs'>,
): Promise<void> {
  const driverId = context.known.driver.id;
  const after = new Map(configs.map(({ row, config }) => [row.name, config]));
  const ours = context.backends.map((row) =>
    toPlanned({ ...row, config: after.get(row.name) ?? row.config }, driverId, version.manifest),
  );
  const others = context.others.map((row) => toPlanned(row, row.driver_id, undefined));
  return checkOverlaps(tx, context, { all: [...ours, ...others], changed: new Set(after.keys()) });
}

export async function update(
  deps: ConductorDeps,
  running: Act,
  input: UpdateInput,
): Promise<OperationView> {
  const plan = await planUpdate(running, input, true);
  if (plan.act === 'pause') return pause(deps, running, { plan, context: input.context });
  const isSame =
    plan.act === undefined &&
    plan.version.version === plan.deployment.version &&
    plan.configs.length === 0 &&
    (plan.rollout === undefined || isDeepStrictEqual(plan.rollout, plan.deployment.rollout));
  if (!isSame) await writeUpdate(running, plan, input.context);
  const driver_id = plan.deployment.driver_id;
  const subject = {
    driver_id,
    version: plan.version.version,
    backends: plan.names,
    ...shownHosts(input.context, plan.names),
  };
  const results = await judgeInstall(running, subject);
  const operation = await addHostOperation(deps, running, {
    caller: input.context.caller,
    kind: 'update-driver',
    subject: isSame ? { ...subject, already_installed: true } : subject,
    // What was written takes its way through the roll-out first.
    results: isSame ? results : results.map((row) => ({ ...row, outcome: 'pending' })),
  });
  const changed = plan.configs.map(({ row }) => row.name);
  await overtakeOperations(running, { driverId: driver_id, by: operation.id, changed });
  return operation;
}

/** What has begun goes on; nothing more is begun. */
async function pause(
  deps: ConductorDeps,
  running: Act,
  { plan, context }: { readonly plan: UpdatePlan; readonly context: DeploymentContext },
): Promise<OperationView> {
  const { deployment } = plan;
  const { caller } = context;
  await running.tx
    .updateTable('deployment')
    .set({ rollout_paused: true, updated_at: changedAt(deployment, running.now) })
    .where('id', '=', deployment.id)
    .execute();
  const { driver_id, version } = deployment;
  await recordEvents(running, [
    {
      kind: 'driver.rollout-paused',
      subjectKind: 'driver',
      subjectId: driver_id,
      userId: caller.userId,
      projectId: caller.projectId,
      data: { version },
    },
  ]);
  const subject = { driver_id, version, backends: plan.names, ...shownHosts(context, plan.names) };
  return addHostOperation(deps, running, { caller, kind: 'update-driver', subject, results: [] });
}

/** What went wrong before says nothing of what is wanted now. */
async function forgetFailures({ tx }: Act, driverId: string): Promise<void> {
  await tx
    .updateTable('installation')
    .set({ failed_version: null, failed_reason: null })
    .where('driver_id', '=', driverId)
    .where('failed_version', 'is not', null)
    .execute();
}

const updateEvents = {
  rollback: 'driver.rolled-back',
  resume: 'driver.rollout-resumed',
} as const;

function eventOf({ act, forced: kept }: UpdatePlan): NewEvent['kind'] {
  if (act === 'rollback' || act === 'resume') return updateEvents[act];
  return kept.length > 0 ? 'driver.forced-update' : 'driver.updated';
}

/** One step back is known: from there, nothing is before. */
function cameFrom(
  version: string,
  act: RolloutAct | undefined,
): Pick<DeploymentRow, 'previous_version' | 'rolled_back_from'> {
  return act === 'rollback'
    ? { previous_version: null, rolled_back_from: version }
    : { previous_version: version, rolled_back_from: null };
}

async function writeUpdate(
  running: Act,
  plan: UpdatePlan,
  { caller }: DeploymentContext,
): Promise<void> {
  const { tx, now } = running;
  const { deployment, version, rollout, configs, act } = plan;
  const isVersionNew = version.version !== deployment.version;
  await tx
    .updateTable('deployment')
    .set({
      version: version.version,
      ...(isVersionNew && cameFrom(deployment.version, act)),
      ...(rollout !== undefined && { rollout: toJson(rollout) }),
      ...((isVersionNew || act === 'resume') && {
        rollout_paused: false,
        rollout_resume_at: null,
      }),
      generation: deployment.generation + 1,
      updated_at: changedAt(deployment, now),
    })
    .where('id', '=', deployment.id)
    .execute();
  if (isVersionNew || act === 'resume') await forgetFailures(running, deployment.driver_id);
  if (act === 'resume') await tryRefusedAgain(running, { driverId: deployment.driver_id });
  for (const { row, config } of configs) {
    await tx
      .updateTable('deployment_backend')
      .set({ config: toJson(config), updated_at: changedAt(row, now) })
      .where('id', '=', row.id)
      .execute();
  }
  await recordEvents(running, [
    {
      kind: eventOf(plan),
      subjectKind: 'driver',
      subjectId: deployment.driver_id,
      userId: caller.userId,
      projectId: caller.projectId,
      data: {
        version: version.version,
        previous_version: deployment.version,
        rollout: rollout ?? deployment.rollout,
        backends: configs.map(({ row }) => row.name),
        ...(plan.forced.length > 0 && forced(plan.forced)),
      },
    },
  ]);
}

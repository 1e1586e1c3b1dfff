import type { Caller } from '@cyborg/model/caller';

import type { ConductorDeps } from '../deps.ts';
import type { ForceQuery } from '../disabling.ts';
import { dryRun, type Change, type DryRunView } from '../dry-run.ts';
import { checkIfMatch, checkIfMatchAbsent } from '../etag.ts';
import type { DryRunQuery, Handler, Input } from '../handler.ts';
import { idempotently } from '../idempotency.ts';
import type { OperationView } from '../operations/read-operations.ts';
import { act, type Act } from '../transaction.ts';
import { readContext, type DeploymentContext } from './context.ts';
import { install, planInstall } from './install.ts';
import { planUninstall, uninstall, type UninstallQuery } from './uninstall.ts';
import { planUpdate, update, type UpdateBody, type UpdatePlan } from './update.ts';
import { readDeployment, type DeploymentView } from './view.ts';
import type { InstallBody } from './wishes.ts';

type Params = { readonly driver_id: string };
type Acted = OperationView | DryRunView;

export interface DeploymentHandlers {
  readonly showDeployment: Handler<Input<Params>, DeploymentView>;
  readonly installDriver: Handler<Input<Params, DryRunQuery, InstallBody>, Acted>;
  readonly updateDriver: Handler<Input<Params, ForceQuery, UpdateBody>, Acted>;
  readonly uninstallDriver: Handler<Input<Params, DryRunQuery & UninstallQuery>, Acted>;
}

export function makeDeploymentHandlers(deps: ConductorDeps): DeploymentHandlers {
  const locked = (running: Act, caller: Caller, params: Params): Promise<DeploymentContext> =>
    readContext(running.tx, caller, { driverId: params.driver_id, isLocked: true });
  const unlocked = (running: Act, caller: Caller, params: Params): Promise<DeploymentContext> =>
    readContext(running.tx, caller, { driverId: params.driver_id, isLocked: false });
  return {
    showDeployment: (caller, { params }) => readDeployment(deps.db, caller, params.driver_id),

    async installDriver(caller, { params, query, body, ifMatch, idempotencyKey: key }) {
      if (query.dry_run === true) {
        return dryRun(deps, async (running) => {
          const context = await unlocked(running, caller, params);
          checkInstalled(context, ifMatch);
          const plan = await planInstall(running, context, body);
          return plan.isSame
            ? []
            : changes(params, [
                ...plan.added.map(({ name }) => `backend ${name} is installed`),
                ...plan.widened.map(({ row }) => `backend ${row.name} comes to more hosts`),
                ...(plan.rollout === undefined ? [] : ['the roll-out is changed']),
              ]);
        });
      }
      const path = `/v3/drivers/${params.driver_id}/deployment`;
      return act(deps, (running) =>
        idempotently(running, { caller, method: 'PUT', path, key, body }, async () => {
          const context = await locked(running, caller, params);
          checkInstalled(context, ifMatch);
          return install(deps, running, { context, body });
        }),
      );
    },

    async updateDriver(caller, { params, query, body, ifMatch }) {
      if (query.dry_run === true) {
        return dryRun(deps, async (running) => {
          const context = await unlocked(running, caller, params);
          const plan = await planUpdate(running, { context, body, ifMatch, query });
          return changes(params, sentencesOf(plan));
        });
      }
      return act(deps, async (running) => {
        const context = await locked(running, caller, params);
        return update(deps, running, { context, body, ifMatch, query });
      });
    },

    async uninstallDriver(caller, { params, query, ifMatch }) {
      if (query.dry_run === true) {
        return dryRun(deps, async (running) => {
          const context = await unlocked(running, caller, params);
          checkInstalled(context, ifMatch);
          const plan = await planUninstall(running, context, { query, isLocked: false });
          return changes(params, [
            ...plan.targets.map(({ host, backend }) => `backend ${host}@${backend} is removed`),
            ...plan.forced.map(
              ({ name, host }) =>
                `${name} on ${host} ${plan.isKept ? 'stays attached and loses its driver' : 'is detached first'}`,
            ),
          ]);
        });
      }
      return act(deps, async (running) => {
        const context = await locked(running, caller, params);
        checkInstalled(context, ifMatch);
        return uninstall(deps, running, { context, query });
      });
    },
  };
}

/** @throws ServiceError `stale-edit`, also when an ETag is given for a driver that is not installed. */
function checkInstalled(
  { known, deployment }: DeploymentContext,
  ifMatch: string | undefined,
): void {
  const name = `the deployment of ${known.driver.id}`;
  if (deployment === undefined) checkIfMatchAbsent(ifMatch, name);
  else checkIfMatch(ifMatch, deployment, name);
}

const actSentences = {
  rollback: [],
  pause: ['nothing more is begun'],
  resume: ['the roll-out goes on, and is tried again where it failed'],
} as const;

function sentencesOf({ version, deployment, configs, forced, act }: UpdatePlan): string[] {
  const isNew = version.version !== deployment.version;
  return [
    ...(act === undefined ? [] : actSentences[act]),
    ...(isNew ? [`version ${deployment.version} becomes ${version.version}`] : []),
    ...configs.map(({ row }) => `backend ${row.name} gets another configuration`),
    ...forced.map(({ name, host }) => `${name} on ${host} is left out, and kept`),
  ];
}

function changes({ driver_id }: Params, sentences: readonly string[]): Change[] {
  return sentences.map((change) => ({ subject_kind: 'driver', subject_id: driver_id, change }));
}

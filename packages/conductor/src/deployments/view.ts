import { isAdmin, type Caller } from '@cyborg/model/caller';
import type { BackendConfig, Rollout } from '@cyborg/store/schema-deployments';

import type { Db } from '../deps.ts';
import { hostsInScope, scopeOf } from '../scope.ts';
import { deploymentOf, readContext, type DeploymentRow } from './context.ts';
import {
  failedHosts,
  type FailableInstallation,
  type RefusableBackend,
  type RollOutFacts,
} from './roll-out-plan.ts';

export type RolloutState = 'running' | 'paused' | 'stopped' | 'done';

export interface DeploymentView {
  readonly driver_id: string;
  readonly version: string;
  readonly previous_version: string | null;
  readonly rollout: Rollout;
  /** `stopped`: too many hosts have failed, and nothing more is begun. */
  readonly rollout_state: RolloutState;
  readonly backends: readonly {
    readonly name: string;
    readonly kind: string;
    readonly hosts: readonly string[] | null;
    readonly labels: Readonly<Record<string, string>> | null;
    readonly config: BackendConfig;
  }[];
  readonly installations: readonly {
    readonly host: string;
    readonly wanted_version: string;
    readonly running_version: string | null;
    readonly state: string;
    readonly reason: string | null;
    /** The host went back from it to the version that it runs. */
    readonly failed_version: string | null;
    readonly failed_reason: string | null;
  }[];
  readonly created_at: Date;
  readonly updated_at: Date | null;
}

/** Hosts out of the caller's scope are left out. @throws ServiceError `driver-not-found`, `deployment-not-found`. */
export function readDeployment(db: Db, caller: Caller, driverId: string): Promise<DeploymentView> {
  return db
    .transaction()
    .setAccessMode('read only')
    .execute(async (tx) => {
      const context = await readContext(tx, caller, { driverId, isLocked: false });
      const deployment = deploymentOf(context);
      const installations = await tx
        .selectFrom('installation')
        .innerJoin('host', 'host.id', 'installation.host_id')
        .select(['host.name as host', 'wanted_version', 'running_version'])
        .select(['installation.state', 'installation.reason'])
        .select(['failed_version', 'failed_reason', 'host_id'])
        .where('installation.driver_id', '=', driverId)
        .where('installation.state', '<>', 'removed')
        .where(hostsInScope(scopeOf(caller)))
        .orderBy('host.name')
        .execute();
      const refused = await tx
        .selectFrom('backend')
        .innerJoin('host', 'host.id', 'backend.host_id')
        .select(['backend.host_id', 'backend.name', 'kind', 'config'])
        .select(['generation', 'refused_generation'])
        .where('driver_id', '=', driverId)
        .whereRef('refused_generation', '=', 'generation')
        .where(hostsInScope(scopeOf(caller)))
        .execute();
      const isSeen = (hostId: string, name: string): boolean =>
        isAdmin(caller) || context.mayUse(hostId, name);
      return {
        driver_id: driverId,
        version: deployment.version,
        previous_version: deployment.previous_version,
        rollout: deployment.rollout,
        rollout_state: stateOf(deployment, {
          installations,
          wanted: context.backends,
          backends: refused,
        }),
        backends: context.backends.map(({ name, kind, config, selector }) => ({
          name,
          kind,
          hosts:
            selector.kind === 'hosts'
              ? context.hosts
                  .filter(({ id }) => selector.host_ids.includes(id) && isSeen(id, name))
                  .map((host) => host.name)
              : null,
          labels: selector.kind === 'labels' ? selector.labels : null,
          config,
        })),
        installations: installations.map(toShown),
        created_at: deployment.created_at,
        updated_at: deployment.updated_at,
      };
    });
}

type Installation = DeploymentView['installations'][number];

function toShown(row: Installation): Installation {
  const { host, wanted_version, running_version, state, reason, failed_version, failed_reason } =
    row;
  return { host, wanted_version, running_version, state, reason, failed_version, failed_reason };
}

/** Of the hosts in the caller's scope. */
function stateOf(
  { version, rollout, rollout_paused: isPaused }: DeploymentRow,
  {
    installations,
    ...rest
  }: Pick<RollOutFacts, 'wanted'> & {
    readonly installations: readonly (FailableInstallation & {
      readonly running_version: string | null;
    })[];
    readonly backends: readonly RefusableBackend[];
  },
): RolloutState {
  const failed = failedHosts({ version, rollout, installations, ...rest });
  if (failed.length > (rollout.max_failures ?? 0)) return 'stopped';
  if (isPaused) return 'paused';
  const isDone = installations.every(
    ({ state, running_version: running }) => state === 'ready' && running === version,
  );
  return isDone ? 'done' : 'running';
}

/** What a change of a deployment is planned on: the driver's catalogue entry, the deployment, the hosts in reach. */
import { isAdmin, type Caller } from '@cyborg/model/caller';
import { ServiceError } from '@cyborg/model/errors';
import type { DeploymentBackendTable, DeploymentTable } from '@cyborg/store/schema-deployments';
import type { Selectable } from 'kysely';

import type { Tx } from '../deps.ts';
import { findDriver, type KnownDriver } from '../drivers/find-driver.ts';
import { notFound } from '../hosts/find-host.ts';

export type DeploymentRow = Selectable<DeploymentTable>;
export type DeploymentBackendRow = Selectable<DeploymentBackendTable>;

export interface FleetHost {
  readonly id: string;
  readonly name: string;
  readonly status: 'enabled' | 'disabled';
  readonly labels: Readonly<Record<string, string>>;
}

export interface DeploymentContext {
  readonly caller: Caller;
  readonly known: KnownDriver;
  readonly deployment: DeploymentRow | undefined;
  readonly backends: readonly DeploymentBackendRow[];
  /** Backends of other drivers' deployments. */
  readonly others: readonly (DeploymentBackendRow & { readonly driver_id: string })[];
  readonly hosts: readonly FleetHost[];
  /** True when the caller may put this backend on the host; a null name asks for the whole host. */
  readonly mayUse: (hostId: string, backendName: string | null) => boolean;
}

/** With `isLocked`, two changes of one driver's deployment take turns on its row in the catalogue. */
export async function readContext(
  tx: Tx,
  caller: Caller,
  { driverId, isLocked }: { readonly driverId: string; readonly isLocked: boolean },
): Promise<DeploymentContext> {
  if (isLocked) {
    await tx.selectFrom('driver').select('id').where('id', '=', driverId).forUpdate().execute();
  }
  const known = await findDriver(tx, driverId);
  const deployment = await tx
    .selectFrom('deployment')
    .selectAll()
    .where('driver_id', '=', driverId)
    .executeTakeFirst();
  const all = await tx
    .selectFrom('deployment_backend')
    .innerJoin('deployment', 'deployment.id', 'deployment_backend.deployment_id')
    .selectAll('deployment_backend')
    .select('deployment.driver_id')
    .orderBy('deployment_backend.name')
    .execute();
  return {
    caller,
    known,
    deployment,
    backends: all.filter((row) => row.driver_id === driverId),
    others: all.filter((row) => row.driver_id !== driverId),
    hosts: await tx
      .selectFrom('host')
      .select(['id', 'name', 'status', 'labels'])
      .orderBy('name')
      .execute(),
    mayUse: await readReach(tx, caller),
  };
}

/** An admin may use every host; a manager what is granted, and a grant of one backend is for that name alone. */
async function readReach(tx: Tx, caller: Caller): Promise<DeploymentContext['mayUse']> {
  if (isAdmin(caller)) return () => true;
  const grants = await tx
    .selectFrom('access_grant')
    .select(['host_id', 'backend_name'])
    .where('project_id', '=', caller.projectId)
    .execute();
  return (hostId, backendName) =>
    grants.some(
      (grant) =>
        grant.host_id === hostId &&
        (grant.backend_name === null || grant.backend_name === backendName),
    );
}

/** For an operation's subject: a manager's operation tells of no host that is not granted. */
export function shownHosts(
  { caller, hosts, mayUse }: DeploymentContext,
  backends: readonly string[],
): { readonly host_ids?: readonly string[] } {
  if (isAdmin(caller)) return {};
  const shown = hosts.filter(({ id }) => backends.some((name) => mayUse(id, name)));
  return { host_ids: shown.map(({ id }) => id) };
}

/** Hosts of which anything is in the caller's reach: what "nearest" may name. */
export function hostsInReach(context: DeploymentContext): FleetHost[] {
  const names = [null, ...context.backends.map(({ name }) => name)];
  return context.hosts.filter(({ id }) => names.some((name) => context.mayUse(id, name)));
}

/**
 * The hosts named, for this backend.
 *
 * @throws ServiceError `host-not-found` for one that does not exist or is out of the caller's reach.
 */
export function namedHosts(
  context: DeploymentContext,
  given: { readonly hosts: readonly string[]; readonly backend: string | null },
): FleetHost[] {
  return given.hosts.map((wanted) => {
    const found = context.hosts.find(({ id, name }) => name === wanted || id === wanted);
    if (found !== undefined && context.mayUse(found.id, given.backend)) return found;
    const names = hostsInReach(context).map(({ name }) => name);
    if (found !== undefined && names.includes(found.name)) {
      throw new ServiceError(
        'forbidden',
        `Host ${found.name} is not granted to your project for a backend named ${given.backend ?? '(all)'}.`,
      );
    }
    throw notFound('host-not-found', { noun: 'host', name: wanted, names });
  });
}

/** @throws ServiceError `deployment-not-found`. */
export function deploymentOf(context: DeploymentContext): DeploymentRow {
  if (context.deployment !== undefined) return context.deployment;
  const { id } = context.known.driver;
  throw new ServiceError(
    'deployment-not-found',
    `Driver ${id} is not installed: \`cyborg install-driver ${id}\` installs it.`,
  );
}

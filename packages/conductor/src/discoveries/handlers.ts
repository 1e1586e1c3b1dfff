import { isAdmin, type Caller } from '@cyborg/model/caller';
import { ServiceError } from '@cyborg/model/errors';
import { sql } from 'kysely';

import { checkFilters } from '../backends/check-filters.ts';
import { matchesBackend, matchesHost, selectBackends } from '../backends/find-backend.ts';
import type { ConductorDeps, Tx } from '../deps.ts';
import { judgeDiscovery } from '../deployments/judge.ts';
import { addHostOperation } from '../deployments/new-operation.ts';
import { dryRun, type DryRunView } from '../dry-run.ts';
import type { DryRunQuery, Handler, Input } from '../handler.ts';
import { idempotently } from '../idempotency.ts';
import type { OperationView } from '../operations/read-operations.ts';
import { recordEvents } from '../record-event.ts';
import { scopeOf } from '../scope.ts';
import { act, type Act } from '../transaction.ts';

interface DiscoveryBody {
  readonly host?: string | undefined;
  readonly backend?: string | undefined;
}

interface Target {
  readonly id: string;
  readonly name: string;
  readonly host_id: string;
  readonly host_name: string;
}

export interface DiscoveryHandlers {
  readonly createDiscovery: Handler<
    Input<object, DryRunQuery, DiscoveryBody>,
    OperationView | DryRunView
  >;
}

export function makeDiscoveryHandlers(deps: ConductorDeps): DiscoveryHandlers {
  return {
    async createDiscovery(caller, { query, body, idempotencyKey: key }) {
      if (query.dry_run === true) {
        return dryRun(deps, async ({ tx }) => {
          const targets = await findTargets(tx, caller, body);
          return targets.map(({ id, name, host_name }) => ({
            subject_kind: 'backend',
            subject_id: id,
            change: `${host_name}@${name} looks for its hardware again`,
          }));
        });
      }
      return act(deps, (running) =>
        idempotently(running, { caller, method: 'POST', path: '/v3/discoveries', key, body }, () =>
          discover(deps, running, { caller, body }),
        ),
      );
    },
  };
}

/** Backends in the caller's scope, of the host, of the name. @throws ServiceError `host-not-found`, `backend-not-found`. */
async function findTargets(tx: Tx, caller: Caller, body: DiscoveryBody): Promise<Target[]> {
  await checkFilters(tx, caller, body);
  let query = selectBackends(tx, scopeOf(caller))
    .where('backend.state', '<>', 'removing')
    .where('host.status', '=', 'enabled')
    .orderBy('backend.id');
  if (body.host !== undefined) query = query.where(matchesHost(body.host));
  if (body.backend !== undefined) query = query.where(matchesBackend(body.backend));
  const targets = await query.execute();
  if (targets.length === 0) await refuseWithoutGrant(tx, caller, body.host);
  return targets;
}

/** A manager to whom nothing is granted would be told that all of nothing has succeeded. */
async function refuseWithoutGrant(tx: Tx, caller: Caller, host: string | undefined): Promise<void> {
  if (isAdmin(caller)) return;
  const grant = await tx
    .selectFrom('access_grant')
    .innerJoin('host', 'host.id', 'access_grant.host_id')
    .select('access_grant.id')
    .where('project_id', '=', caller.projectId)
    .where(host === undefined ? sql<boolean>`true` : matchesHost(host))
    .limit(1)
    .executeTakeFirst();
  if (grant !== undefined) return;
  const what = host === undefined ? 'No host is granted' : `Host ${host} is not granted`;
  throw new ServiceError(
    'host-not-found',
    `${what} to your project ${caller.projectName}: ask an admin for it (\`cyborg grant-create ${caller.projectId} --host ${host ?? 'HOST'}\`).`,
  );
}

async function discover(
  deps: ConductorDeps,
  running: Act,
  { caller, body }: { readonly caller: Caller; readonly body: DiscoveryBody },
): Promise<OperationView> {
  const found = await findTargets(running.tx, caller, body);
  const ids = found.map(({ id }) => id);
  const { rows } = await sql<{ id: string; discovery: number }>`
    update backend set discovery_requested = discovery_requested + 1
    where id = any(${ids}::uuid[]) returning id, discovery_requested as discovery`.execute(
    running.tx,
  );
  const requested = new Map(rows.map(({ id, discovery }) => [id, discovery]));
  const targets = found.map(({ id, name, host_name }) => ({
    host: host_name,
    backend: name,
    backend_id: id,
    discovery: requested.get(id) ?? 0,
  }));
  await recordEvents(
    running,
    found.map((row) => ({
      kind: 'backend.discovery-requested',
      subjectKind: 'backend',
      subjectId: row.id,
      hostId: row.host_id,
      userId: caller.userId,
      data: { name: row.name },
    })),
  );
  for (const { host_id } of found) running.wakeUps.add(`host:${host_id}`);
  const results = await judgeDiscovery(running, { targets });
  return addHostOperation(deps, running, {
    caller,
    kind: 'discover-services',
    subject: { targets },
    results,
  });
}

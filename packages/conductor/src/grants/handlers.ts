import { ServiceError } from '@cyborg/model/errors';
import type { AccessGrantTable } from '@cyborg/store/schema';
import { sql, type Selectable } from 'kysely';

import type { ConductorDeps, Tx } from '../deps.ts';
import { dryRun, type DryRunView } from '../dry-run.ts';
import { checkIfMatch } from '../etag.ts';
import type { DryRunQuery, Handler, Input } from '../handler.ts';
import { selects } from '../deployments/selectors.ts';
import { findHost, notFound, type HostRow } from '../hosts/find-host.ts';
import { idempotently } from '../idempotency.ts';
import { fromMarker, rowsWanted, toPage, type Page, type PageQuery } from '../page.ts';
import { recordEvents, type NewEvent } from '../record-event.ts';
import { ownInScope, scopeOf } from '../scope.ts';
import { act, type Act } from '../transaction.ts';

export interface GrantView {
  readonly id: string;
  readonly project_id: string;
  readonly host: string;
  readonly backend: string | null;
  readonly created_by: string;
  readonly created_at: Date;
}

interface GrantWish {
  readonly project_id: string;
  readonly host: string;
  readonly backend?: string | undefined;
}
type ListInput = Input<object, PageQuery & { readonly project_id?: string | undefined }>;
type IdInput = Input<{ readonly id: string }, DryRunQuery>;

export interface GrantHandlers {
  readonly listGrants: Handler<ListInput, Page<GrantView>>;
  readonly createGrant: Handler<Input<object, DryRunQuery, GrantWish>, GrantView | DryRunView>;
  readonly deleteGrant: Handler<IdInput, null | DryRunView>;
}

type Row = Selectable<AccessGrantTable> & { readonly host_name: string };

export function makeGrantHandlers(deps: ConductorDeps): GrantHandlers {
  return {
    async listGrants(caller, { query }) {
      const [after] = fromMarker(query.marker, 1) ?? [];
      let rows = deps.db
        .selectFrom('access_grant')
        .innerJoin('host', 'host.id', 'access_grant.host_id')
        .selectAll('access_grant')
        .select('host.name as host_name')
        .where(ownInScope(scopeOf(caller), 'access_grant'))
        .orderBy('access_grant.id')
        .limit(rowsWanted(query));
      if (after !== undefined) rows = rows.where(sql`access_grant.id::text`, '>', after);
      if (query.project_id !== undefined) {
        rows = rows.where('access_grant.project_id', '=', query.project_id);
      }
      return toPage(await rows.execute(), query, { keyOf: ({ id }) => [id], toItem: toGrantView });
    },

    async createGrant(caller, { query, body, idempotencyKey: key }) {
      if (query.dry_run === true) {
        return dryRun(deps, async ({ tx }) => {
          const { hostId } = await planGrant(tx, body);
          const what = `project ${body.project_id} is granted ${grantedOf(body)}`;
          return [{ subject_kind: 'host', subject_id: hostId, change: what }];
        });
      }
      return act(deps, (running) =>
        idempotently(running, { caller, method: 'POST', path: '/v3/grants', key, body }, () =>
          addGrant(deps, running, { userId: caller.userId, wish: body }),
        ),
      );
    },

    async deleteGrant(caller, { params, query, ifMatch }) {
      if (query.dry_run === true) {
        return dryRun(deps, async ({ tx }) => {
          const row = await findGrant(tx, params.id);
          checkGrant(ifMatch, row);
          const what = `project ${row.project_id} loses its grant of host ${row.host_name}; attachments stay`;
          return [{ subject_kind: 'grant', subject_id: row.id, change: what }];
        });
      }
      return act(deps, async (running) => {
        const row = await findGrant(running.tx, params.id);
        checkGrant(ifMatch, row);
        await running.tx.deleteFrom('access_grant').where('id', '=', row.id).execute();
        await tell(running, row, { kind: 'grant.deleted', userId: caller.userId });
        return null;
      });
    },
  };
}

function grantedOf({ host, backend }: GrantWish): string {
  return backend === undefined ? `host ${host}` : `backend ${host}@${backend}`;
}

/**
 * Grants are an admin's, so every host is in reach.
 *
 * @throws ServiceError `host-not-found`, `backend-not-found` with the nearest; `already-exists`.
 */
async function planGrant(
  tx: Tx,
  wish: GrantWish,
): Promise<{ readonly hostId: string; readonly hostName: string }> {
  const host = await findHost(tx, { kind: 'all' }, { host: wish.host });
  if (wish.backend !== undefined) await checkBackend(tx, host, wish.backend);
  const existing = await tx
    .selectFrom('access_grant')
    .select('id')
    .where('project_id', '=', wish.project_id)
    .where('host_id', '=', host.id)
    .where(sql`coalesce(backend_name, '')`, '=', wish.backend ?? '')
    .executeTakeFirst();
  if (existing !== undefined) {
    throw new ServiceError(
      'already-exists',
      `Project ${wish.project_id} has ${grantedOf(wish)} already (grant ${existing.id}).`,
      { extra: { grant_id: existing.id } },
    );
  }
  return { hostId: host.id, hostName: host.name };
}

/** One that the host has, or that a deployment wants there. */
async function checkBackend(tx: Tx, host: HostRow, backend: string): Promise<void> {
  const present = await tx
    .selectFrom('backend')
    .select('name')
    .where('host_id', '=', host.id)
    .execute();
  const wanted = await tx.selectFrom('deployment_backend').select(['name', 'selector']).execute();
  const names = new Set([
    ...present.map(({ name }) => name),
    ...wanted.flatMap(({ name, selector }) => (selects(selector, host) ? [name] : [])),
  ]);
  if (names.has(backend)) return;
  throw notFound('backend-not-found', {
    noun: `backend of host ${host.name}`,
    name: backend,
    names: [...names],
  });
}

async function addGrant(
  deps: ConductorDeps,
  running: Act,
  { userId, wish }: { readonly userId: string; readonly wish: GrantWish },
): Promise<GrantView> {
  const { hostId, hostName } = await planGrant(running.tx, wish);
  const row = await running.tx
    .insertInto('access_grant')
    .values({
      id: deps.rng.uuid(),
      project_id: wish.project_id,
      host_id: hostId,
      backend_name: wish.backend ?? null,
      created_by: userId,
      created_at: running.now,
    })
    .onConflict((conflict) => conflict.doNothing())
    .returningAll()
    .executeTakeFirst();
  if (row === undefined) {
    throw new ServiceError('already-exists', `Another admin has just granted ${grantedOf(wish)}.`);
  }
  const named = { ...row, host_name: hostName };
  await tell(running, named, { kind: 'grant.created', userId });
  return toGrantView(named);
}

function checkGrant(ifMatch: string | undefined, { id, created_at }: Row): void {
  checkIfMatch(ifMatch, { created_at, updated_at: null }, `grant ${id}`);
}

async function findGrant(tx: Tx, id: string): Promise<Row> {
  const row = await tx
    .selectFrom('access_grant')
    .innerJoin('host', 'host.id', 'access_grant.host_id')
    .selectAll('access_grant')
    .select('host.name as host_name')
    .where('access_grant.id', '=', id)
    .executeTakeFirst();
  if (row === undefined) {
    throw new ServiceError(
      'grant-not-found',
      `There is no grant ${id}; \`grant-list\` lists them.`,
    );
  }
  return row;
}

function tell(
  running: Act,
  row: Row,
  { kind, userId }: { readonly kind: NewEvent['kind']; readonly userId: string },
): Promise<void> {
  return recordEvents(running, [
    {
      kind,
      subjectKind: 'grant',
      subjectId: row.id,
      hostId: row.host_id,
      projectId: row.project_id,
      userId,
      data: { host: row.host_name, backend: row.backend_name },
    },
  ]);
}

function toGrantView(row: Row): GrantView {
  const { id, project_id, host_name, backend_name, created_by, created_at } = row;
  return { id, project_id, host: host_name, backend: backend_name, created_by, created_at };
}

import type { Caller } from '@cyborg/model/caller';
import { ServiceError } from '@cyborg/model/errors';
import { isUuid } from '@cyborg/model/ids';
import { pageLimit } from '@cyborg/store/page-of-ids';
import type { Database, InstanceTable } from '@cyborg/store/schema';
import { sql, type SelectQueryBuilder, type Selectable } from 'kysely';

import { matchesHost } from '../backends/find-backend.ts';
import { checkFilters } from '../backends/check-filters.ts';
import type { ConductorDeps, Db } from '../deps.ts';
import { dryRun, type DryRunView } from '../dry-run.ts';
import { changedAt, checkIfMatch } from '../etag.ts';
import type { DryRunQuery, Handler, Input } from '../handler.ts';
import { notFound } from '../hosts/find-host.ts';
import { badMarker, fromMarker, rowsWanted, toPage, type Page, type PageQuery } from '../page.ts';
import { recordEvents } from '../record-event.ts';
import { instancesInScope, scopeOf, type Scope } from '../scope.ts';
import { act, type Act } from '../transaction.ts';

export interface InstanceView {
  readonly id: string;
  readonly name: string;
  readonly host: string;
  readonly hypervisor: string;
  readonly state: string;
  readonly project_id: string | null;
  readonly project_source: string | null;
  readonly plugs: readonly string[];
  readonly numa_nodes: readonly number[];
  readonly presence: 'present' | 'missing' | 'vanished';
  readonly attachments_total: number;
  readonly simulated: boolean;
  readonly created_at: Date;
  readonly updated_at: Date | null;
}

interface InstanceQuery extends PageQuery {
  readonly host?: string | undefined;
  readonly project_id?: string | undefined;
}
type Params = { readonly instance_id: string };
type UpdateInput = Input<Params, DryRunQuery, { readonly project_id: string | null }>;

export interface InstanceHandlers {
  readonly listInstances: Handler<Input<object, InstanceQuery>, Page<InstanceView>>;
  readonly showInstance: Handler<Input<Params>, InstanceView>;
  readonly updateInstance: Handler<UpdateInput, InstanceView | DryRunView>;
}

export interface InstanceRow extends Selectable<InstanceTable> {
  readonly host_name: string;
  readonly simulated: boolean;
  readonly attachments_total: number;
}

const namesMax = 2000;
/** Those that can be given something come first. */
const isIdle = sql<boolean>`(instance.state <> 'ACTIVE')`;

export function makeInstanceHandlers(deps: ConductorDeps): InstanceHandlers {
  const { db } = deps;
  return {
    async listInstances(caller, { query }) {
      await checkFilters(db, caller, { host: query.host });
      const after = fromMarker(query.marker, 3);
      let rows = selectInstances(db, scopeOf(caller))
        .orderBy(isIdle)
        .orderBy('instance.name')
        .orderBy('instance.id')
        .limit(pageLimit(rowsWanted(query)));
      if (after !== undefined) {
        const [idle, name, id = ''] = after;
        if (!isUuid(id)) throw badMarker(query.marker ?? '');
        rows = rows.where(
          sql<boolean>`(${isIdle}, instance.name, instance.id) > (${idle === 'idle'}, ${name}, ${id}::uuid)`,
        );
      }
      if (query.host !== undefined) rows = rows.where(matchesHost(query.host));
      if (query.project_id !== undefined) {
        rows = rows.where('instance.project_id', '=', query.project_id);
      }
      return toPage(await rows.execute(), query, {
        keyOf: (row) => [row.state === 'ACTIVE' ? 'active' : 'idle', row.name, row.id],
        toItem: toInstanceView,
      });
    },

    async showInstance(caller, { params }) {
      return toInstanceView(await findInstance(db, scopeOf(caller), params.instance_id));
    },

    updateInstance: (caller, input) => updateInstance(deps, caller, input),
  };
}

async function updateInstance(
  deps: ConductorDeps,
  caller: Caller,
  { params, query, body, ifMatch }: UpdateInput,
): Promise<InstanceView | DryRunView> {
  const plan = async ({ tx }: Act, isLocked: boolean): Promise<InstanceRow> => {
    const scope = scopeOf(caller);
    const { id } = await findInstance(tx, scope, params.instance_id);
    if (isLocked) {
      await tx.selectFrom('instance').select('id').where('id', '=', id).forUpdate().execute();
    }
    const row = await findInstance(tx, scope, id);
    checkIfMatch(ifMatch, row, `instance ${row.name}`);
    refuseWhileHeld(row, body.project_id);
    return row;
  };
  if (query.dry_run === true) {
    return dryRun(deps, async (running) => {
      const { id, project_id: before } = await plan(running, false);
      if (before === body.project_id) return [];
      const change = `project_id: ${JSON.stringify(before)} becomes ${JSON.stringify(body.project_id)}`;
      return [{ subject_kind: 'instance', subject_id: id, change }];
    });
  }
  return act(deps, async (running) =>
    writeInstance(running, await plan(running, true), { caller, projectId: body.project_id }),
  );
}

async function writeInstance(
  running: Act,
  row: InstanceRow,
  { caller, projectId }: { readonly caller: Caller; readonly projectId: string | null },
): Promise<InstanceView> {
  const changed = {
    project_id: projectId,
    project_source: projectId === null ? null : ('operator' as const),
    updated_at: changedAt(row, running.now),
  };
  await running.tx.updateTable('instance').set(changed).where('id', '=', row.id).execute();
  await recordEvents(running, [
    {
      kind: 'instance.updated',
      subjectKind: 'instance',
      subjectId: row.id,
      hostId: row.host_id,
      projectId,
      userId: caller.userId,
      data: { name: row.name, project_id: projectId, was: row.project_id },
    },
  ]);
  return toInstanceView({ ...row, ...changed });
}

/** What it holds counts against its project's quota: it changes hands only empty. */
function refuseWhileHeld(row: InstanceRow, projectId: string | null): void {
  if (row.attachments_total === 0 || row.project_id === projectId) return;
  throw new ServiceError(
    'in-use',
    `Instance ${row.name} holds ${row.attachments_total} accelerators for project ${row.project_id}: detach them first.`,
    { extra: { users: [{ instance_id: row.id, project_id: row.project_id }] } },
  );
}

function selectInstances(
  db: Db,
  scope: Scope,
): SelectQueryBuilder<Database, 'instance' | 'host', InstanceRow> {
  return db
    .selectFrom('instance')
    .innerJoin('host', 'host.id', 'instance.host_id')
    .selectAll('instance')
    .select(['host.name as host_name', 'host.simulated'])
    .select(
      sql<number>`(select count(*) from attachment t
        where t.instance_id = instance.id and t.state not in ('released', 'requested'))`.as(
        'attachments_total',
      ),
    )
    .where(sql<boolean>`${instancesInScope(scope)}`);
}

/**
 * By id, or by a name that only one of the caller's instances has.
 *
 * @throws ServiceError `instance-not-found`; `invalid-input` when several have the name.
 */
export async function findInstance(db: Db, scope: Scope, instance: string): Promise<InstanceRow> {
  const query = selectInstances(db, scope).limit(2);
  const found = await (
    isUuid(instance)
      ? query.where('instance.id', '=', instance)
      : query.where('instance.name', '=', instance)
  ).execute();
  const [row, other] = found;
  if (row !== undefined && other === undefined) return row;
  if (row !== undefined) {
    throw new ServiceError(
      'invalid-input',
      `More than one instance has the name "${instance}": give the id, such as ${row.id} on ${row.host_name}.`,
    );
  }
  const known = await db
    .selectFrom('instance')
    .select(['id', 'name'])
    .where(instancesInScope(scope))
    .limit(namesMax)
    .execute();
  const names = known.map(({ id, name }) => (isUuid(instance) ? id : name));
  throw notFound('instance-not-found', { noun: 'instance', name: instance, names });
}

export function toInstanceView(row: InstanceRow): InstanceView {
  return {
    id: row.id,
    name: row.name,
    host: row.host_name,
    hypervisor: row.hypervisor,
    state: row.state,
    project_id: row.project_id,
    project_source: row.project_source,
    plugs: row.plugs,
    numa_nodes: row.numa_nodes,
    presence: presenceOf(row),
    attachments_total: row.attachments_total,
    simulated: row.simulated,
    created_at: row.created_at,
    updated_at: row.updated_at,
  };
}

function presenceOf(row: InstanceRow): InstanceView['presence'] {
  if (row.is_vanished) return 'vanished';
  return row.is_present ? 'present' : 'missing';
}

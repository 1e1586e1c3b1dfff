import type { Caller } from '@cyborg/model/caller';
import { pageLimit } from '@cyborg/store/page-of-ids';
import type { BackendStats, DriverLogLine } from '@cyborg/store/schema-deployments';
import { sql, type SqlBool } from 'kysely';

import { checkFilters } from './check-filters.ts';
import type { ConductorDeps } from '../deps.ts';
import { checkSwitch, type ForceQuery, type Forced } from '../disabling.ts';
import { dryRun, type DryRunView } from '../dry-run.ts';
import { changedAt, checkIfMatch } from '../etag.ts';
import type { Handler, Input } from '../handler.ts';
import type { OperationView } from '../operations/read-operations.ts';
import { fromMarker, rowsWanted, toPage, type Page, type PageQuery } from '../page.ts';
import { recordEvents } from '../record-event.ts';
import { scopeOf } from '../scope.ts';
import { act, type Act } from '../transaction.ts';
import { countAccelerators, toCountView, type Count, type CountView } from './counts.ts';
import {
  findBackend,
  matchesBackend,
  matchesHost,
  selectBackends,
  type BackendRow,
} from './find-backend.ts';
import { restartBackend, type RestartInput } from './restart-backend.ts';

export interface BackendView extends CountView {
  readonly id: string;
  readonly name: string;
  readonly host: string;
  readonly driver_id: string;
  readonly version: string | null;
  readonly kind: string;
  readonly config: Readonly<Record<string, unknown>>;
  readonly status: 'enabled' | 'disabled';
  readonly state: string;
  readonly reason: string | null;
  readonly quarantined_since: Date | null;
  readonly stale_since: Date | null;
  readonly inventory_changed_at: Date | null;
  readonly simulated: boolean;
  readonly created_at: Date;
  readonly updated_at: Date | null;
}

export interface BackendDetailView extends BackendView {
  readonly stats: BackendStats | null;
  readonly log: readonly DriverLogLine[];
}

interface FleetQuery extends PageQuery {
  readonly host?: string | undefined;
  readonly backend?: string | undefined;
  readonly driver_id?: string | undefined;
}
type Params = { readonly backend: string };
type UpdateInput = Input<Params, ForceQuery, { readonly status: 'enabled' | 'disabled' }>;

export interface BackendHandlers {
  readonly listBackends: Handler<Input<object, FleetQuery>, Page<BackendView>>;
  readonly showBackend: Handler<Input<Params>, BackendDetailView>;
  readonly updateBackend: Handler<UpdateInput, BackendView | DryRunView>;
  readonly restartBackend: Handler<RestartInput, OperationView | DryRunView>;
}

export function makeBackendHandlers(deps: ConductorDeps): BackendHandlers {
  const { db } = deps;
  return {
    async listBackends(caller, { query }) {
      await checkFilters(db, caller, query);
      const scope = scopeOf(caller);
      const after = fromMarker(query.marker, 2);
      let rows = selectBackends(db, scope)
        .orderBy('host.name')
        .orderBy('backend.name')
        .limit(pageLimit(rowsWanted(query)));
      if (after !== undefined) {
        // The first condition is the second's shadow, which an index can find.
        rows = rows.where(
          sql<boolean>`host.name >= ${after[0]} and (host.name, backend.name) > (${after[0]}, ${after[1]})`,
        );
      }
      if (query.host !== undefined) rows = rows.where(matchesHost(query.host));
      if (query.backend !== undefined) rows = rows.where(matchesBackend(query.backend));
      if (query.driver_id !== undefined) {
        rows = rows.where('backend.driver_id', '=', query.driver_id);
      }
      const found = await rows.execute();
      const ids = found.map(({ id }) => id);
      const countOf = await countAccelerators(db, scope, { by: 'backend_id', ids });
      return toPage(found, query, {
        keyOf: (row) => [row.host_name, row.name],
        toItem: (row) => toBackendView(row, countOf(row.id)),
      });
    },

    async showBackend(caller, { params }) {
      const scope = scopeOf(caller);
      const row = await findBackend(db, scope, params);
      const countOf = await countAccelerators(db, scope, { by: 'backend_id', ids: [row.id] });
      const { log, stats } = await db
        .selectFrom('installation')
        .select(['log', 'stats'])
        .where('id', '=', row.installation_id)
        .executeTakeFirstOrThrow();
      const own = Object.hasOwn(stats, row.name) ? stats[row.name] : undefined;
      return { ...toBackendView(row, countOf(row.id)), stats: own ?? null, log };
    },

    updateBackend: (caller, input) => updateBackend(deps, caller, input),
    restartBackend: (caller, input) => restartBackend(deps, caller, input),
  };
}

async function updateBackend(
  deps: ConductorDeps,
  caller: Caller,
  { params, query, body, ifMatch }: UpdateInput,
): Promise<BackendView | DryRunView> {
  const scope = scopeOf(caller);
  const read = async ({ tx }: Act, isLocked: boolean): Promise<BackendRow> => {
    const row = await findBackend(tx, scope, { ...params, isLocked });
    checkIfMatch(ifMatch, row, `backend ${row.host_name}@${row.name}`);
    return row;
  };
  const check = ({ tx }: Act, row: BackendRow): Promise<Forced> =>
    checkSwitch(tx, {
      caller,
      what: `backend ${row.host_name}@${row.name}`,
      before: row.status,
      after: body.status,
      query,
      where: sql<SqlBool>`a.backend_id = ${row.id}`,
    });
  if (query.dry_run === true) {
    return dryRun(deps, async (running) => {
      const row = await read(running, false);
      await check(running, row);
      const { id, name, status } = row;
      const change = `${name}: status ${status} becomes ${body.status}`;
      return [{ subject_kind: 'backend', subject_id: id, change }];
    });
  }
  return act(deps, async (running) => {
    const row = await read(running, true);
    const forced = await check(running, row);
    const updated_at = changedAt(row, running.now);
    await running.tx
      .updateTable('backend')
      .set({ status: body.status, updated_at })
      .where('id', '=', row.id)
      .execute();
    await recordEvents(running, [
      {
        kind: `backend.${body.status}`,
        subjectKind: 'backend',
        subjectId: row.id,
        hostId: row.host_id,
        userId: caller.userId,
        data: { name: row.name, host: row.host_name, ...forced },
      },
    ]);
    const countOf = await countAccelerators(running.tx, scope, {
      by: 'backend_id',
      ids: [row.id],
    });
    return toBackendView({ ...row, status: body.status, updated_at }, countOf(row.id));
  });
}

export function toBackendView(row: BackendRow, count: Count): BackendView {
  return {
    id: row.id,
    name: row.name,
    host: row.host_name,
    driver_id: row.driver_id,
    version: row.version,
    kind: row.kind,
    config: row.config,
    status: row.status,
    state: row.state,
    // Of a driver that never came up only the installation knows why.
    reason: row.reason ?? (row.state === 'pending' ? row.installation_reason : null),
    quarantined_since: row.quarantined_at,
    stale_since: row.stale_since,
    inventory_changed_at: row.inventory_changed_at,
    ...toCountView(count),
    simulated: row.simulated,
    created_at: row.created_at,
    updated_at: row.updated_at,
  };
}

import { checkFilters } from '../backends/check-filters.ts';
import type { ConductorDeps } from '../deps.ts';
import { checkSwitch, type ForceQuery, type Switching } from '../disabling.ts';
import { dryRun, type DryRunView } from '../dry-run.ts';
import { changedAt, checkIfMatch, etagOf, withEtag } from '../etag.ts';
import type { Handler, Input } from '../handler.ts';
import { toPage, type Page } from '../page.ts';
import { recordEvents } from '../record-event.ts';
import { scopeOf } from '../scope.ts';
import { act } from '../transaction.ts';
import { lockService } from './find-service.ts';
import { listServiceRows, type ServiceQuery, type ServiceRow } from './read-services.ts';
import { notFound } from '../hosts/find-host.ts';
import type { Caller } from '@cyborg/model/caller';
import { typesOfFunction } from '@cyborg/model/functions';
import type { ServiceTable } from '@cyborg/store/schema-inventory';
import { sql, type Selectable, type SqlBool } from 'kysely';

export type ServiceView = Omit<ServiceRow, 'sort_key'>;

type IdParams = { readonly id: string };
type UpdateInput = Input<IdParams, ForceQuery, { readonly status: 'enabled' | 'disabled' }>;

export interface ServiceHandlers {
  readonly listServices: Handler<Input<object, ServiceQuery>, Page<ServiceView>>;
  readonly showService: Handler<Input<IdParams>, ServiceView>;
  readonly updateService: Handler<UpdateInput, ServiceView | DryRunView>;
}

export function makeServiceHandlers(deps: ConductorDeps): ServiceHandlers {
  const { leaseSeconds } = deps.limits;
  const showOne = async (caller: Caller, id: string): Promise<ServiceView> => {
    const scope = scopeOf(caller);
    const now = deps.clock.now();
    const [row] = await listServiceRows(deps.db, { scope, now, leaseSeconds, query: {}, id });
    if (row !== undefined) return withServiceEtag(toServiceView(row));
    const known = await listServiceRows(deps.db, { scope, now, leaseSeconds, query: {} });
    throw notFound('service-not-found', {
      noun: 'service',
      name: id,
      names: known.map((service) => service.id),
    });
  };
  return {
    async listServices(caller, { query }) {
      await checkFilters(deps.db, caller, query);
      const rows = await listServiceRows(deps.db, {
        scope: scopeOf(caller),
        now: deps.clock.now(),
        leaseSeconds,
        query,
      });
      return toPage(rows, query, { keyOf: (row) => row.sort_key, toItem: toServiceView });
    },

    showService(caller, { params }) {
      return showOne(caller, params.id);
    },

    async updateService(caller, { params, query, body, ifMatch }) {
      if (query.dry_run === true) {
        return dryRun(deps, async ({ tx }) => {
          const row = await lockService(tx, { id: params.id, isLocked: false });
          checkIfMatch(ifMatch, row, `service ${row.name}`);
          await checkSwitch(tx, switching(caller, row, { query, after: body.status }));
          const change = `${row.name}: status ${row.status} becomes ${body.status}`;
          return [{ subject_kind: 'service', subject_id: row.id, change }];
        });
      }
      await act(deps, async (running) => {
        const row = await lockService(running.tx, { id: params.id, isLocked: true });
        checkIfMatch(ifMatch, row, `service ${row.name}`);
        const asked = switching(caller, row, { query, after: body.status });
        const forced = await checkSwitch(running.tx, asked);
        await running.tx
          .updateTable('service')
          .set({ status: body.status, updated_at: changedAt(row, running.now) })
          .where('id', '=', row.id)
          .execute();
        await recordEvents(running, [
          {
            kind: `service.${body.status}`,
            subjectKind: 'service',
            subjectId: row.id,
            hostId: row.host_id,
            userId: caller.userId,
            data: { name: row.name, ...forced },
          },
        ]);
      });
      return showOne(caller, params.id);
    },
  };
}

/** A daemon, and a function of a family that is not known, are of all that their backend has. */
function switching(
  caller: Caller,
  row: Selectable<ServiceTable>,
  { query, after }: Pick<Switching, 'query' | 'after'>,
): Switching {
  const types = row.kind === 'function' ? typesOfFunction(row.name) : undefined;
  const ofType = types === undefined ? sql`true` : sql`a.type = any(${types}::text[])`;
  const where = sql<SqlBool>`a.backend_id = ${row.backend_id} and ${ofType}`;
  return { caller, what: `service ${row.name}`, before: row.status, after, query, where };
}

/** A control service has no row to edit; its `updated_at` is its last sign of life. */
function withServiceEtag(view: ServiceView): ServiceView {
  const { updated_at } = view;
  if (view.kind === 'control' || updated_at === null) return view;
  return withEtag(view, etagOf({ created_at: updated_at, updated_at }));
}

function toServiceView({ sort_key: _key, ...row }: ServiceRow): ServiceView {
  return row;
}

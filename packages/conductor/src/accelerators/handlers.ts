import { isAdmin, type Caller } from '@cyborg/model/caller';
import { listAccelerators } from '@cyborg/store/accelerators';
import { sql, type RawBuilder, type SqlBool } from 'kysely';

import { findBackend, matchesBackend, matchesHost } from '../backends/find-backend.ts';
import type { ConductorDeps, Db } from '../deps.ts';
import type { DryRunView } from '../dry-run.ts';
import type { Handler, Input } from '../handler.ts';
import { findHost } from '../hosts/find-host.ts';
import { idFromMarker, rowsWanted, toPage, type Page, type PageQuery } from '../page.ts';
import { acceleratorsInScopeAnyOf, scopeOf } from '../scope.ts';
import { updateAccelerator, type UpdateAcceleratorInput } from './update-accelerator.ts';
import { readAccelerator, toAcceleratorView, type AcceleratorView } from './view.ts';

export interface AcceleratorQuery extends PageQuery {
  readonly driver_id?: string;
  readonly backend?: string;
  readonly host?: string;
  readonly instance_id?: string;
  readonly project_id?: string;
  readonly state?: string;
  readonly type?: string;
  readonly trait?: string;
}

export interface AcceleratorHandlers {
  readonly listAccelerators: Handler<Input<object, AcceleratorQuery>, Page<AcceleratorView>>;
  readonly showAccelerator: Handler<Input<{ readonly id: string }>, AcceleratorView>;
  readonly updateAccelerator: Handler<UpdateAcceleratorInput, AcceleratorView | DryRunView>;
}

export function makeAcceleratorHandlers(deps: ConductorDeps): AcceleratorHandlers {
  return {
    async listAccelerators(caller, { query }) {
      const scope = scopeOf(caller);
      const rows = await listAccelerators(deps.db, {
        anyOf: acceleratorsInScopeAnyOf(scope),
        conditions: await conditionsOf(deps.db, caller, query),
        after: idFromMarker(query.marker),
        limit: rowsWanted(query),
      });
      return toPage(rows, query, {
        keyOf: (row) => [row.id],
        toItem: (row) => toAcceleratorView(row, scope),
      });
    },
    showAccelerator: (caller, { params }) => readAccelerator(deps.db, caller, params.id),
    updateAccelerator: (caller, input) => updateAccelerator(deps, caller, input),
  };
}

async function conditionsOf(
  db: Db,
  caller: Caller,
  query: AcceleratorQuery,
): Promise<RawBuilder<SqlBool>[]> {
  const equal = {
    'accelerator.driver_id': query.driver_id,
    'accelerator.instance_id': query.instance_id,
    'accelerator.project_id': query.project_id,
    'accelerator.state': query.state,
    'accelerator.type': query.type,
  };
  const conditions = Object.entries(equal).flatMap(([column, value]) =>
    value === undefined ? [] : sql<SqlBool>`${sql.ref(column)} = ${value}`,
  );
  if (query.trait !== undefined) conditions.push(sql`accelerator.traits ? ${query.trait}`);
  const asksWho = query.instance_id !== undefined || query.project_id !== undefined;
  if (asksWho && !isAdmin(caller)) {
    // Who else holds what is not to be found out by asking for it.
    conditions.push(sql`accelerator.project_id = ${caller.projectId}`);
  }
  const { host, backend } = query;
  if (host !== undefined) conditions.push(await onHost(db, caller, host));
  if (backend !== undefined) conditions.push(await ofBackend(db, caller, backend));
  return conditions;
}

/** Who may see hosts is told of one that does not exist; for others it is a filter like any other. */
async function onHost(db: Db, caller: Caller, host: string): Promise<RawBuilder<SqlBool>> {
  if (!caller.roles.has('manager')) {
    return sql`accelerator.host_id in (select host.id from host where ${matchesHost(host)})`;
  }
  const { id } = await findHost(db, scopeOf(caller), { host });
  return sql`accelerator.host_id = ${id}`;
}

async function ofBackend(db: Db, caller: Caller, backend: string): Promise<RawBuilder<SqlBool>> {
  if (!caller.roles.has('manager') || !backend.includes('@')) {
    return sql`accelerator.backend_id in (
      select backend.id from backend join host on host.id = backend.host_id where ${matchesBackend(backend)})`;
  }
  const { id } = await findBackend(db, scopeOf(caller), { backend });
  return sql`accelerator.backend_id = ${id}`;
}

import { isAdmin, type Caller } from '@cyborg/model/caller';
import { listAccelerators } from '@cyborg/store/accelerators';
import { sql, type RawBuilder, type SqlBool } from 'kysely';

import { checkFilters, type Found } from '../backends/check-filters.ts';
import { matchesBackend } from '../backends/find-backend.ts';
import type { ConductorDeps } from '../deps.ts';
import type { DryRunView } from '../dry-run.ts';
import type { Handler, Input } from '../handler.ts';
import { identifyAccelerator, type IdentifyAcceleratorInput } from '../inventory/same-card.ts';
import { rowsWanted, toPage, type Page, type PageQuery } from '../page.ts';
import { acceleratorsInScopeAnyOf, scopeOf } from '../scope.ts';
import { updateAccelerator, type UpdateAcceleratorInput } from './update-accelerator.ts';
import { beginsWith, readOrder } from './order.ts';
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
  /** What its name begins with. */
  readonly name?: string;
  readonly sort?: string;
}

export interface AcceleratorHandlers {
  readonly listAccelerators: Handler<Input<object, AcceleratorQuery>, Page<AcceleratorView>>;
  readonly showAccelerator: Handler<Input<{ readonly id: string }>, AcceleratorView>;
  readonly updateAccelerator: Handler<UpdateAcceleratorInput, AcceleratorView | DryRunView>;
  readonly identifyAccelerator: Handler<IdentifyAcceleratorInput, AcceleratorView | DryRunView>;
}

export function makeAcceleratorHandlers(deps: ConductorDeps): AcceleratorHandlers {
  return {
    async listAccelerators(caller, { query }) {
      const found = await checkFilters(deps.db, caller, query);
      const scope = scopeOf(caller);
      const order = readOrder(query);
      const rows = await listAccelerators(deps.db, {
        anyOf: acceleratorsInScopeAnyOf(scope),
        conditions: conditionsOf(caller, { ...query, ...found }),
        limit: rowsWanted(query),
        ...order.page,
      });
      return toPage(rows, query, {
        keyOf: order.keyOf,
        toItem: (row) => toAcceleratorView(row, scope),
      });
    },
    showAccelerator: (caller, { params }) => readAccelerator(deps.db, caller, params.id),
    updateAccelerator: (caller, input) => updateAccelerator(deps, caller, input),
    identifyAccelerator: (caller, input) => identifyAccelerator(deps, caller, input),
  };
}

function conditionsOf(caller: Caller, query: AcceleratorQuery & Found): RawBuilder<SqlBool>[] {
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
  if (query.name !== undefined) conditions.push(beginsWith(query.name));
  const { hostId, backendId, backend } = query;
  if (hostId !== undefined) conditions.push(sql`accelerator.host_id = ${hostId}`);
  if (backendId !== undefined) conditions.push(sql`accelerator.backend_id = ${backendId}`);
  else if (backend !== undefined) {
    conditions.push(sql`accelerator.backend_id in (
      select backend.id from backend where ${matchesBackend(backend)})`);
  }
  return conditions;
}

import { isUuid } from '@cyborg/model/ids';
import { listOperations } from '@cyborg/store/operations';

import type { ConductorDeps } from '../deps.ts';
import type { DryRunView } from '../dry-run.ts';
import type { Handler, Input } from '../handler.ts';
import { badMarker, fromMarker, rowsWanted, toPage, type Page, type PageQuery } from '../page.ts';
import { projectOf, scopeOf } from '../scope.ts';
import { cancelOperation, type CancelInput } from './cancel-operation.ts';
import { readOperation, toOperationView, type OperationView } from './read-operations.ts';

export interface OperationQuery extends PageQuery {
  readonly state?: string;
  readonly kind?: string;
}

export interface OperationHandlers {
  readonly listOperations: Handler<Input<object, OperationQuery>, Page<OperationView>>;
  readonly showOperation: Handler<Input<{ readonly id: string }>, OperationView>;
  readonly cancelOperation: Handler<CancelInput, OperationView | DryRunView>;
}

export function makeOperationHandlers(deps: ConductorDeps): OperationHandlers {
  return {
    async listOperations(caller, { query }) {
      const rows = await listOperations(deps.db, {
        state: query.state,
        kind: query.kind,
        projectId: projectOf(scopeOf(caller)),
        before: beforeOf(query.marker),
        limit: rowsWanted(query),
      });
      return toPage(rows, query, {
        keyOf: (row) => [row.created_at.toISOString(), row.id],
        toItem: toOperationView,
      });
    },
    showOperation: (caller, { params }) => readOperation(deps.db, caller, params.id),
    cancelOperation: (caller, input) => cancelOperation(deps, caller, input),
  };
}

/** @throws ServiceError `invalid-input` when the marker is not one of ours. */
function beforeOf(marker: string | undefined): { createdAt: string; id: string } | undefined {
  const key = fromMarker(marker, 2);
  if (marker === undefined || key === undefined) return undefined;
  const [createdAt, id] = key;
  if (createdAt === undefined || id === undefined) throw badMarker(marker);
  if (Number.isNaN(Date.parse(createdAt)) || !isUuid(id)) throw badMarker(marker);
  return { createdAt, id };
}

/** Operations as their followers see them. */
import type { Caller } from '@cyborg/model/caller';
import { ServiceError } from '@cyborg/model/errors';
import type { OperationKind, OperationState } from '@cyborg/model/operation-lifecycle';
import { operationLifecycle } from '@cyborg/model/operation-lifecycle';
import { findOperation, type OperationRow } from '@cyborg/store/operations';
import type { OperationResult } from '@cyborg/store/schema';

import type { ConductorDeps, Db } from '../deps.ts';
import { ownInScope, scopeOf } from '../scope.ts';
import { makeWaiter } from '../waiter.ts';

export interface OperationView {
  readonly id: string;
  readonly kind: OperationKind;
  readonly state: OperationState;
  readonly subject: Readonly<Record<string, unknown>>;
  readonly progress: { readonly done: number; readonly total: number };
  readonly results: readonly OperationResult[];
  readonly error: string | null;
  readonly user_id: string;
  readonly project_id: string;
  readonly created_at: Date;
  readonly updated_at: Date | null;
  readonly finished_at: Date | null;
}

export function toOperationView(row: OperationRow): OperationView {
  return {
    id: row.id,
    kind: row.kind,
    state: row.state,
    subject: row.subject,
    progress: { done: row.progress_done, total: row.progress_total },
    results: row.results,
    error: row.error,
    user_id: row.user_id,
    project_id: row.project_id,
    created_at: row.created_at,
    updated_at: row.updated_at,
    finished_at: row.finished_at,
  };
}

export function isOver(state: OperationState): boolean {
  return operationLifecycle.rules[state].settled;
}

/** @throws ServiceError `operation-not-found`, also when it is another project's. */
export async function readOperation(db: Db, caller: Caller, id: string): Promise<OperationView> {
  const row = await findOperation(db, id, ownInScope(scopeOf(caller), 'operation'));
  if (row === undefined) {
    throw new ServiceError(
      'operation-not-found',
      `There is no operation ${id}, or it ended too long ago; "cyborg operation-list" lists those of your project.`,
    );
  }
  return toOperationView(row);
}

/** Yields the operation at once and at each change; ends after its end, or when the signal is aborted. */
export async function* followOperation(
  deps: Pick<ConductorDeps, 'db' | 'wake' | 'clock' | 'limits'>,
  caller: Caller,
  { id, signal }: { readonly id: string; readonly signal: AbortSignal },
): AsyncGenerator<OperationView, void, undefined> {
  using waiter = makeWaiter(deps, `operation:${id}`);
  let seen: number | undefined;
  while (!signal.aborted) {
    const operation = await readOperation(deps.db, caller, id);
    const changed = (operation.updated_at ?? operation.created_at).getTime();
    if (changed !== seen) yield operation;
    if (isOver(operation.state)) return;
    seen = changed;
    await waiter.wait(signal);
  }
}

/** Returns the operation once it is over, or as it is when the signal is aborted. */
export async function waitForOperation(
  deps: Pick<ConductorDeps, 'db' | 'wake' | 'clock' | 'limits'>,
  caller: Caller,
  options: { readonly id: string; readonly signal: AbortSignal },
): Promise<OperationView> {
  let last = await readOperation(deps.db, caller, options.id);
  for await (const operation of followOperation(deps, caller, options)) last = operation;
  return last;
}

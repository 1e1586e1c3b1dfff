/** What the operation shows of the writing of a program image, when there is one. */
import { operationLifecycle } from '@cyborg/model/operation-lifecycle';
import type { OperationRow } from '@cyborg/store/operations';
import type { ProgrammingRow } from '@cyborg/store/programs';

import { moveOperation, progressOperation, type Draft } from '../orders/draft.ts';

/** Its progress is counted in percent. */
export const progressWhole = 100;

/** @param failure  why, or null. */
export function noteProgramResult(draft: Draft, row: ProgrammingRow, failure: string | null): void {
  const operation = openOperation(draft, row);
  if (operation === undefined) return;
  const outcome = failure === null ? ('succeeded' as const) : ('failed' as const);
  const results = operation.results.map((result) => ({ ...result, outcome, message: failure }));
  if (failure === null) {
    const changes = { results, progress_done: progressWhole };
    moveOperation(draft, operation, { event: 'succeed', changes });
  } else {
    moveOperation(draft, operation, { event: 'fail', changes: { results, error: failure } });
  }
}

export function noteProgramProgress(draft: Draft, row: ProgrammingRow, percent: number): void {
  const operation = openOperation(draft, row);
  // All of it only with the end.
  const done = Math.min(percent, progressWhole - 1);
  if (operation === undefined || operation.progress_done >= done) return;
  progressOperation(draft, operation, { results: operation.results, progress_done: done });
}

function openOperation(
  draft: Draft,
  { operation_id: id }: ProgrammingRow,
): OperationRow | undefined {
  const operation = id === null ? undefined : draft.operations.get(id);
  return operation && !operationLifecycle.rules[operation.state].settled ? operation : undefined;
}

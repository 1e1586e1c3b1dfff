/** What an operation has come to: one result per accelerator, and the end when none is pending. */
import { operationLifecycle } from '@cyborg/model/operation-lifecycle';
import type { OperationResult } from '@cyborg/store/schema';
import type { OperationRow } from '@cyborg/store/operations';

import { moveOperation, progressOperation, type Draft } from './draft.ts';

export interface Result {
  readonly acceleratorId: string;
  readonly outcome: OperationResult['outcome'];
  readonly message: string | null;
}

/** Notes a result and ends the operation after the last. Of an operation that has ended nothing changes any more. */
export function noteResult(draft: Draft, operationId: string | null, result: Result): void {
  const row = operationId === null ? undefined : draft.operations.get(operationId);
  if (row === undefined || operationLifecycle.rules[row.state].settled) return;
  const results = row.results.map((entry) =>
    entry.subject === result.acceleratorId
      ? { ...entry, outcome: result.outcome, message: result.message }
      : entry,
  );
  if (JSON.stringify(results) === JSON.stringify(row.results)) return;
  const changes = { results, progress_done: countDone(results) };
  if (changes.progress_done < results.length) progressOperation(draft, row, changes);
  else endOperation(draft, row, changes);
}

export function pendingResults(host: string, acceleratorIds: readonly string[]): OperationResult[] {
  return acceleratorIds.map((subject) => ({ host, subject, outcome: 'pending', message: null }));
}

function endOperation(
  draft: Draft,
  row: OperationRow,
  changes: Pick<OperationRow, 'results' | 'progress_done'>,
): void {
  const failed = changes.results.filter(({ outcome }) => outcome === 'failed');
  if (failed.length === 0) {
    moveOperation(draft, row, { event: 'succeed', changes });
    return;
  }
  const error = failed.find(({ message }) => message !== null)?.message ?? 'It failed.';
  moveOperation(draft, row, { event: 'fail', changes: { ...changes, error } });
}

function countDone(results: readonly OperationResult[]): number {
  return results.filter(({ outcome }) => outcome !== 'pending').length;
}

/** operation-cancel: what has not begun does not begin, what has begun is unwound. */
import type { Caller } from '@cyborg/model/caller';
import { ServiceError } from '@cyborg/model/errors';
import type { OperationKind } from '@cyborg/model/operation-lifecycle';
import type { OperationRow } from '@cyborg/store/operations';

import type { ConductorDeps } from '../deps.ts';
import { dryRun, type DryRunView } from '../dry-run.ts';
import type { DryRunQuery, Input } from '../handler.ts';
import { actOnce } from '../idempotency.ts';
import { changesOf, commitDraft, moveOperation, openDraft, type Draft } from '../orders/draft.ts';
import { takeAll } from '../orders/taking.ts';
import type { Act } from '../transaction.ts';
import { isOver, readOperation, toOperationView, type OperationView } from './read-operations.ts';

export type CancelInput = Input<{ readonly id: string }, DryRunQuery>;

/** Why not, and what to do instead; null = it can be cancelled. */
const refusals: Readonly<Record<OperationKind, string | null>> = {
  'attach-instance': null,
  'discover-services': null,
  'restart-backend': null,
  'detach-instance': 'what is being taken back cannot be kept; attach it again afterwards',
  'clean-accelerator': 'an accelerator must be clean before it is given out again',
  'program-accelerator': 'an image that is half written would spoil the card; program it again',
  'install-driver': 'use uninstall-driver to take it back',
  'update-driver': 'use update-driver --version to go back',
  'uninstall-driver': 'use install-driver to have it again',
};

/** @throws ServiceError `operation-not-found`; `not-cancellable`, with what to do instead. */
export async function cancelOperation(
  deps: ConductorDeps,
  caller: Caller,
  { params: { id }, query, idempotencyKey: key }: CancelInput,
): Promise<OperationView | DryRunView> {
  if (query.dry_run === true) {
    return dryRun(deps, async (current) => {
      const { draft } = await plan(deps, current, { caller, id, withoutLock: true });
      return changesOf(draft);
    });
  }
  const path = `/v3/operations/${id}/cancel`;
  return actOnce(deps, { caller, method: 'POST', path, key, body: null }, async (current) => {
    const { draft, cancelled } = await plan(deps, current, { caller, id, withoutLock: false });
    await commitDraft(draft);
    return toOperationView(cancelled);
  });
}

interface Cancelling {
  readonly caller: Caller;
  readonly id: string;
  readonly withoutLock: boolean;
}

async function plan(
  deps: ConductorDeps,
  current: Act,
  { caller, id, withoutLock }: Cancelling,
): Promise<{ readonly draft: Draft; readonly cancelled: OperationRow }> {
  const seen = await readOperation(current.tx, caller, id);
  if (isOver(seen.state)) throw tooLate(seen);
  const refusal = refusals[seen.kind];
  if (refusal !== null) {
    throw new ServiceError(
      'not-cancellable',
      `Operation ${id} (${seen.kind}) cannot be cancelled: ${refusal}.`,
    );
  }
  const draft = await openDraft(current, {
    ids: acceleratorIdsOf(seen),
    operationIds: [id],
    ledger: deps.ledger,
    userId: caller.userId,
    withoutLock,
  });
  const row = draft.operations.get(id);
  if (row === undefined) throw tooLate(await readOperation(current.tx, caller, id));
  return { draft, cancelled: cancel(draft, row, caller) };
}

/** The operation ends first: what is unwound after it is nobody's failure. */
function cancel(draft: Draft, row: OperationRow, caller: Caller): OperationRow {
  const reason = `Cancelled by ${caller.userName}.`;
  const results = row.results.map((result) => ({
    ...result,
    outcome: 'failed' as const,
    message: reason,
  }));
  const cancelled = moveOperation(draft, row, { event: 'cancel', changes: { results } });
  if (row.kind === 'attach-instance') takeAll(draft, { operationId: row.id, reason });
  return cancelled;
}

/** Of the accelerators that an attach or detach is about. */
export function acceleratorIdsOf({ subject }: Pick<OperationRow, 'subject'>): string[] {
  const ids = subject['accelerator_ids'];
  return Array.isArray(ids) ? ids.filter((id) => typeof id === 'string') : [];
}

function tooLate({ id, state }: OperationView): ServiceError {
  return new ServiceError('not-cancellable', `Operation ${id} is over: it is ${state}.`);
}

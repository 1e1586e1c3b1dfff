import { hasOverdueOperations, listOverdueOperations } from '@cyborg/store/open-operations';

import type { ConductorDeps } from '../deps.ts';
import { acceleratorIdsOf } from '../operations/cancel-operation.ts';
import { commitDraft, moveOperation, openDraft } from '../orders/draft.ts';
import { takeAll } from '../orders/taking.ts';
import type { Reconciler } from '../reconciler.ts';
import { act } from '../transaction.ts';
import { watchHostsReturn } from './hosts-return.ts';

type Overdue = Awaited<ReturnType<typeof listOverdueOperations>>[number];

/**
 * Ends attaches and detaches whose host did not finish in time. An attach is taken back, all of it; a detach goes on
 * whenever the host answers, only nobody waits for it any more.
 */
export function endOverdueOperations(deps: ConductorDeps): Reconciler {
  const most = deps.limits.workItemsPerPass;
  const areHostsBack = watchHostsReturn(deps);
  return {
    name: 'end-overdue-operations',
    periodMs: deps.limits.idlePassMs,
    due: hasOverdueOperations,
    topics: [],
    async pass() {
      if (!areHostsBack()) return { found: 0, full: false };
      const overdue = await listOverdueOperations(deps.db, { now: deps.clock.now(), limit: most });
      for (const row of overdue) await end(deps, row);
      return { found: overdue.length, full: overdue.length === most };
    },
  };
}

function end(deps: ConductorDeps, overdue: Overdue): Promise<void> {
  return act(deps, async (current) => {
    const draft = await openDraft(current, {
      ids: acceleratorIdsOf(overdue),
      operationIds: [overdue.id],
      ledger: deps.ledger,
    });
    const row = draft.operations.get(overdue.id);
    if (row === undefined || row.deadline_at === null || row.deadline_at > current.now) return;
    const error = errorOf(deps, overdue);
    const results = row.results.map((result) =>
      result.outcome === 'pending' || row.kind === 'attach-instance'
        ? { ...result, outcome: 'failed' as const, message: error }
        : result,
    );
    moveOperation(draft, row, { event: 'fail', changes: { results, error } });
    if (row.kind === 'attach-instance') takeAll(draft, { operationId: row.id, reason: error });
    await commitDraft(draft);
  });
}

function errorOf({ limits }: ConductorDeps, { kind, host }: Overdue): string {
  const name = host ?? 'of the instance';
  return kind === 'attach-instance'
    ? `Host ${name} did not attach everything within ${limits.attachDeadlineSeconds} s; it is all taken back. Look at "cyborg host-list".`
    : `Host ${name} did not answer within ${limits.detachDeadlineSeconds} s; the detach goes on when it does. An admin can give up on the host with --force.`;
}

import { hasHostTurns, listHostTurns } from '@cyborg/store/open-operations';

import type { ConductorDeps } from '../deps.ts';
import { commitDraft, moveOperation, openDraft } from '../orders/draft.ts';
import type { Reconciler } from '../reconciler.ts';
import { act } from '../transaction.ts';

/** Says of attaches and detaches that they wait while their host is down, and that they go on when it is back. */
export function waitForHosts(deps: ConductorDeps): Reconciler {
  const most = deps.limits.workItemsPerPass;
  return {
    name: 'wait-for-hosts',
    periodMs: deps.limits.idlePassMs,
    due: hasHostTurns,
    topics: [],
    async pass() {
      const turns = await listHostTurns(deps.db, { now: deps.clock.now(), limit: most });
      if (turns.length === 0) return { found: 0, full: false };
      const isUp = new Map(turns.map((turn) => [turn.id, turn.is_up]));
      await act(deps, async (current) => {
        const draft = await openDraft(current, {
          ids: [],
          operationIds: [...isUp.keys()],
          ledger: deps.ledger,
        });
        for (const row of draft.operations.values()) {
          const isWaiting = row.state === 'waiting';
          if (isUp.get(row.id) !== isWaiting) continue;
          moveOperation(draft, row, { event: isWaiting ? 'start' : 'wait-for-host' });
        }
        await commitDraft(draft);
      });
      return { found: turns.length, full: turns.length === most };
    },
  };
}

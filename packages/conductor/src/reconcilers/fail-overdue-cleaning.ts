import { hasOverdueCleaning, listOverdueCleaning } from '@cyborg/store/overdue-cleaning';

import type { ConductorDeps } from '../deps.ts';
import { commitDraft, openDraft } from '../orders/draft.ts';
import { failCleaning } from '../orders/outcomes.ts';
import type { Reconciler } from '../reconciler.ts';
import { act } from '../transaction.ts';
import { watchHostsReturn } from './hosts-return.ts';

/**
 * Ends cleanings that a host does not end although its agent is up: what nobody hears of stays out visibly. An agent gives
 * up on its own before that; what is still held on its host is waited for, however long.
 */
export function failOverdueCleaning(deps: ConductorDeps): Reconciler {
  const { workItemsPerPass: most, cleanDeadlineSeconds: seconds, idlePassMs } = deps.limits;
  const areHostsBack = watchHostsReturn(deps);
  const before = (now: Date): Date => new Date(now.getTime() - seconds * 1000);
  return {
    name: 'fail-overdue-cleaning',
    periodMs: idlePassMs,
    due: (now) => hasOverdueCleaning({ now, since: before(now) }),
    topics: [],
    async pass() {
      if (!areHostsBack()) return { found: 0, full: false };
      const now = deps.clock.now();
      const query = { now, since: before(now), limit: most };
      const seen = await listOverdueCleaning(deps.db, query);
      if (seen.length === 0) return { found: 0, full: false };
      await act(deps, async (current) => {
        const ids = seen.map(({ id }) => id);
        const draft = await openDraft(current, { ids, skipLocked: true, ledger: deps.ledger });
        // Looked at again under the locks.
        for (const { id, host } of await listOverdueCleaning(current.tx, query)) {
          const row = draft.accelerators.get(id);
          if (row === undefined) continue;
          const reason = `host ${host} did not clean it within ${seconds} s; its agent's log says what it was at`;
          failCleaning(draft, row, { reason, evidence: [] });
        }
        await commitDraft(draft);
      });
      return { found: seen.length, full: seen.length === most };
    },
  };
}

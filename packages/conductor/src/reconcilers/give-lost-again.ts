import { hasLost, listLostAcceleratorIds } from '@cyborg/store/lost-attachments';

import type { ConductorDeps } from '../deps.ts';
import {
  attachmentOf,
  commitDraft,
  moveAttachment,
  openDraft,
  type Draft,
} from '../orders/draft.ts';
import type { Reconciler } from '../reconciler.ts';
import { act } from '../transaction.ts';

/**
 * Gives an instance again what it lost and could not be given at once: it was starting, had no port free, or its host had
 * just come back. Each time that fails the next is later, and says so in `again_at`; what only a person can help has none.
 * The reason stays until it is another one or it is attached, so that it is not told at every try.
 */
export function giveLostAgain(deps: ConductorDeps): Reconciler {
  const most = deps.limits.workItemsPerPass;
  return {
    name: 'give-lost-again',
    periodMs: deps.limits.idlePassMs,
    due: hasLost,
    topics: [],
    async pass() {
      const ids = await listLostAcceleratorIds(deps.db, { now: deps.clock.now(), limit: most });
      if (ids.length === 0) return { found: 0, full: false };
      const given = await act(deps, async (current) => {
        const draft = await openDraft(current, {
          ids,
          skipLocked: true,
          withoutOperations: true,
          ledger: deps.ledger,
        });
        const count = [...draft.accelerators.keys()].filter((id) => giveAgain(draft, id)).length;
        await commitDraft(draft);
        return count;
      });
      return { found: ids.length, full: given > 0 && ids.length === most, notes: { given } };
    },
  };
}

/** Under the lock: another conductor may have done it. */
function giveAgain(draft: Draft, id: string): boolean {
  const attachment = attachmentOf(draft, id);
  if (attachment?.state !== 'failed' || attachment.again_at === null) return false;
  if (attachment.again_at > draft.act.now) return false;
  moveAttachment(draft, attachment, {
    event: 'returned',
    changes: { again_at: null },
    told: { data: { attempt: attachment.again_count } },
  });
  return true;
}

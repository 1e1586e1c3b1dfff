import { traced } from '@cyborg/service/tracing';
import { hasReserved, listReservedAcceleratorIds } from '@cyborg/store/holdings';

import type { ConductorDeps } from '../deps.ts';
import { attachmentOf, commitDraftLast, moveAttachment, openDraft } from '../orders/draft.ts';
import type { Reconciler } from '../reconciler.ts';
import { conductorSpans } from '../spans.ts';
import { act } from '../transaction.ts';

/**
 * Lets hosts see what is reserved for their instances. One transaction that touches nothing outside, so it needs no
 * claim: a conductor that dies in it has done nothing.
 */
export function dispatchAttachments(deps: ConductorDeps): Reconciler {
  const most = deps.limits.workItemsPerPass;
  return {
    name: 'dispatch-attachments',
    periodMs: deps.limits.idlePassMs,
    gatherMs: deps.limits.gatherMs,
    due: () => hasReserved,
    topics: ['work'],
    async pass() {
      const ids = await listReservedAcceleratorIds(deps.db, most);
      if (ids.length === 0) return { found: 0, full: false };
      const dispatched = await act(deps, async (current) => {
        const draft = await openDraft(current, {
          ids,
          skipLocked: true,
          withoutOperations: true,
          ledger: deps.ledger,
        });
        const reserved = [...draft.accelerators.keys()]
          .map((id) => attachmentOf(draft, id))
          .filter(
            (attachment) =>
              attachment?.state === 'reserved' &&
              attachment.origin === 'cyborg' &&
              attachment.allocation !== 'wanted',
          )
          .filter((attachment) => attachment !== undefined);
        for (const attachment of reserved) {
          traced(conductorSpans.dispatch, { parent: attachment.trace_parent }, () =>
            moveAttachment(draft, attachment, { event: 'dispatch' }),
          );
        }
        await commitDraftLast(draft);
        return reserved.length;
      });
      return {
        found: ids.length,
        full: dispatched > 0 && ids.length === most,
        notes: { dispatched },
      };
    },
  };
}

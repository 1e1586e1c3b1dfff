/** The reconcilers of accelerators, attachments, operations and events, for the conductor's composition. */
import type { ConductorDeps } from '../deps.ts';
import type { Reconciler } from '../reconciler.ts';
import { holdUnclaimed } from '../unclaimed/hold-found.ts';
import { dispatchAttachments } from './dispatch-attachments.ts';
import { endOverdueOperations } from './end-overdue-operations.ts';
import { failOverdueCleaning } from './fail-overdue-cleaning.ts';
import { forgetHistory } from './forget-history.ts';
import { forgetIdempotencyKeys } from './forget-idempotency-keys.ts';
import { giveLostAgain } from './give-lost-again.ts';
import { numberEvents } from './number-events.ts';
import { releaseVanished } from './release-vanished.ts';
import { waitForHosts } from './wait-for-hosts.ts';

export function attachmentReconcilers(deps: ConductorDeps): Reconciler[] {
  return [
    numberEvents(deps),
    dispatchAttachments(deps),
    waitForHosts(deps),
    endOverdueOperations(deps),
    failOverdueCleaning(deps),
    giveLostAgain(deps),
    releaseVanished(deps),
    holdUnclaimed(deps),
    forgetIdempotencyKeys(deps),
    forgetHistory(deps),
  ];
}

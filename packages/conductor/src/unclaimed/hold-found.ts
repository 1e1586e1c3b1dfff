/**
 * What a guest has although the ledger knows nothing of it is given to nobody (promise 7): its accelerator leaves the offer
 * as if it had just been returned. It is cleaned when its host says that nobody holds it any more, or adopted.
 */
import { nextEpoch, parseDeviceName } from '@cyborg/model/epoch';
import { hasUnclaimedOnOffer, listUnclaimedOnOffer } from '@cyborg/store/unclaimed';

import type { ConductorDeps } from '../deps.ts';
import { commitDraft, moveAccelerator, openDraft, wakeHost } from '../orders/draft.ts';
import type { Reconciler } from '../reconciler.ts';
import { act, type Act } from '../transaction.ts';

/** @returns how many were found; one that somebody has locked is left to the next pass. */
export async function holdFound(
  current: Act,
  deps: Pick<ConductorDeps, 'ledger' | 'limits'>,
  { hostId }: { readonly hostId?: string } = {},
): Promise<number> {
  const query = { limit: deps.limits.workItemsPerPass, ...(hostId !== undefined && { hostId }) };
  const seen = await listUnclaimedOnOffer(current.tx, query);
  if (seen.length === 0) return 0;
  const draft = await openDraft(current, {
    ids: seen.map(({ id }) => id),
    skipLocked: true,
    withoutOperations: true,
    ledger: deps.ledger,
  });
  // Looked at again under the locks; several guests may have the same one.
  const still = new Map(
    (await listUnclaimedOnOffer(current.tx, query)).map((row) => [row.id, row]),
  );
  for (const row of draft.accelerators.values()) {
    const found = still.get(row.id);
    if (found === undefined) continue;
    const { unclaimed_id, instance_id, device_name } = found;
    const named = parseDeviceName(device_name)?.epoch ?? 0;
    moveAccelerator(draft, row, {
      event: 'find-held',
      changes: {
        epoch: nextEpoch(Math.max(row.epoch, named), deps.ledger.incarnation),
        reason: `Instance ${instance_id} has it as ${device_name}, which the ledger does not know: adopt or release that (unclaimed-list).`,
        operation_id: null,
      },
      told: { data: { unclaimed_id, instance_id, device_name } },
    });
    wakeHost(draft, row.host_id);
  }
  await commitDraft(draft);
  return seen.length;
}

/** For accelerators that come on offer, or are reported, after the device was found. */
export function holdUnclaimed(deps: ConductorDeps): Reconciler {
  return {
    name: 'hold-unclaimed',
    periodMs: deps.limits.idlePassMs,
    due: () => hasUnclaimedOnOffer,
    topics: [],
    async pass() {
      if ((await listUnclaimedOnOffer(deps.db, { limit: 1 })).length === 0) {
        return { found: 0, full: false };
      }
      const found = await act(deps, (current) => holdFound(current, deps));
      return { found, full: found === deps.limits.workItemsPerPass };
    },
  };
}

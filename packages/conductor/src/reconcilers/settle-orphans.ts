/**
 * Ends what a forced uninstall has left, once no instance holds it: what another backend of the host reports too is
 * cleaned by that one's driver; what nobody can clean stays out and says so; what is clean goes from the ledger.
 */
import {
  forgetOrphans,
  hasOrphanSteps,
  listOrphanSteps,
  noteCleaningTried,
  type OrphanStep,
} from '@cyborg/store/orphans';

import type { ConductorDeps } from '../deps.ts';
import {
  commitDraft,
  moveAccelerator,
  openDraft,
  raiseEpoch,
  wakeHost,
  type Draft,
} from '../orders/draft.ts';
import { failCleaning } from '../orders/outcomes.ts';
import { recordEvents } from '../record-event.ts';
import type { Reconciler } from '../reconciler.ts';
import { act, type Act } from '../transaction.ts';

const noDriver =
  'its backend was uninstalled by force, and no other backend of the host reports the function: install its driver with a backend that does, or vouch for it with accelerator-update --state available --reason';

export function settleOrphans(deps: ConductorDeps): Reconciler {
  const most = deps.limits.workItemsPerPass;
  return {
    name: 'settle-orphans',
    periodMs: deps.limits.idlePassMs,
    due: () => hasOrphanSteps,
    topics: [],
    async pass() {
      const seen = await listOrphanSteps(deps.db, most);
      if (seen.length === 0) return { found: 0, full: false };
      await act(deps, async (current) => {
        const ids = seen.map(({ id }) => id);
        const draft = await openDraft(current, { ids, skipLocked: true, ledger: deps.ledger });
        // Looked at again under the locks.
        const still = await listOrphanSteps(current.tx, most);
        const locked = still.filter(({ id }) => draft.accelerators.has(id));
        const idsOf = (step: OrphanStep): string[] =>
          locked.filter((row) => row.step === step).map(({ id }) => id);
        for (const id of idsOf('fail')) fail(draft, id);
        for (const id of idsOf('retry')) retry(draft, id);
        await commitDraft(draft);
        await noteCleaningTried(current.tx, idsOf('retry'));
        await forget(current, idsOf('forget'));
      });
      return { found: seen.length, full: seen.length === most };
    },
  };
}

function fail(draft: Draft, id: string): void {
  const row = draft.accelerators.get(id);
  if (row?.state === 'cleaning') failCleaning(draft, row, { reason: noDriver, evidence: [] });
}

function retry(draft: Draft, id: string): void {
  const row = draft.accelerators.get(id);
  if (row?.state !== 'cleaning_failed') return;
  // What is left of the first try counts no more.
  const raised = raiseEpoch(draft, row);
  moveAccelerator(draft, raised, { event: 'retry-cleaning', changes: { reason: null } });
  wakeHost(draft, row.host_id);
}

async function forget(current: Act, ids: readonly string[]): Promise<void> {
  if (ids.length === 0) return;
  const rows = await forgetOrphans(current.tx, ids);
  await recordEvents(
    current,
    rows.map(({ id, name, host_id }) => ({
      kind: 'accelerator.deleted' as const,
      subjectKind: 'accelerator',
      subjectId: id,
      hostId: host_id,
      data: { name, why: 'its backend was uninstalled, and it is clean' },
    })),
  );
  current.wakeUps.add('deployments');
  for (const { host_id } of rows) current.wakeUps.add(`host:${host_id}`);
}

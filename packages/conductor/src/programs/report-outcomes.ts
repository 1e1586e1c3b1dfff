/** What a host's agent says of the images that it was told to write. */
import { commitDraft, openDraft } from '../orders/draft.ts';
import { act } from '../transaction.ts';
import type { ConductorDeps } from '../deps.ts';
import type { Outcome } from '../orders/outcomes.ts';
import {
  findOrderedProgramming,
  updateProgramming,
  type ProgrammingRow,
} from '@cyborg/store/programs';
import { noteProgramProgress } from './results.ts';
import { endProgramming, type ProgramEnd } from './end.ts';

/** Each in an act of its own. One of another epoch is about the past and changes nothing. */
export async function applyProgramOutcomes(
  deps: ConductorDeps,
  host: { readonly id: string },
  outcomes: readonly Outcome[],
): Promise<void> {
  for (const outcome of outcomes) {
    const { accelerator_id: acceleratorId, epoch } = outcome;
    const asked = { hostId: host.id, acceleratorId, epoch };
    const row = await findOrderedProgramming(deps.db, asked);
    if (row === undefined) continue;
    const end = endOf(outcome);
    if (end === undefined) await noteProgress(deps, row, outcome);
    else await endProgramming(deps, row.id, ({ state }) => (state === 'writing' ? end : undefined));
  }
}

function endOf({ outcome, message }: Outcome): ProgramEnd | undefined {
  if (outcome === 'updated') return { is: 'succeeded' };
  const reason = message ?? 'The host gave no reason.';
  if (outcome === 'update_failed') return { is: 'failed', reason, wasBegun: true };
  if (outcome === 'refused') return { is: 'failed', reason, wasBegun: false };
  return undefined;
}

/** Still at it: how far it is, or what keeps it. */
async function noteProgress(
  deps: ConductorDeps,
  row: ProgrammingRow,
  { percent, message }: Outcome,
): Promise<void> {
  const progress_percent = Math.max(row.progress_percent, percent ?? 0);
  if (progress_percent === row.progress_percent && message === row.reason) return;
  await act(deps, async (current) => {
    const { tx, now, wakeUps } = current;
    const { operation_id: operationId } = row;
    const operationIds = operationId === null ? [] : [operationId];
    const draft = await openDraft(current, { ids: [], operationIds, ledger: deps.ledger });
    await updateProgramming(tx, row.id, { progress_percent, reason: message, updated_at: now });
    noteProgramProgress(draft, row, progress_percent);
    await commitDraft(draft);
    wakeUps.add('programs');
  });
}

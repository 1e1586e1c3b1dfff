/** What agents see plugged, unasked. Seeing changes at most `observed`; only a guest that lost a device gets it again. */
import { listObservable } from '@cyborg/store/orders';
import type { AttachmentRow } from '@cyborg/store/holdings';

import type { ConductorDeps } from '../deps.ts';
import type { Act } from '../transaction.ts';
import {
  attachmentOf,
  commitDraft,
  moveAttachment,
  noteAttachment,
  openDraft,
  type Draft,
} from './draft.ts';

/** The agent API's `Observation`. */
export interface Observation {
  readonly attachment_id: string;
  readonly epoch: number;
  readonly observed: 'plugged' | 'missing' | 'unknown';
}

/** Writes nothing when everything is as the ledger has it. */
export async function applyObservations(
  act: Act,
  deps: Pick<ConductorDeps, 'ledger'>,
  given: { readonly host: { readonly id: string }; readonly observations: readonly Observation[] },
): Promise<void> {
  if (given.observations.length === 0) return;
  const seen = new Map(given.observations.map((one) => [one.attachment_id, one]));
  const rows = await listObservable(act.tx, {
    hostId: given.host.id,
    attachmentIds: [...seen.keys()],
  });
  const news = rows.filter((row) => isNews(seen.get(row.id), row));
  if (news.length === 0) return;
  const ids = news.map((row) => row.accelerator_id);
  const draft = await openDraft(act, { ids, ledger: deps.ledger });
  for (const id of draft.accelerators.keys()) {
    const attachment = attachmentOf(draft, id);
    const observation = attachment && seen.get(attachment.id);
    if (attachment && observation && isNews(observation, attachment)) {
      applyObservation(draft, observation, attachment);
    }
  }
  await commitDraft(draft);
}

function isNews(
  observation: Observation | undefined,
  row: Pick<AttachmentRow, 'epoch' | 'observed' | 'state' | 'plugged_by'>,
): boolean {
  if (observation === undefined || observation.epoch !== row.epoch) return false;
  return observation.observed !== row.observed || isLost(observation, row);
}

/** For `nova` we only look: Nova plugs again by itself. */
function isLost(
  { observed }: Observation,
  row: Pick<AttachmentRow, 'state' | 'plugged_by'>,
): boolean {
  return observed === 'missing' && row.state === 'attached' && row.plugged_by === 'agent';
}

function applyObservation(draft: Draft, observation: Observation, attachment: AttachmentRow): void {
  const { observed } = observation;
  if (isLost(observation, attachment)) {
    // The same epoch, so the same device name: it is the same giving, made true again.
    moveAttachment(draft, attachment, {
      event: 'lost',
      changes: { observed },
      told: { kind: 'attachment.lost' },
    });
  } else if (observed !== attachment.observed) {
    noteAttachment(draft, attachment, {
      changes: { observed },
      told: { kind: 'attachment.observed', data: { observed } },
    });
  }
}

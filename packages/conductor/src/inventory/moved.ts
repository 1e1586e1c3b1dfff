/**
 * A card that is known by its serial number and came back at another address, while an instance holds it. The attachment
 * follows it under a new device name: an instance that still has the device of before, at an address that may be another
 * card's by now, is refused by its agent until that one is taken away.
 */
import { normalPciAddress } from './claims.ts';
import {
  attachmentOf,
  commitDraft,
  moveAttachment,
  noteAttachment,
  openDraft,
  raiseEpoch,
  type Draft,
} from '../orders/draft.ts';
import type { AttachmentRow } from '@cyborg/store/holdings';
import type { Applying } from './applying.ts';
import type { AcceleratorFacts, AcceleratorRow } from './rows.ts';

interface Move {
  readonly id: string;
  readonly was: string;
  readonly is: string;
}

export async function followMoved(
  { act, deps, known }: Applying,
  changed: ReadonlyMap<string, AcceleratorFacts>,
): Promise<void> {
  const moves = known.accelerators.flatMap((row) => moveOf(row, changed.get(row.id)) ?? []);
  if (moves.length === 0) return;
  const draft = await openDraft(act, { ids: moves.map(({ id }) => id), ledger: deps.ledger });
  for (const move of moves) follow(draft, move);
  await commitDraft(draft);
}

function moveOf(row: AcceleratorRow, facts: AcceleratorFacts | undefined): Move | undefined {
  if (facts === undefined || facts.presence === 'absent' || row.attachment_id === null) return;
  const was = addressOf(row);
  const is = addressOf(facts);
  return was === undefined || is === undefined || was === is ? undefined : { id: row.id, was, is };
}

function addressOf({ attach_info: info, plans }: AcceleratorFacts): string | undefined {
  const { domain, bus, device, function: fn } = info;
  if (!plans.includes('pci') || domain === undefined) return undefined;
  return normalPciAddress(`${domain}:${bus}:${device}.${fn}`);
}

function follow(draft: Draft, { id, was, is }: Move): void {
  const accelerator = draft.accelerators.get(id);
  const attachment = attachmentOf(draft, id);
  if (accelerator === undefined || attachment === undefined) return;
  const data = { was_at: was, is_at: is };
  if (attachment.plugged_by !== 'agent') {
    const reason = `its card moved from ${was} to ${is}: hard reboot the server, so that Nova writes the new address`;
    note(draft, attachment, { reason, data });
    return;
  }
  if (attachment.state !== 'attached') return;
  const { epoch } = raiseEpoch(draft, accelerator);
  moveAttachment(draft, attachment, {
    event: 'lost',
    changes: { observed: 'unknown', epoch, device_epoch: epoch },
    told: { kind: 'attachment.lost', data },
  });
}

function note(
  draft: Draft,
  attachment: AttachmentRow,
  { reason, data }: { reason: string; data: Readonly<Record<string, unknown>> },
): void {
  noteAttachment(draft, attachment, {
    changes: { reason },
    told: { kind: 'attachment.observed', data: { reason, ...data } },
  });
}

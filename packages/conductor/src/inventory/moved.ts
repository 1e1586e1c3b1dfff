/**
 * A card that came back while an instance holds it. If the instance lost it meanwhile, and could not get it again because
 * it was away, it gets it now. A card that is known by its serial number may be at another address: the attachment follows
 * it under a new device name, and an instance that still has the device of before, at an address that may be another
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

interface Return {
  readonly id: string;
  readonly move: Move | undefined;
}

interface Move {
  readonly was: string;
  readonly is: string;
}

export async function followReturned(
  { act, deps, known }: Applying,
  changed: ReadonlyMap<string, AcceleratorFacts>,
): Promise<void> {
  const returned = known.accelerators.flatMap((row) => returnOf(row, changed.get(row.id)) ?? []);
  if (returned.length === 0) return;
  const draft = await openDraft(act, { ids: returned.map(({ id }) => id), ledger: deps.ledger });
  for (const { id, move } of returned) {
    if (move === undefined) giveAgain(draft, id);
    else follow(draft, id, move);
  }
  await commitDraft(draft);
}

function returnOf(row: AcceleratorRow, facts: AcceleratorFacts | undefined): Return | undefined {
  if (facts === undefined || facts.presence === 'absent' || row.attachment_id === null) return;
  const was = addressOf(row);
  const is = addressOf(facts);
  const isMoved = was !== undefined && is !== undefined && was !== is;
  if (!isMoved && row.presence !== 'absent') return;
  return { id: row.id, move: isMoved ? { was, is } : undefined };
}

function addressOf({ attach_info: info, plans }: AcceleratorFacts): string | undefined {
  const { domain, bus, device, function: fn } = info;
  if (!plans.includes('pci') || domain === undefined) return undefined;
  return normalPciAddress(`${domain}:${bus}:${device}.${fn}`);
}

function giveAgain(draft: Draft, id: string): void {
  const attachment = attachmentOf(draft, id);
  if (attachment?.state !== 'failed' || attachment.plugged_by !== 'agent') return;
  moveAttachment(draft, attachment, { event: 'returned', changes: { reason: null } });
}

function follow(draft: Draft, id: string, { was, is }: Move): void {
  const accelerator = draft.accelerators.get(id);
  const attachment = attachmentOf(draft, id);
  if (accelerator === undefined || attachment === undefined) return;
  const data = { was_at: was, is_at: is };
  if (attachment.plugged_by !== 'agent') {
    const reason = `its card moved from ${was} to ${is}: hard reboot the server, so that Nova writes the new address`;
    note(draft, attachment, { reason, data });
    return;
  }
  if (attachment.state !== 'attached' && attachment.state !== 'failed') return;
  const { epoch } = raiseEpoch(draft, accelerator);
  moveAttachment(draft, attachment, {
    event: attachment.state === 'attached' ? 'lost' : 'returned',
    changes: { observed: 'unknown', reason: null, epoch, device_epoch: epoch },
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

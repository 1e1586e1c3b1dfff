/**
 * A card that came back while an instance holds it. If the instance lost it meanwhile, and could not get it again because
 * it was away, it gets it now. A card that is known by its serial number may be at another address: the attachment follows
 * it under a new device name, and an instance that still has the device of before, at an address that may be another
 * card's by now, is refused by its agent until that one is taken away.
 */
import { isDeepStrictEqual } from 'node:util';

import { pciAddressOf } from './claims.ts';
import {
  attachmentOf,
  commitDraft,
  moveAttachment,
  noteAttachment,
  openDraft,
  raiseEpoch,
  wakeHost,
  type Draft,
} from '../orders/draft.ts';
import type { AttachmentRow } from '@cyborg/store/holdings';
import type { Applying } from './applying.ts';
import type { Absence, AcceleratorFacts, AcceleratorRow } from './rows.ts';

/** Failures of before are about what was before. */
const anew = { again_at: null, again_count: 0 } as const;

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
  changed: ReadonlyMap<string, AcceleratorFacts | Absence>,
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

function returnOf(
  row: AcceleratorRow,
  facts: AcceleratorFacts | Absence | undefined,
): Return | undefined {
  if (facts === undefined || facts.presence === 'absent' || row.attachment_id === null) return;
  const was = pciAddressOf(row);
  const is = pciAddressOf(facts);
  const isMoved = was !== undefined && is !== undefined && was !== is;
  if (!isMoved && row.presence !== 'absent') return;
  return { id: row.id, move: isMoved ? { was, is } : undefined };
}

function giveAgain(draft: Draft, id: string): void {
  const attachment = attachmentOf(draft, id);
  if (attachment?.state !== 'failed' || attachment.plugged_by !== 'agent') return;
  moveAttachment(draft, attachment, { event: 'returned', changes: { reason: null, ...anew } });
}

function follow(draft: Draft, id: string, { was, is }: Move): void {
  const accelerator = draft.accelerators.get(id);
  const attachment = attachmentOf(draft, id);
  if (accelerator === undefined || attachment === undefined) return;
  const data = { was_at: was, is_at: is };
  const left_addresses = addressesLeft(attachment, { was, is });
  if (attachment.plugged_by !== 'agent') {
    const reason = `its card moved from ${was} to ${is}: hard reboot the server, so that Nova writes the new address`;
    noteAttachment(draft, attachment, {
      changes: { reason, left_addresses },
      told: { kind: 'attachment.observed', data: { reason, ...data } },
    });
    return;
  }
  if (attachment.state === 'reserved' || attachment.state === 'detaching') {
    if (isDeepStrictEqual(left_addresses, attachment.left_addresses)) return;
    noteAttachment(draft, attachment, {
      changes: { left_addresses },
      told: { kind: 'attachment.observed', data },
    });
    return;
  }
  const { epoch } = raiseEpoch(draft, accelerator);
  const renewed = { epoch, device_epoch: epoch, observed: 'unknown', reason: null } as const;
  const changes = { ...renewed, left_addresses, ...anew };
  if (attachment.state === 'attaching') {
    // Its host may say any moment that it is attached, and mean where the card was.
    noteAttachment(draft, attachment, { changes, told: { kind: 'attachment.observed', data } });
    wakeHost(draft, accelerator.host_id);
    return;
  }
  moveAttachment(draft, attachment, {
    event: attachment.state === 'attached' ? 'lost' : 'returned',
    changes,
    told: { kind: 'attachment.lost', data },
  });
}

/** Where its instance may still have it. Nothing was plugged for what was only reserved. */
function addressesLeft(
  { state, left_addresses: before }: AttachmentRow,
  { was, is }: Move,
): readonly string[] {
  if (state === 'reserved') return before;
  return [...new Set([...before, was])].filter((address) => address !== is);
}

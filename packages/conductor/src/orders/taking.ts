/** Taking accelerators back: the steps that outcomes, requests, deadlines and vanished instances share. */
import type { AttachmentRow, AcceleratorRow } from '@cyborg/store/holdings';

import { offeringOfRow } from '../inventory/offerings.ts';
import {
  attachmentOf,
  moveAccelerator,
  moveAttachment,
  raiseEpoch,
  wakeHost,
  type Draft,
  type Told,
} from './draft.ts';
import { noteResult } from './results.ts';

const unheld = { attachment_id: null, instance_id: null, project_id: null } as const;

export interface Taking {
  /** The operation that waits for it; null = nobody's. */
  readonly operationId: string | null;
  readonly reason: string | null;
  readonly told?: Told;
}

/**
 * Begins to take an accelerator away from its instance, or ends at once what has not begun: a reservation that no agent
 * has been told of. An attachment that is detaching already stays as it is.
 */
export function take(draft: Draft, accelerator: AcceleratorRow, taking: Taking): void {
  const attachment = attachmentOf(draft, accelerator.id);
  if (attachment === undefined || attachment.state === 'detaching') return;
  leaveOperation(draft, attachment, taking);
  if (attachment.state === 'reserved') {
    cancelReservation(draft, { accelerator, attachment, taking });
    return;
  }
  const { epoch } = raiseEpoch(draft, accelerator);
  moveAttachment(draft, attachment, {
    event: 'detach',
    changes: { epoch, operation_id: taking.operationId, reason: taking.reason },
    ...(taking.told && { told: taking.told }),
  });
}

/** Takes back all that one request has been given; what is under another operation by now stays. */
export function takeAll(draft: Draft, taking: Taking & { readonly operationId: string }): void {
  for (const attachment of draft.attachments.values()) {
    const accelerator = draft.accelerators.get(attachment.accelerator_id ?? '');
    if (accelerator !== undefined && attachment.operation_id === taking.operationId) {
      take(draft, accelerator, taking);
    }
  }
}

/** The host says that nothing is plugged any more: the attachment ends and the accelerator is to be cleaned. */
export function release(
  draft: Draft,
  attachment: AttachmentRow,
  accelerator: AcceleratorRow,
): void {
  const operation =
    attachment.operation_id === null ? undefined : draft.operations.get(attachment.operation_id);
  moveAttachment(draft, attachment, { event: 'released', changes: { observed: 'missing' } });
  const waits = operation?.kind === 'attach-instance' ? null : attachment.operation_id;
  startCleaning(draft, accelerator, { operationId: waits });
  if (operation?.kind === 'attach-instance') {
    noteResult(draft, operation.id, {
      acceleratorId: accelerator.id,
      outcome: 'failed',
      message: attachment.reason ?? 'It was given back before it was attached.',
    });
  }
}

/** Gives up on the host: the ledger lets go now, and what the host may still do is fenced off. */
export function forceRelease(draft: Draft, accelerator: AcceleratorRow, taking: Taking): void {
  const attachment = attachmentOf(draft, accelerator.id);
  if (attachment === undefined) return;
  leaveOperation(draft, attachment, taking);
  if (attachment.state === 'reserved') {
    cancelReservation(draft, { accelerator, attachment, taking });
    return;
  }
  const raised = raiseEpoch(draft, accelerator);
  const detaching =
    attachment.state === 'detaching'
      ? attachment
      : moveAttachment(draft, attachment, { event: 'detach' });
  moveAttachment(draft, detaching, {
    event: 'force-release',
    changes: { epoch: raised.epoch, reason: taking.reason, operation_id: taking.operationId },
    told: { data: { forced: true } },
  });
  startCleaning(draft, raised, { operationId: null });
}

/**
 * What Nova plugged is Nova's to unplug, so the ledger lets go at once: the accelerator is cleaned when its host says that
 * nothing holds it any more. Unbound, the request stays and may be bound again.
 */
export function letGo(
  draft: Draft,
  accelerator: AcceleratorRow,
  { isUnbound, reason }: { readonly isUnbound: boolean; readonly reason: string | null },
): void {
  const attachment = attachmentOf(draft, accelerator.id);
  if (attachment === undefined || attachment.state === 'detaching') return;
  const raised = raiseEpoch(draft, accelerator);
  const detaching = moveAttachment(draft, attachment, {
    event: 'detach',
    changes: { epoch: raised.epoch, reason },
  });
  moveAttachment(
    draft,
    detaching,
    isUnbound ? { event: 'unbound', changes: unbound } : { event: 'released' },
  );
  startCleaning(draft, raised, { operationId: null });
}

/** A request that holds nothing any more, and may be bound again. */
export const unbound = {
  accelerator_id: null,
  host_id: null,
  instance_id: null,
  hostname: null,
  was_bound: true,
  observed: 'unknown',
  reason: null,
} as const;

/** Back on offer, or withheld for a reason that came up meanwhile; out until the end of a writing that goes on. */
export function putBack(
  draft: Draft,
  accelerator: AcceleratorRow,
  kind: 'cleaned' | 'unreserved',
): void {
  if (kind === 'unreserved' && accelerator.programming_id !== null) {
    const reason = 'a program image is being written';
    moveAccelerator(draft, accelerator, {
      event: 'update',
      changes: { ...unheld, reason, operation_id: null },
    });
    return;
  }
  const offering = offeringOfRow(accelerator);
  const events = {
    cleaned: { available: 'clean', withheld: 'clean-withheld' },
    unreserved: { available: 'unreserve', withheld: 'update-withheld' },
  } as const;
  moveAccelerator(draft, accelerator, {
    event: events[kind][offering.state],
    changes: { ...unheld, reason: offering.reason, operation_id: null },
  });
}

/** Another request takes over: the one that had the attachment until now waits for it no longer. */
function leaveOperation(draft: Draft, attachment: AttachmentRow, taking: Taking): void {
  const earlier = draft.operations.get(attachment.operation_id ?? '');
  if (earlier === undefined || earlier.id === taking.operationId) return;
  const isAttach = earlier.kind === 'attach-instance';
  noteResult(draft, earlier.id, {
    acceleratorId: attachment.accelerator_id ?? '',
    outcome: isAttach ? 'failed' : 'succeeded',
    message: isAttach ? 'It was taken back before the request was done.' : taking.reason,
  });
}

function startCleaning(
  draft: Draft,
  accelerator: AcceleratorRow,
  { operationId }: { readonly operationId: string | null },
): void {
  moveAccelerator(draft, accelerator, {
    event: 'take',
    changes: { ...unheld, reason: null, operation_id: operationId },
  });
  wakeHost(draft, accelerator.host_id);
}

/** Nothing was prepared on the host, so nothing has to be cleaned. */
function cancelReservation(
  draft: Draft,
  given: {
    readonly accelerator: AcceleratorRow;
    readonly attachment: AttachmentRow;
    readonly taking: Taking;
  },
): void {
  const raised = raiseEpoch(draft, given.accelerator);
  moveAttachment(draft, given.attachment, {
    event: 'cancel',
    changes: { epoch: raised.epoch, reason: given.taking.reason },
    ...(given.taking.told && { told: given.taking.told }),
  });
  putBack(draft, raised, 'unreserved');
  noteResult(draft, given.taking.operationId, {
    acceleratorId: given.accelerator.id,
    outcome:
      draft.operations.get(given.taking.operationId ?? '')?.kind === 'attach-instance'
        ? 'failed'
        : 'succeeded',
    message: given.taking.reason,
  });
}

/** Ending and unbinding requests, whoever gave them what they hold. */
import type { AttachmentRow } from '@cyborg/store/holdings';

import { moveAttachment, noteAttachment, raiseEpoch, type Draft } from '../../orders/draft.ts';
import { letGo, putBack, take, unbound } from '../../orders/taking.ts';

const reasons = {
  deleted: 'Its accelerator request was deleted.',
  unbound: 'It was unbound.',
} as const;

/** Its accelerator is kept for it, and was never given: a program image is being written. */
function isAwaitingImage({ state, origin }: AttachmentRow): boolean {
  return state === 'reserved' && origin === 'nova';
}

/** The request ends; what it holds is cleaned when its host says that nothing holds it any more. */
export function endArq(draft: Draft, arq: AttachmentRow): void {
  const accelerator = draft.accelerators.get(arq.accelerator_id ?? '');
  if (arq.state === 'requested' || accelerator === undefined) {
    if (arq.state === 'requested') moveAttachment(draft, arq, { event: 'cancel' });
    if (arq.state === 'failed') {
      const detaching = moveAttachment(draft, arq, { event: 'detach' });
      moveAttachment(draft, detaching, { event: 'released' });
    }
  } else if (isAwaitingImage(arq)) {
    moveAttachment(draft, arq, {
      event: 'cancel',
      changes: { bind_id: null, reason: reasons.deleted },
    });
    putBack(draft, raiseEpoch(draft, accelerator), 'unreserved');
  } else if (arq.origin === 'nova') {
    letGo(draft, accelerator, { isUnbound: false, reason: reasons.deleted });
  } else {
    take(draft, accelerator, { operationId: null, reason: reasons.deleted });
  }
}

/** Only of Nova's origin. The request stays, keeps its project, and may be bound again. */
export function unbindArq(draft: Draft, arq: AttachmentRow): void {
  const accelerator = draft.accelerators.get(arq.accelerator_id ?? '');
  if (accelerator !== undefined && isAwaitingImage(arq)) {
    const detaching = moveAttachment(draft, arq, { event: 'detach' });
    moveAttachment(draft, detaching, { event: 'unbound', changes: { ...unbound, bind_id: null } });
    putBack(draft, raiseEpoch(draft, accelerator), 'unreserved');
  } else if (arq.state === 'failed' && accelerator === undefined) {
    const detaching = moveAttachment(draft, arq, { event: 'detach' });
    moveAttachment(draft, detaching, { event: 'unbound', changes: unbound });
  } else if (accelerator !== undefined) {
    letGo(draft, accelerator, { isUnbound: true, reason: reasons.unbound });
  } else if (!arq.was_bound) {
    noteAttachment(draft, arq, {
      changes: { was_bound: true },
      told: { kind: 'attachment.unbound', data: { reason: reasons.unbound } },
    });
  }
}

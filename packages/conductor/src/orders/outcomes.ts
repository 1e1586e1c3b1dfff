/**
 * What agents say became of their orders. Every outcome names the epoch of its order: one that is not the current epoch
 * is about the past and changes nothing, so that an outcome may come late, twice, or after its opposite.
 */
import type { AttachmentRow, AcceleratorRow } from '@cyborg/store/holdings';
import { traced } from '@cyborg/service/tracing';
import { listSiblingAcceleratorIds } from '@cyborg/store/holdings';
import { refusedPrefix, retriedPrefix } from '@cyborg/store/refused-orders';

import type { ConductorDeps } from '../deps.ts';
import type { ConductorLimits } from '../limits.ts';
import { conductorSpans } from '../spans.ts';
import type { Act } from '../transaction.ts';
import {
  attachmentOf,
  commitDraft,
  moveAccelerator,
  moveAttachment,
  noteAccelerator,
  noteAttachment,
  openDraft,
  tell,
  type Draft,
} from './draft.ts';
import { noteResult } from './results.ts';
import { putBack, release, take, takeAll } from './taking.ts';

/** The agent API's `OrderOutcome`. */
export interface Outcome {
  readonly kind: 'attach' | 'detach' | 'clean' | 'update';
  readonly attachment_id: string | null;
  readonly accelerator_id: string;
  readonly epoch: number;
  readonly outcome:
    | 'attached'
    | 'failed'
    | 'released'
    | 'cleaned'
    | 'clean_failed'
    | 'updated'
    | 'update_failed'
    | 'held'
    | 'refused'
    | 'retrying';
  readonly message: string | null;
  readonly evidence: readonly string[];
  /** For an attach that failed: no other try can help before a person has done something. */
  readonly needs_person?: boolean | undefined;
  /** For update: how far it is. */
  readonly percent?: number | undefined;
  /** Of the agent's span. */
  readonly trace_parent?: string | null | undefined;
}

/** Applies a report's outcomes in their order, all in the given act. Accelerators of other hosts are left alone. */
export async function applyOutcomes(
  act: Act,
  deps: Pick<ConductorDeps, 'ledger' | 'limits'>,
  {
    host,
    outcomes,
  }: { readonly host: { readonly id: string }; readonly outcomes: readonly Outcome[] },
): Promise<void> {
  if (outcomes.length === 0) return;
  const failed = outcomes.flatMap(({ outcome, attachment_id: id }) =>
    outcome === 'failed' && id !== null ? [id] : [],
  );
  const siblings = await listSiblingAcceleratorIds(act.tx, {
    hostId: host.id,
    attachmentIds: failed,
  });
  const ids = [...new Set([...outcomes.map((outcome) => outcome.accelerator_id), ...siblings])];
  const draft = await openDraft(act, { ids, ledger: deps.ledger });
  for (const outcome of outcomes) {
    const accelerator = draft.accelerators.get(outcome.accelerator_id);
    if (accelerator?.host_id === host.id) {
      const attributes = { 'cyborg.order': outcome.kind, 'cyborg.outcome': outcome.outcome };
      traced(conductorSpans.outcome, { parent: outcome.trace_parent, attributes }, () =>
        applyOutcome(draft, outcome, { accelerator, limits: deps.limits }),
      );
    }
  }
  await commitDraft(draft);
}

interface Subject {
  readonly accelerator: AcceleratorRow;
  readonly limits: ConductorLimits;
}

function applyOutcome(draft: Draft, outcome: Outcome, { accelerator, limits }: Subject): void {
  if (outcome.outcome === 'refused') {
    refuse(draft, outcome, accelerator);
    return;
  }
  if (outcome.kind === 'update') return; // programs/report-outcomes.ts
  if (outcome.kind === 'clean') {
    if (isCleaning(accelerator, outcome)) applyCleaning(draft, outcome, accelerator);
    return;
  }
  const attachment = attachmentOf(draft, accelerator.id);
  if (attachment?.id !== outcome.attachment_id || attachment.epoch !== outcome.epoch) return;
  if (outcome.kind === 'attach' && attachment.state === 'attaching') {
    applyAttaching(draft, outcome, { accelerator, attachment, limits });
  }
  if (outcome.kind === 'detach' && attachment.state === 'detaching') {
    if (outcome.outcome === 'released') release(draft, attachment, accelerator);
    else noteRetrying(draft, outcome, attachment);
  }
}

interface Holding extends Subject {
  readonly attachment: AttachmentRow;
}

function applyAttaching(draft: Draft, outcome: Outcome, holding: Holding): void {
  const { accelerator, attachment } = holding;
  if (outcome.outcome === 'attached') {
    moveAttachment(draft, attachment, {
      event: 'plugged',
      changes: { observed: 'plugged', reason: null, again_at: null, again_count: 0 },
    });
    if (accelerator.state === 'reserved') moveAccelerator(draft, accelerator, { event: 'attach' });
    noteResult(draft, attachment.operation_id, {
      acceleratorId: accelerator.id,
      outcome: 'succeeded',
      message: null,
    });
  } else if (outcome.outcome === 'failed') {
    failAttaching(draft, outcome, holding);
  } else noteRetrying(draft, outcome, attachment);
}

/**
 * A first attach is unwound, with its whole request; what was attached before keeps its accelerator, says why, and is given
 * again by reconcilers/give-lost-again.ts.
 */
function failAttaching(draft: Draft, outcome: Outcome, holding: Holding): void {
  const { accelerator, attachment, limits } = holding;
  const message = outcome.message ?? 'The host gave no reason.';
  if (accelerator.state === 'attached' || accelerator.state === 'orphaned') {
    const pauseMs = pauseBefore(attachment.again_count + 1, limits);
    const again_at =
      outcome.needs_person === true ? null : new Date(draft.act.now.getTime() + pauseMs);
    moveAttachment(draft, attachment, {
      event: 'fail',
      changes: {
        observed: 'missing',
        reason: message,
        again_at,
        again_count: attachment.again_count + 1,
      },
      told: { data: { again_at: again_at?.toISOString() ?? null } },
    });
    return;
  }
  const operationId = attachment.operation_id;
  take(draft, accelerator, { operationId, reason: `${accelerator.name}: ${message}` });
  if (operationId === null || !draft.operations.has(operationId)) return;
  takeAll(draft, {
    operationId,
    reason: `${accelerator.name} of the same request could not be attached: ${message}`,
  });
}

function pauseBefore(attempt: number, limits: ConductorLimits): number {
  const { giveAgainFirstSeconds: first, giveAgainMaxSeconds: most } = limits;
  return Math.min(most, first * 2 ** (attempt - 1)) * 1000;
}

function applyCleaning(draft: Draft, outcome: Outcome, accelerator: AcceleratorRow): void {
  const result = { acceleratorId: accelerator.id, outcome: 'succeeded' } as const;
  if (outcome.outcome === 'cleaned') {
    noteResult(draft, accelerator.operation_id, { ...result, message: null });
    tellCleaned(draft, outcome, accelerator);
    putBack(draft, accelerator, 'cleaned');
  } else if (outcome.outcome === 'clean_failed') {
    const reason = outcome.message ?? 'The host gave no reason.';
    failCleaning(draft, accelerator, { reason, evidence: outcome.evidence });
  } else noteWaiting(draft, outcome, accelerator);
}

/** What was done to it, for whoever asks later: it is kept with the event. */
function tellCleaned(draft: Draft, { evidence }: Outcome, accelerator: AcceleratorRow): void {
  const { id, host_id: hostId, epoch, resetless_reason: resetless } = accelerator;
  const accepted = resetless === null ? {} : { resetless_reason: resetless };
  tell(draft, {
    kind: 'accelerator.cleaned',
    subjectKind: 'accelerator',
    subjectId: id,
    hostId,
    data: { epoch, evidence, ...accepted },
  });
}

/** The detach has succeeded all the same; what is not clean stays out, visibly. */
export function failCleaning(
  draft: Draft,
  accelerator: AcceleratorRow,
  { reason, evidence }: { readonly reason: string; readonly evidence: readonly string[] },
): void {
  noteResult(draft, accelerator.operation_id, {
    acceleratorId: accelerator.id,
    outcome: 'succeeded',
    message: `It is detached, but ${accelerator.name} could not be cleaned and stays out: ${reason}`,
  });
  moveAccelerator(draft, accelerator, {
    event: 'fail-cleaning',
    changes: { reason, operation_id: null },
    told: { data: { evidence } },
  });
  // What took its place was told to wait for the end of its attachment.
  if (accelerator.presence === 'absent') draft.cleared.add(accelerator.host_id);
}

/** Something still holds the function, or its driver could not do it yet; the agent tries again. Told once for each reason. */
function noteWaiting(draft: Draft, outcome: Outcome, accelerator: AcceleratorRow): void {
  const isHeld = outcome.outcome === 'held';
  const message =
    outcome.message ?? (isHeld ? 'It is still held on its host.' : 'no reason given.');
  const reason = isHeld ? message : `${retriedPrefix}${message}`;
  if (reason === accelerator.reason) return;
  noteAccelerator(draft, accelerator, {
    changes: { reason },
    told: { kind: 'accelerator.cleaning-waits', data: { reason, evidence: outcome.evidence } },
  });
  noteResult(draft, accelerator.operation_id, {
    acceleratorId: accelerator.id,
    outcome: 'pending',
    message: `Cleaning waits: ${reason}`,
  });
}

function noteRetrying(draft: Draft, outcome: Outcome, attachment: AttachmentRow): void {
  const reason = outcome.message;
  if (outcome.outcome !== 'retrying' || reason === null || reason === attachment.reason) return;
  noteAttachment(draft, attachment, {
    changes: { reason },
    told: { kind: 'attachment.retrying', data: { evidence: outcome.evidence } },
  });
  noteResult(draft, attachment.operation_id, {
    acceleratorId: outcome.accelerator_id,
    outcome: 'pending',
    message: reason,
  });
}

/**
 * A lower epoch than the host has seen, or another ledger's order: it stays as it is, and says why. Told once for each
 * reason; the host tries it again and again.
 */
function refuse(draft: Draft, outcome: Outcome, accelerator: AcceleratorRow): void {
  const reason = `${refusedPrefix}${outcome.message ?? 'it gives no reason.'} ${wayOut[outcome.kind]}`;
  const attachment = attachmentOf(draft, accelerator.id);
  if (outcome.kind === 'clean' && isCleaning(accelerator, outcome)) {
    if (reason === accelerator.reason) return;
    noteAccelerator(draft, accelerator, {
      changes: { reason },
      told: { kind: 'accelerator.order-refused', data: refusalOf(outcome, accelerator) },
    });
    return;
  }
  if (attachment !== undefined && isOrdered(attachment, outcome)) {
    if (reason === attachment.reason) return;
    const changes = { reason };
    noteAttachment(draft, attachment, { changes, told: { kind: 'attachment.order-refused' } });
    noteResult(draft, attachment.operation_id, {
      acceleratorId: accelerator.id,
      outcome: 'pending',
      message: reason,
    });
  }
  tell(draft, {
    kind: 'accelerator.order-refused',
    subjectKind: 'accelerator',
    subjectId: accelerator.id,
    hostId: accelerator.host_id,
    projectId: accelerator.project_id,
    data: refusalOf(outcome, accelerator),
  });
}

const wayOut: Readonly<Record<Outcome['kind'], string>> = {
  attach: 'Detach it (detach-instance), and attach it again if it is wanted.',
  detach: 'Detach it once more (detach-instance): that is a new order.',
  clean: 'If the ledger was restored from a backup: cyborg-server new-incarnation orders it anew.',
  update: 'Order it anew.',
};

function isCleaning({ state, epoch }: AcceleratorRow, outcome: Outcome): boolean {
  return state === 'cleaning' && epoch === outcome.epoch;
}

function isOrdered({ id, state, epoch }: AttachmentRow, outcome: Outcome): boolean {
  if (id !== outcome.attachment_id || epoch !== outcome.epoch) return false;
  return state === (outcome.kind === 'attach' ? 'attaching' : 'detaching');
}

function refusalOf(outcome: Outcome, accelerator: AcceleratorRow): Record<string, unknown> {
  return {
    order: outcome.kind,
    attachment_id: outcome.attachment_id,
    epoch: outcome.epoch,
    current_epoch: accelerator.epoch,
    message: outcome.message,
    evidence: outcome.evidence,
  };
}

/**
 * A draft of one act on held accelerators: rows as they are and as they will be. Every change of a state goes through
 * `move…`, which asks the state machine and writes the event, so that neither can be forgotten (promise 2).
 */
import { acceleratorLifecycle, type AcceleratorEvent } from '@cyborg/model/accelerator-lifecycle';
import {
  attachmentLifecycle,
  type AttachmentEvent,
  type AttachmentState,
} from '@cyborg/model/attachment-lifecycle';
import { nextEpoch } from '@cyborg/model/epoch';
import { nextState } from '@cyborg/model/lifecycle';
import { operationLifecycle, type OperationEvent } from '@cyborg/model/operation-lifecycle';
import { traceParent } from '@cyborg/service/tracing';
import {
  listLiveAttachments,
  lockAccelerators,
  type AttachmentRow,
  type AcceleratorRow,
  type LockOptions,
} from '@cyborg/store/holdings';
import {
  writeLastLedgerChanges,
  writeLedgerChanges,
  type EventChange,
  type LedgerChanges,
  type NewAttachment,
} from '@cyborg/store/ledger-changes';
import { lookAgainAtDoubts } from '@cyborg/store/lost-attachments';
import { lockOpenOperations, type OperationRow } from '@cyborg/store/operations';

import type { Ledger } from '../deps.ts';
import type { Change } from '../dry-run.ts';
import { changedAt } from '../etag.ts';
import type { KeptAnswer } from '../idempotency.ts';
import type { NewEvent } from '../record-event.ts';
import type { Act } from '../transaction.ts';

export interface Draft {
  readonly act: Act;
  readonly ledger: Ledger;
  /** Who acts; null = the system or an agent. */
  readonly userId: string | null;
  readonly accelerators: Map<string, AcceleratorRow>;
  readonly attachments: Map<string, AttachmentRow>;
  /** Those that have not ended. */
  readonly operations: Map<string, OperationRow>;
  readonly newAttachments: LedgerChanges['newAttachments'][number][];
  readonly newOperations: OperationRow[];
  readonly events: EventChange[];
  readonly changed: Set<object>;
  /** Hosts on which an address that an instance may have named is nobody's any more. */
  readonly cleared: Set<string>;
}

export interface DraftOptions extends LockOptions {
  readonly ledger: Ledger;
  readonly userId?: string | null;
  /** The act ends no operation, so it need not wait for one. */
  readonly withoutOperations?: boolean;
  /** Operations to lock beside those that the accelerators and attachments name. */
  readonly operationIds?: readonly string[];
}

export function emptyDraft(act: Act, options: Pick<DraftOptions, 'ledger' | 'userId'>): Draft {
  return {
    act,
    ledger: options.ledger,
    userId: options.userId ?? null,
    accelerators: new Map(),
    attachments: new Map(),
    operations: new Map(),
    newAttachments: [],
    newOperations: [],
    events: [],
    changed: new Set(),
    cleared: new Set(),
  };
}

/** Locks accelerators (in id order), then reads what holds them, then locks the operations that wait for them. */
export async function openDraft(act: Act, options: DraftOptions): Promise<Draft> {
  const draft = emptyDraft(act, options);
  for (const row of await lockAccelerators(act.tx, options)) draft.accelerators.set(row.id, row);
  const held = [...draft.accelerators.keys()];
  const live = held.length === 0 ? [] : await listLiveAttachments(act.tx, held);
  for (const row of live) draft.attachments.set(row.id, row);
  if (options.withoutOperations === true) return draft;
  const waiting = [
    ...(options.operationIds ?? []),
    ...[...draft.accelerators.values(), ...live].flatMap((row) => row.operation_id ?? []),
  ];
  if (waiting.length > 0) {
    const ids = [...new Set(waiting)];
    const open = await lockOpenOperations(act.tx, { ids, withoutLock: options.withoutLock });
    for (const row of open) draft.operations.set(row.id, row);
  }
  return draft;
}

/** For a dry run: what the draft would change, an event each. */
export function changesOf({ events }: Draft): Change[] {
  return events.map(({ kind, subject_kind, subject_id, data }) => {
    const state = data['state'];
    const change = typeof state === 'string' ? `becomes ${state}` : kind;
    return { subject_kind, subject_id, change };
  });
}

/** Writes what changed and its events in one statement. */
export async function commitDraft(draft: Draft): Promise<void> {
  await settleCleared(draft);
  await writeLedgerChanges(draft.act.tx, takeChanges(draft));
}

/**
 * The same, with the answer to the request, as the last of its act: it ends the transaction at once, so nothing may be
 * asked in it afterwards.
 */
export async function commitDraftLast(draft: Draft, answer?: KeptAnswer): Promise<void> {
  await settleCleared(draft);
  const changes = takeChanges(draft);
  const isStored = await writeLastLedgerChanges(draft.act.tx, changes, answer?.statement);
  answer?.check(isStored ? 1 : 0);
}

async function settleCleared({ act, cleared }: Draft): Promise<void> {
  if (cleared.size === 0) return;
  await lookAgainAtDoubts(act.tx, [...cleared]);
  for (const id of cleared) act.wakeUps.add(`host:${id}`);
}

/** What changed since the draft was opened; who waits for it is woken after the act. */
function takeChanges(draft: Draft): LedgerChanges {
  const changed = <Row extends object>(rows: ReadonlyMap<string, Row>): Row[] =>
    [...rows.values()].filter((row) => draft.changed.has(row));
  const operations = changed(draft.operations);
  const { wakeUps } = draft.act;
  for (const { id } of operations) wakeUps.add(`operation:${id}`);
  if (draft.events.length > 0) wakeUps.add('events-written');
  return {
    accelerators: changed(draft.accelerators),
    attachments: changed(draft.attachments),
    newAttachments: draft.newAttachments,
    operations,
    newOperations: draft.newOperations,
    events: draft.events,
  };
}

export function attachmentOf(draft: Draft, acceleratorId: string): AttachmentRow | undefined {
  const id = draft.accelerators.get(acceleratorId)?.attachment_id;
  return id === null || id === undefined ? undefined : draft.attachments.get(id);
}

/** What may be changed beside the state. */
export type AcceleratorChanges = Partial<
  Pick<
    AcceleratorRow,
    | 'reason'
    | 'epoch'
    | 'attachment_id'
    | 'instance_id'
    | 'project_id'
    | 'operation_id'
    | 'programming_id'
    | 'program_failure'
  >
>;
export type AttachmentChanges = Partial<
  Pick<
    AttachmentRow,
    | 'reason'
    | 'observed'
    | 'epoch'
    | 'device_epoch'
    | 'operation_id'
    | 'accelerator_id'
    | 'host_id'
    | 'instance_id'
    | 'project_id'
    | 'was_bound'
    | 'hostname'
    | 'bind_id'
    | 'again_at'
    | 'again_count'
    | 'left_addresses'
  >
>;

export interface Told {
  /** Instead of `<noun>.<state>`. */
  readonly kind?: NewEvent['kind'];
  readonly data?: Readonly<Record<string, unknown>>;
}

export function moveAccelerator(
  draft: Draft,
  row: AcceleratorRow,
  {
    event,
    changes = {},
    told = {},
  }: { event: AcceleratorEvent; changes?: AcceleratorChanges; told?: Told },
): AcceleratorRow {
  const state = nextState(acceleratorLifecycle, row.state, event);
  const next = keep(draft, draft.accelerators, { ...row, ...changes, ...traceOf(row), state });
  if (row.state === 'cleaning') draft.act.wakeUps.add('cleaned');
  const attachmentId = next.attachment_id ?? row.attachment_id;
  tell(draft, {
    kind: told.kind ?? `accelerator.${state}`,
    subjectKind: 'accelerator',
    subjectId: row.id,
    hostId: row.host_id,
    projectId: next.project_id ?? row.project_id,
    data: {
      state,
      reason: next.reason,
      epoch: next.epoch,
      attachment_id: attachmentId,
      ...told.data,
    },
  });
  return next;
}

export function moveAttachment(
  draft: Draft,
  row: AttachmentRow,
  {
    event,
    changes = {},
    told = {},
  }: { event: AttachmentEvent; changes?: AttachmentChanges; told?: Told },
): AttachmentRow {
  const state = nextState(attachmentLifecycle, row.state, event);
  const left = keepsAddresses(row, state) ? {} : clearAddresses(draft, row);
  const next = keep(draft, draft.attachments, {
    ...row,
    ...left,
    ...changes,
    ...traceOf(row),
    state,
  });
  tell(draft, attachmentEvent(next, told));
  if (state === 'attaching' || state === 'detaching') wakeHost(draft, row.host_id);
  if (state === 'reserved') draft.act.wakeUps.add('work');
  return next;
}

/** Plugged where its card is now, or given back, the instance has nothing of where the card was. */
function keepsAddresses(
  { left_addresses: left, plugged_by }: AttachmentRow,
  state: AttachmentState,
): boolean {
  if (left.length === 0) return true;
  if (state === 'attached') return plugged_by !== 'agent';
  return state !== 'released' && state !== 'requested';
}

function clearAddresses(draft: Draft, row: AttachmentRow): Pick<AttachmentRow, 'left_addresses'> {
  if (row.host_id !== null) draft.cleared.add(row.host_id);
  return { left_addresses: [] };
}

/** Adds an attachment that is in its first state. */
export function addAttachment(draft: Draft, row: NewAttachment, told: Told = {}): void {
  const first = { again_at: null, again_count: 0, left_addresses: [] };
  draft.newAttachments.push({ ...row, ...first, trace_parent: traceParent() });
  tell(draft, attachmentEvent(row, told));
  if (row.state === 'reserved') draft.act.wakeUps.add('work');
}

export function moveOperation(
  draft: Draft,
  row: OperationRow,
  {
    event,
    changes = {},
  }: {
    event: OperationEvent;
    changes?: Partial<Pick<OperationRow, 'error' | 'results' | 'progress_done'>>;
  },
): OperationRow {
  const state = nextState(operationLifecycle, row.state, event);
  const finished = operationLifecycle.rules[state].settled ? draft.act.now : null;
  const next = keep(draft, draft.operations, { ...row, ...changes, state, finished_at: finished });
  tell(draft, operationEvent(next, `operation.${state}`));
  return next;
}

/** A change of an operation that leaves its state as it is. */
export function progressOperation(
  draft: Draft,
  row: OperationRow,
  changes: Pick<OperationRow, 'results' | 'progress_done'>,
): OperationRow {
  const next = keep(draft, draft.operations, { ...row, ...changes });
  tell(draft, operationEvent(next, 'operation.progressed'));
  return next;
}

export function addOperation(draft: Draft, row: OperationRow): void {
  draft.newOperations.push(row);
  tell(draft, operationEvent(row, `operation.${row.state}`));
}

/** Notes something on an attachment that leaves its state as it is. */
export function noteAttachment(
  draft: Draft,
  row: AttachmentRow,
  {
    changes,
    told,
  }: { changes: AttachmentChanges; told: Told & { readonly kind: NewEvent['kind'] } },
): AttachmentRow {
  const next = keep(draft, draft.attachments, { ...row, ...changes });
  tell(draft, attachmentEvent(next, told));
  return next;
}

export function noteAccelerator(
  draft: Draft,
  row: AcceleratorRow,
  {
    changes,
    told,
  }: { changes: AcceleratorChanges; told: Told & { readonly kind: NewEvent['kind'] } },
): AcceleratorRow {
  const next = keep(draft, draft.accelerators, { ...row, ...changes });
  tell(draft, {
    kind: told.kind,
    subjectKind: 'accelerator',
    subjectId: row.id,
    hostId: row.host_id,
    projectId: row.project_id,
    data: { state: row.state, ...told.data },
  });
  return next;
}

/** The fence goes up: +1 in the act that gives or takes the accelerator. Told with the change it belongs to. */
export function raiseEpoch(draft: Draft, row: AcceleratorRow): AcceleratorRow {
  return keep(draft, draft.accelerators, {
    ...row,
    epoch: nextEpoch(row.epoch, draft.ledger.incarnation),
  });
}

export function tell(draft: Draft, event: NewEvent): void {
  draft.events.push({
    at: draft.act.now,
    kind: event.kind,
    subject_kind: event.subjectKind,
    subject_id: event.subjectId,
    host_id: event.hostId ?? null,
    project_id: event.projectId ?? null,
    user_id: event.userId ?? draft.userId,
    data: event.data ?? {},
  });
}

export function wakeHost(draft: Draft, hostId: string | null): void {
  if (hostId !== null) draft.act.wakeUps.add(`host:${hostId}`);
}

/** The orders that follow from the change are carried out as a part of the same trace. */
function traceOf({ trace_parent: before }: Pick<AttachmentRow, 'trace_parent'>): {
  readonly trace_parent: string | null;
} {
  return { trace_parent: traceParent() ?? before };
}

/** `updated_at` moves once an act, whatever number of steps the act takes. */
function keep<Row extends { id: string; created_at: Date; updated_at: Date | null }>(
  draft: Draft,
  rows: Map<string, Row>,
  next: Row,
): Row {
  const before = rows.get(next.id);
  const isFirst = before === undefined || !draft.changed.has(before);
  const kept = isFirst ? { ...next, updated_at: changedAt(next, draft.act.now) } : next;
  rows.set(next.id, kept);
  draft.changed.add(kept);
  return kept;
}

function attachmentEvent(row: NewAttachment, told: Told): NewEvent {
  return {
    kind: told.kind ?? `attachment.${row.state}`,
    subjectKind: 'attachment',
    subjectId: row.id,
    hostId: row.host_id,
    projectId: row.project_id,
    data: {
      state: row.state,
      accelerator_id: row.accelerator_id,
      instance_id: row.instance_id,
      epoch: row.epoch,
      reason: row.reason,
      ...told.data,
    },
  };
}

function operationEvent(row: OperationRow, kind: NewEvent['kind']): NewEvent {
  return {
    kind,
    subjectKind: 'operation',
    subjectId: row.id,
    hostId: row.host_id,
    projectId: row.project_id,
    data: {
      state: row.state,
      kind: row.kind,
      progress: { done: row.progress_done, total: row.progress_total },
      error: row.error,
    },
  };
}

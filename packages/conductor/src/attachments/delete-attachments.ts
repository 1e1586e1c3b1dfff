/** detach-instance: some accelerators or all of origin cyborg; done when they are clean. */
import { isAdmin, type Caller } from '@cyborg/model/caller';
import { ServiceError } from '@cyborg/model/errors';
import type { ListedAttachmentRow } from '@cyborg/store/attachments';
import type { AcceleratorRow, AttachmentRow } from '@cyborg/store/holdings';
import type { OperationRow } from '@cyborg/store/operations';
import { refusedPrefix } from '@cyborg/store/refused-orders';

import type { ConductorDeps } from '../deps.ts';
import { dryRun, type Change, type DryRunView } from '../dry-run.ts';
import { toOperationView, type OperationView } from '../operations/read-operations.ts';
import {
  addOperation,
  attachmentOf,
  commitDraft,
  emptyDraft,
  noteAttachment,
  openDraft,
  raiseEpoch,
  wakeHost,
  type Draft,
} from '../orders/draft.ts';
import { newOperation } from '../orders/new-operation.ts';
import { noteResult } from '../orders/results.ts';
import { forceRelease, take } from '../orders/taking.ts';
import { act, type Act } from '../transaction.ts';
import type { AttachContext } from './attach-context.ts';
import { checkAttachments } from './attachments-etag.ts';
import { chooseHeld, type DeleteAttachmentsInput } from './choose-held.ts';

export async function deleteAttachments(
  deps: ConductorDeps,
  caller: Caller,
  input: DeleteAttachmentsInput,
): Promise<OperationView | DryRunView> {
  const isForced = input.query.force === true;
  if (isForced && !isAdmin(caller)) {
    throw new ServiceError(
      'forbidden',
      'force: only an admin may give up on a host; leave force out.',
    );
  }
  if (input.query.dry_run === true) {
    return dryRun(deps, async ({ tx }) => {
      const { context, chosen } = await chooseHeld(tx, caller, input);
      return chosen.map((row) => toChange(row, context, isForced));
    });
  }
  return act(deps, async (current) => {
    const { context, chosen } = await chooseHeld(current.tx, caller, input);
    const ids = chosen.flatMap((row) => row.accelerator_id ?? []);
    if (ids.length === 0) return detachNothing(current, deps, { caller, context });
    const draft = await openDraft(current, { ids, ledger: deps.ledger, userId: caller.userId });
    // Again, now that nothing of it can change any more.
    await checkAttachments(current.tx, context.instance, input.ifMatch);
    return detach(draft, deps, { caller, context, isForced });
  });
}

interface DetachOptions {
  readonly caller: Caller;
  readonly context: AttachContext;
  readonly isForced: boolean;
}

async function detach(
  draft: Draft,
  deps: ConductorDeps,
  options: DetachOptions,
): Promise<OperationView> {
  const { caller, context, isForced } = options;
  const held = [...draft.accelerators.values()].filter(
    (row) => attachmentOf(draft, row.id)?.instance_id === context.instance.id,
  );
  if (held.length === 0) return detachNothing(draft.act, deps, { caller, context });
  const underWay = isForced ? undefined : detachUnderWay(draft, held);
  if (underWay !== undefined) return toOperationView(underWay);

  const operation = detachOperation(draft, deps, {
    ...options,
    acceleratorIds: held.map((row) => row.id),
  });
  const taking = { operationId: operation.id, reason: null };
  const results = operation.results.map((result) => {
    const row = draft.accelerators.get(result.subject);
    const before = attachmentOf(draft, result.subject);
    if (row === undefined || before === undefined) return result;
    if (isForced) forceRelease(draft, row, { ...taking, reason: `Forced by ${caller.userName}.` });
    else if (before.state === 'detaching') orderAgain(draft, row, operation.id);
    else take(draft, row, taking);
    return { ...result, ...outcomeOf(draft, before, isForced) };
  });
  const done = results.filter(({ outcome }) => outcome !== 'pending').length;
  const isOver = done === results.length;
  const settled: OperationRow = {
    ...operation,
    results,
    progress_done: done,
    ...(isOver && { state: 'succeeded', finished_at: draft.act.now }),
  };
  addOperation(draft, settled);
  await commitDraft(draft);
  return toOperationView(settled);
}

function outcomeOf(
  draft: Draft,
  before: AttachmentRow,
  isForced: boolean,
): Partial<OperationRow['results'][number]> {
  if (before.state === 'reserved') {
    return { outcome: 'succeeded', message: 'Nothing had been prepared on the host yet.' };
  }
  if (isForced) {
    return {
      outcome: 'succeeded',
      message: 'Released by force: it is cleaned when its host says that nothing holds it.',
    };
  }
  const other = openDetach(draft, before);
  if (other === undefined) return {};
  return { outcome: 'succeeded', message: `Operation ${other.id} detaches it already.` };
}

/**
 * The unwinding of an attach, and a detach that ran out of time, go on under the new operation, as a new order: their host
 * may have refused the last one.
 */
function orderAgain(draft: Draft, accelerator: AcceleratorRow, operationId: string): void {
  const attachment = attachmentOf(draft, accelerator.id);
  if (attachment === undefined || openDetach(draft, attachment) !== undefined) return;
  noteResult(draft, attachment.operation_id, {
    acceleratorId: accelerator.id,
    outcome: 'failed',
    message: attachment.reason,
  });
  const isRefused = attachment.reason?.startsWith(refusedPrefix) === true;
  const reason = isRefused ? null : attachment.reason;
  const { epoch } = raiseEpoch(draft, accelerator);
  noteAttachment(draft, attachment, {
    changes: { operation_id: operationId, epoch, reason },
    told: { kind: 'attachment.detach-continued' },
  });
  wakeHost(draft, accelerator.host_id);
}

/** Asked twice: the first operation is the answer, unless there is more to detach than it does. */
function detachUnderWay(
  draft: Draft,
  held: readonly { readonly id: string }[],
): OperationRow | undefined {
  const operations = held.map((row) => {
    const attachment = attachmentOf(draft, row.id);
    return attachment?.state === 'detaching' ? openDetach(draft, attachment) : undefined;
  });
  return new Set(operations).size === 1 ? operations[0] : undefined;
}

function openDetach(draft: Draft, { operation_id: id }: AttachmentRow): OperationRow | undefined {
  const operation = draft.operations.get(id ?? '');
  return operation?.kind === 'detach-instance' ? operation : undefined;
}

function detachOperation(
  draft: Draft,
  deps: ConductorDeps,
  {
    caller,
    context,
    acceleratorIds,
  }: Omit<DetachOptions, 'isForced'> & { readonly acceleratorIds: readonly string[] },
): OperationRow {
  return newOperation(draft.act, {
    id: deps.rng.uuid(),
    kind: 'detach-instance',
    subject: {
      instance_id: context.instance.id,
      attachment_ids: acceleratorIds.flatMap((id) => attachmentOf(draft, id)?.id ?? []),
      accelerator_ids: acceleratorIds,
    },
    host: { id: context.hostId, name: context.host },
    acceleratorIds,
    userId: caller.userId,
    projectId: context.projectId,
    deadlineSeconds: deps.limits.detachDeadlineSeconds,
  });
}

/** A success that says so: what was asked for is already the case. */
async function detachNothing(
  current: Act,
  deps: ConductorDeps,
  { caller, context }: Pick<DetachOptions, 'caller' | 'context'>,
): Promise<OperationView> {
  const draft = emptyDraft(current, { ledger: deps.ledger, userId: caller.userId });
  const operation: OperationRow = {
    ...detachOperation(draft, deps, { caller, context, acceleratorIds: [] }),
    state: 'succeeded',
    finished_at: current.now,
    results: [
      {
        host: context.host,
        subject: context.instance.id,
        outcome: 'succeeded',
        message: `Nothing of that was attached to instance ${context.instance.name}.`,
      },
    ],
  };
  addOperation(draft, operation);
  await commitDraft(draft);
  return toOperationView(operation);
}

function toChange(
  row: ListedAttachmentRow,
  { instance }: AttachContext,
  isForced: boolean,
): Change {
  const name = row.accelerator_name ?? row.accelerator_id ?? row.id;
  return {
    subject_kind: 'attachment',
    subject_id: row.id,
    change: `${isForced ? 'release by force' : 'detach'} ${name} from instance ${instance.name}`,
  };
}

/** attach-instance: one transaction from the wish to the reservation (DESIGN §7). */
import type { Caller } from '@cyborg/model/caller';
import { nextEpoch } from '@cyborg/model/epoch';
import { ServiceError } from '@cyborg/model/errors';
import type { OperationRow } from '@cyborg/store/operations';

import type { ConductorDeps } from '../deps.ts';
import { dryRun, type DryRunView } from '../dry-run.ts';
import type { DryRunQuery, Input } from '../handler.ts';
import { idempotently, type KeepAnswer } from '../idempotency.ts';
import { toOperationView, type OperationView } from '../operations/read-operations.ts';
import {
  addAttachment,
  addOperation,
  commitDraftLast,
  emptyDraft,
  moveAccelerator,
  type Draft,
} from '../orders/draft.ts';
import { newOperation } from '../orders/new-operation.ts';
import { lookUpServer } from '../nova/look-up.ts';
import { countedInPlacement } from '../placement/allocations.ts';
import { act, type Act } from '../transaction.ts';
import { checkReady, readInstance } from './attach-context.ts';
import { byType } from './one-type.ts';
import { pick, Shortage, type Picked } from './pick.ts';
import { whyChosen, type Chosen } from './why-chosen.ts';
import { readWishes, type AttachBody } from './wishes.ts';

export type CreateAttachmentsInput = Input<
  { readonly instance_id: string },
  DryRunQuery,
  AttachBody
>;

/** PostgreSQL's lock_not_available. */
const lockTimeoutCode = '55P03';

export async function createAttachments(
  deps: ConductorDeps,
  caller: Caller,
  input: CreateAttachmentsInput,
): Promise<OperationView | DryRunView> {
  if (input.query.dry_run === true) {
    return dryRun(deps, async (current) => {
      const plan = await planAttach(current, deps, { caller, input, locking: 'none' });
      const { name, id } = plan.context.instance;
      return plan.picks.map((one) => ({
        subject_kind: 'accelerator',
        subject_id: one.row.id,
        change: `attach ${one.row.name} (${one.row.type}) to instance ${name} (${id}): ${whyChosen(one, plan)}`,
      }));
    });
  }
  const shown = await lookUpServer(deps, caller, input.params.instance_id);
  try {
    return await attach(deps, caller, { input, shown, locking: 'skip-locked' });
  } catch (error) {
    if (!(error instanceof Shortage)) throw error;
    return await attachWaiting(deps, caller, { input, shown });
  }
}

/** The second look, which waits for rows that others have locked: what it refuses is truly short. */
async function attachWaiting(
  deps: ConductorDeps,
  caller: Caller,
  asked: Pick<PlanOptions, 'input' | 'shown'>,
): Promise<OperationView> {
  try {
    return await attach(deps, caller, { ...asked, locking: 'wait' });
  } catch (error) {
    if (!isLockTimeout(error)) throw error;
    throw new ServiceError(
      'unavailable',
      'Others are taking the same accelerators at this moment: try again shortly.',
      { cause: error },
    );
  }
}

interface PlanOptions {
  readonly caller: Caller;
  readonly input: CreateAttachmentsInput;
  /** Id of the server that Nova has shown the caller. */
  readonly shown?: string | undefined;
  readonly locking: 'skip-locked' | 'wait' | 'none';
}

function attach(
  deps: ConductorDeps,
  caller: Caller,
  { input, shown, locking }: Omit<PlanOptions, 'caller'>,
): Promise<OperationView> {
  const request = {
    caller,
    method: 'POST',
    path: `/v3/instances/${input.params.instance_id}/attachments`,
    key: input.idempotencyKey,
    body: input.body,
  };
  return act(deps, (current) =>
    idempotently<OperationView>(current, request, async (keep) => {
      const plan = await planAttach(current, deps, { caller, input, shown, locking });
      return reserve(current, deps, { caller, plan, keep });
    }),
  );
}

async function planAttach(
  current: Act,
  deps: ConductorDeps,
  { caller, input, shown, locking }: PlanOptions,
): Promise<Chosen> {
  const context = await readInstance(current.tx, caller, {
    instance: shown ?? input.params.instance_id,
    lock: locking !== 'none',
    usesNova: deps.openstack?.nova !== undefined,
    isShown: shown !== undefined,
  });
  checkReady(context, current.now);
  const asked = await readWishes(current.tx, input.body, context);
  const options = await byType(current.tx, asked, context);
  for (const [index, wishes] of options.entries()) {
    try {
      const picks = await pick(current, deps, { wishes, context, locking });
      return { context, wishes, picks };
    } catch (error) {
      // Others were quicker: the next type may do as well.
      if (!isShort(error) || index === options.length - 1) throw error;
    }
  }
  throw new Error('a request without a wish');
}

function isShort(error: unknown): boolean {
  const isRefused = error instanceof ServiceError && error.code === 'no-accelerator-left';
  return isRefused || error instanceof Shortage;
}

async function reserve(
  current: Act,
  deps: ConductorDeps,
  {
    caller,
    plan,
    keep,
  }: {
    readonly caller: Caller;
    readonly plan: Chosen;
    readonly keep: KeepAnswer<OperationView>;
  },
): Promise<OperationView> {
  const draft = emptyDraft(current, { ledger: deps.ledger, userId: caller.userId });
  const operationId = deps.rng.uuid();
  const counted = await countedInPlacement(current, deps, plan.picks);
  const given = plan.picks.map((one) => ({
    ...one,
    attachmentId: deps.rng.uuid(),
    isCounted: counted.has(one.row.id),
  }));
  const operation = attachOperation(current, deps, { caller, plan, operationId, given });
  for (const one of given) giveOne(draft, one, { caller, plan, operationId });
  addOperation(draft, operation);
  const view = toOperationView(operation);
  await commitDraftLast(draft, keep(view));
  return view;
}

type Given = Picked & { readonly attachmentId: string; readonly isCounted: boolean };

function attachOperation(
  current: Act,
  deps: ConductorDeps,
  made: {
    readonly caller: Caller;
    readonly plan: Chosen;
    readonly operationId: string;
    readonly given: readonly Given[];
  },
): OperationRow {
  const { context } = made.plan;
  return newOperation(current, {
    id: made.operationId,
    kind: 'attach-instance',
    subject: {
      instance_id: context.instance.id,
      attachment_ids: made.given.map((one) => one.attachmentId),
      accelerator_ids: made.given.map((one) => one.row.id),
      // What was chosen, where the request left it open.
      types: [...new Set(made.given.map((one) => one.row.type))],
      chosen: made.given.map((one) => `${one.row.name}: ${whyChosen(one, made.plan)}`),
    },
    host: { id: context.hostId, name: context.host },
    acceleratorIds: made.given.map((one) => one.row.id),
    userId: made.caller.userId,
    projectId: context.projectId,
    deadlineSeconds: deps.limits.attachDeadlineSeconds,
  });
}

function giveOne(
  draft: Draft,
  { row, attachmentId, profileGroup, isCounted }: Given,
  { caller, plan, operationId }: { caller: Caller; plan: Chosen; operationId: string },
): void {
  const { context, wishes } = plan;
  const epoch = nextEpoch(row.epoch, draft.ledger.incarnation);
  moveAccelerator(draft, row, {
    event: 'reserve',
    changes: {
      epoch,
      attachment_id: attachmentId,
      instance_id: context.instance.id,
      project_id: context.projectId,
      operation_id: null,
    },
  });
  addAttachment(draft, {
    id: attachmentId,
    accelerator_id: row.id,
    host_id: context.hostId,
    instance_id: context.instance.id,
    project_id: context.projectId,
    user_id: caller.userId,
    origin: 'cyborg',
    state: 'reserved',
    reason: null,
    plugged_by: 'agent',
    observed: 'unknown',
    epoch,
    device_epoch: epoch,
    profile_id: wishes.profileId,
    profile_group: profileGroup,
    was_bound: false,
    hostname: null,
    operation_id: operationId,
    allocation: isCounted ? 'wanted' : null,
    bind_id: null,
    next_attempt_at: null,
    attempts: 0,
    claimed_by: null,
    claim_expires_at: null,
    created_at: draft.act.now,
    updated_at: null,
  });
}

function isLockTimeout(error: unknown): boolean {
  return (
    typeof error === 'object' && error !== null && 'code' in error && error.code === lockTimeoutCode
  );
}

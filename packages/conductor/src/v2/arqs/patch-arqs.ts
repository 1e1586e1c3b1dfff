/** v2's PATCH: binds and unbinds, all of it in one transaction or none of it. */
import type { Caller } from '@cyborg/model/caller';
import { V2Fault } from '@cyborg/model/v2/fault';
import { toUuid } from '@cyborg/model/v2/uuid';
import type { AttachmentRow } from '@cyborg/store/holdings';
import { setLockTimeout } from '@cyborg/store/candidates';
import { findOccupiedInstance, lockInstances } from '@cyborg/store/v2/arqs';
import { insertNovaEvents } from '@cyborg/store/v2/nova-events';

import type { ConductorDeps } from '../../deps.ts';
import { commitDraftLast } from '../../orders/draft.ts';
import { act, type Act } from '../../transaction.ts';
import { makeWaiter } from '../../waiter.ts';
import { openArqDraft } from './arq-draft.ts';
import { bindAll, BindShortage, type BindStep } from './bind-arqs.ts';
import type { Freed } from './delete-arqs.ts';
import { unbindArq } from './end-arqs.ts';
import { badPatch, parsePatch, type ArqPatch } from './parse-patch.ts';
import { needServiceToken } from './service-token.ts';
import { arqNotFound, arqScopeOf } from './visible.ts';

export interface PatchArqs {
  readonly caller: Caller;
  readonly body: unknown;
  /** The microversion is 2.`minor`. */
  readonly minor: number;
  /** Aborted when nobody waits for the answer any more. */
  readonly signal: AbortSignal;
}

/**
 * A bind that finds only accelerators that are being cleaned waits for one, at most `bindWaitSeconds`.
 *
 * @returns what its unbinds have freed
 * @throws V2Fault; then nothing has changed
 */
export async function patchArqs(
  deps: ConductorDeps,
  { caller, body, minor, signal }: PatchArqs,
): Promise<Freed> {
  const arqsMax = deps.limits.arqsPerRequestMax;
  const patch = parsePatch({ caller, body, minor, arqsMax });
  needServiceToken(caller);
  using waiter = makeWaiter(deps, 'cleaned');
  const ending = new AbortController();
  using _timer = deps.clock.setTimer(deps.limits.bindWaitSeconds * 1000, () => ending.abort());
  const until = AbortSignal.any([signal, ending.signal]);
  for (;;) {
    const shortage = await tryPatch(deps, caller, patch);
    if (!(shortage instanceof BindShortage)) return shortage;
    if (!shortage.mayPass || until.aborted) throw shortage.fault;
    await waiter.wait(until);
  }
}

/** Twice: what the first look found locked by others, the second waits for, so that a shortage is a true one. */
async function tryPatch(
  deps: ConductorDeps,
  caller: Caller,
  patch: ArqPatch,
): Promise<BindShortage | Freed> {
  let shortage: BindShortage | Freed = [];
  for (const locking of ['skip-locked', 'wait'] as const) {
    try {
      return await act(deps, (current) => apply(current, deps, { caller, patch, locking }));
    } catch (error) {
      if (isLockTimeout(error)) throw busy(error);
      if (!(error instanceof BindShortage)) throw error;
      shortage = error;
    }
  }
  return shortage;
}

interface Applied {
  readonly caller: Caller;
  readonly patch: ArqPatch;
  readonly locking: 'skip-locked' | 'wait';
}

async function apply(
  current: Act,
  deps: ConductorDeps,
  { caller, patch, locking }: Applied,
): Promise<Freed> {
  const { tx } = current;
  const scope = arqScopeOf(caller);
  if (locking === 'wait') await setLockTimeout(tx, deps.limits.reserveLockWaitMs);
  const instanceIds = patch.bind.map(({ instanceId }) => instanceId);
  await lockInstances(tx, instanceIds);
  const occupied =
    instanceIds.length === 0
      ? undefined
      : await findOccupiedInstance(tx, { ...scope, instanceIds });
  if (occupied !== undefined) throw alreadyBound(occupied);
  const ids = [...patch.bind.map(({ arq }) => arq), ...patch.unbind].map(canonical);
  if (new Set(ids).size < ids.length) throw badPatch('An accelerator request is named twice');
  const areFree = patch.unbind.length === 0;
  const { draft, arqs } = await openArqDraft(current, deps, { caller, scope, ids, areFree });
  const bound = arqs.slice(0, patch.bind.length);
  const unbound = arqs.slice(patch.bind.length);
  for (const arq of unbound) {
    checkNovas(arq);
    unbindArq(draft, arq);
  }
  const steps = toSteps(bound, patch, caller);
  await bindAll(draft, steps, locking);
  await tellNova(current, deps, steps);
  await commitDraftLast(draft);
  return unbound.flatMap(({ accelerator_id: id }) => id ?? []);
}

function toSteps(bound: readonly AttachmentRow[], { bind }: ArqPatch, caller: Caller): BindStep[] {
  return bound.flatMap((row, index) => {
    const binding = bind[index];
    if (binding === undefined) return [];
    return [{ ...binding, row, projectId: binding.projectId ?? caller.projectId }];
  });
}

/** In the transaction of the bind, so that Nova hears of every bind and of nothing else. */
async function tellNova(
  current: Act,
  deps: ConductorDeps,
  steps: readonly BindStep[],
): Promise<void> {
  if (deps.openstack?.nova === undefined || steps.length === 0) return;
  await insertNovaEvents(
    current.tx,
    steps.map(({ row, instanceId }) => ({
      id: deps.rng.uuid(),
      attachment_id: row.id,
      instance_id: instanceId,
      status: 'completed' as const,
      created_at: current.now,
    })),
  );
  current.wakeUps.add('nova-events');
}

/** What we plugged is not Nova's to let go of. */
function checkNovas(arq: AttachmentRow): void {
  if (arq.origin === 'nova') return;
  throw badPatch(
    `${arq.id} was attached to the running instance; detach it with "cyborg detach-instance"`,
  );
}

function canonical(id: string): string {
  const uuid = toUuid(id);
  if (uuid === undefined) throw arqNotFound(id);
  return uuid;
}

function alreadyBound(instanceId: string): V2Fault {
  return badPatch(
    `Instance ${instanceId} already has accelerator requests. Cannot bind additional ARQs.`,
  );
}

/** PostgreSQL's lock_not_available. */
function isLockTimeout(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && error.code === '55P03';
}

function busy(cause: unknown): V2Fault {
  return new V2Fault(
    503,
    'Others are taking the same accelerators at this moment: try again shortly.',
    { cause },
  );
}

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
import {
  awaitBind,
  beginPrograms,
  CardChanged,
  findPrograms,
  lockPrograms,
  type WantedPrograms,
} from './bind-programs.ts';
import type { Freed } from './delete-arqs.ts';
import { unbindArq } from './end-arqs.ts';
import { badPatch, parsePatch, type ArqPatch } from './parse-patch.ts';
import { attachedWhileRunning, needServiceToken } from './service-token.ts';
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
 * A bind that finds only accelerators that are being cleaned waits for one, at most `bindWaitSeconds`. One that must have
 * a program image written first is held up to `bindInlineSeconds`, and goes on after that.
 *
 * @returns what its unbinds have freed
 * @throws V2Fault; then nothing has changed, unless the writing of an image was begun: then its requests are BindFailed
 */
export async function patchArqs(
  deps: ConductorDeps,
  { caller, body, minor, signal }: PatchArqs,
): Promise<Freed> {
  const arqsMax = deps.limits.arqsPerRequestMax;
  const patch = parsePatch({ caller, body, minor, arqsMax });
  needServiceToken(caller);
  const inlineMs = deps.limits.bindInlineSeconds * 1000;
  const answering = new AbortController();
  using _limit = deps.clock.setTimer(inlineMs, () => answering.abort());
  const held = AbortSignal.any([signal, answering.signal]);
  const heldUntil = new Date(deps.clock.now().getTime() + inlineMs);
  const programs = await findPrograms(deps, patch.bind, {
    caller,
    signal: held,
    looksUpAll: false,
  });
  const { freed, bindId } = await patchWhenFree(
    deps,
    { caller, patch, programs, heldUntil },
    signal,
  );
  if (bindId !== null) await awaitBind(deps, bindId, held);
  return freed;
}

interface Asked {
  readonly caller: Caller;
  readonly patch: ArqPatch;
  readonly programs: WantedPrograms;
  readonly heldUntil: Date;
}

interface Patched {
  readonly freed: Freed;
  /** Of the bind that waits for its images. */
  readonly bindId: string | null;
}

async function patchWhenFree(
  deps: ConductorDeps,
  given: Asked,
  signal: AbortSignal,
): Promise<Patched> {
  using waiter = makeWaiter(deps, 'cleaned');
  const ending = new AbortController();
  using _timer = deps.clock.setTimer(deps.limits.bindWaitSeconds * 1000, () => ending.abort());
  const until = AbortSignal.any([signal, ending.signal]);
  let asked = given;
  for (;;) {
    const tried = await tryPatch(deps, asked);
    if (tried instanceof CardChanged) {
      const again = { caller: asked.caller, signal: until, looksUpAll: true };
      asked = { ...asked, programs: await findPrograms(deps, asked.patch.bind, again) };
      continue;
    }
    if (!(tried instanceof BindShortage)) return tried;
    if (!tried.mayPass || until.aborted) throw tried.fault;
    await waiter.wait(until);
  }
}

/** Twice: what the first look found locked by others, the second waits for, so that a shortage is a true one. */
async function tryPatch(
  deps: ConductorDeps,
  asked: Asked,
): Promise<BindShortage | CardChanged | Patched> {
  let shortage: BindShortage | undefined;
  for (const locking of ['skip-locked', 'wait'] as const) {
    try {
      return await act(deps, (current) => apply(current, deps, { ...asked, locking }));
    } catch (error) {
      if (isLockTimeout(error)) throw busy(error);
      if (error instanceof CardChanged) return error;
      if (!(error instanceof BindShortage)) throw error;
      shortage = error;
    }
  }
  if (shortage === undefined) throw new Error('a shortage is what is left');
  return shortage;
}

interface Applied extends Asked {
  readonly locking: 'skip-locked' | 'wait';
}

async function apply(
  current: Act,
  deps: ConductorDeps,
  { caller, patch, programs, heldUntil, locking }: Applied,
): Promise<Patched> {
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
  const needed = programs.size === 0 ? [] : await lockPrograms(draft, steps, programs);
  const bindId = needed.length === 0 ? null : deps.rng.uuid();
  await bindAll(draft, steps, { locking, bindId });
  if (bindId === null) await tellNova(current, deps, steps);
  else await beginPrograms(draft, deps, { needed, steps, bindId, heldUntil });
  await commitDraftLast(draft);
  return { freed: unbound.flatMap(({ accelerator_id: id }) => id ?? []), bindId };
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
  throw badPatch(attachedWhileRunning(arq).message);
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

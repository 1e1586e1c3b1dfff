import type { Caller } from '@cyborg/model/caller';
import { toUuid } from '@cyborg/model/v2/uuid';
import type { AttachmentRow } from '@cyborg/store/holdings';
import { listInstanceArqIds, lockInstances } from '@cyborg/store/v2/arqs';

import type { ConductorDeps } from '../../deps.ts';
import { commitDraftLast } from '../../orders/draft.ts';
import { act } from '../../transaction.ts';
import { openArqDraft } from './arq-draft.ts';
import { endArq } from './end-arqs.ts';
import { attachedWhileRunning, boundToInstance, needServiceToken } from './service-token.ts';
import { arqNotFound, arqScopeOf } from './visible.ts';

/** Accelerators that are being cleaned now: until then they are nobody's. */
export type Freed = readonly string[];

/**
 * All or none.
 *
 * @throws V2Fault 404 for one that the caller does not see; 403 for one that an instance has, without a service token,
 * and for one that was attached to a running instance.
 */
export function deleteArqs(
  deps: ConductorDeps,
  caller: Caller,
  given: readonly string[],
): Promise<Freed> {
  const ids = [...new Set(given.map(canonical))];
  return act(deps, async (current) => {
    const scope = arqScopeOf(caller);
    const { draft, arqs } = await openArqDraft(current, deps, { caller, scope, ids });
    for (const arq of arqs) checkMayEnd(arq, caller);
    for (const arq of arqs) endArq(draft, arq);
    await commitDraftLast(draft);
    return [...draft.accelerators.keys()];
  });
}

/**
 * Ends everything that the instance has, of either origin; nothing to end is fine.
 *
 * @throws V2Fault 403 without a service token.
 */
export function deleteInstanceArqs(
  deps: ConductorDeps,
  caller: Caller,
  instanceId: string,
): Promise<Freed> {
  needServiceToken(caller);
  return act(deps, async (current) => {
    const scope = arqScopeOf(caller);
    await lockInstances(current.tx, [instanceId]);
    const ids = await listInstanceArqIds(current.tx, { ...scope, instanceId });
    if (ids.length === 0) return [];
    const all = { caller, scope, ids, mayBeGone: true };
    const { draft, arqs } = await openArqDraft(current, deps, all);
    for (const arq of arqs) endArq(draft, arq);
    await commitDraftLast(draft);
    return [...draft.accelerators.keys()];
  });
}

function checkMayEnd(arq: AttachmentRow, { isServiceRequest }: Caller): void {
  const { id, origin, instance_id: instanceId } = arq;
  if (origin === 'cyborg') throw attachedWhileRunning(arq);
  if (instanceId !== null && !isServiceRequest) throw boundToInstance(id, instanceId);
}

function canonical(id: string): string {
  const uuid = toUuid(id);
  if (uuid === undefined) throw arqNotFound(id);
  return uuid;
}

/** Programs a deployable because somebody asked for it, and not for a bind. */
import { V2Fault } from '@cyborg/model/v2/fault';
import { lockDeployable } from '@cyborg/store/programs';

import type { ConductorDeps } from '../deps.ts';
import { commitDraft, emptyDraft } from '../orders/draft.ts';
import { act } from '../transaction.ts';
import { beginProgramming, findHindrance, type Begun } from './begin.ts';

/**
 * @returns the programming's id.
 * @throws V2Fault 404, 409 while something holds the card
 */
export function startProgramming(
  deps: ConductorDeps,
  {
    deployableId,
    image,
    by,
  }: Pick<Begun, 'image' | 'by'> & {
    readonly deployableId: string;
  },
): Promise<string> {
  return act(deps, async (current) => {
    const locked = await lockDeployable(current.tx, deployableId);
    if (locked === undefined) {
      throw new V2Fault(404, `Deployable not found with uuid=${deployableId}`);
    }
    const { deployable, accelerators } = locked;
    const hindrance = findHindrance(accelerators);
    if (hindrance !== undefined || accelerators.length === 0) {
      const reason = hindrance?.reason ?? 'it has no accelerator';
      throw new V2Fault(
        409,
        `Deployable ${deployable.name} cannot be programmed now: ${reason}. Detach it, and wait until it is clean.`,
      );
    }
    const draft = emptyDraft(current, { ledger: deps.ledger, userId: by.userId });
    for (const row of accelerators) draft.accelerators.set(row.id, row);
    const id = await beginProgramming(draft, deps, {
      deployable,
      image,
      by,
      bindId: null,
      operationId: null,
    });
    await commitDraft(draft);
    return id;
  });
}

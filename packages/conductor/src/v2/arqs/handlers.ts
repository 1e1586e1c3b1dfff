/** v2's accelerator requests. */
import type { Caller } from '@cyborg/model/caller';

import type { ConductorDeps } from '../../deps.ts';
import { pushReserved } from '../../placement/raise-reserved.ts';
import { createArqs } from './create-arqs.ts';
import { deleteArqs, deleteInstanceArqs, type Freed } from './delete-arqs.ts';
import { patchArqs, type PatchArqs } from './patch-arqs.ts';
import { openArqList, showArq, type ArqListQuery, type ArqView } from './read-arqs.ts';

export interface ArqHandlers {
  readonly create: (caller: Caller, profileName: string) => Promise<ArqView[]>;
  /** undefined while requests of the asked instance are still being bound. */
  readonly list: (
    caller: Caller,
    query: ArqListQuery,
  ) => Promise<AsyncGenerator<ArqView[]> | undefined>;
  readonly show: (caller: Caller, id: string) => Promise<ArqView>;
  readonly patch: (patch: PatchArqs) => Promise<void>;
  readonly remove: (caller: Caller, ids: readonly string[]) => Promise<void>;
  readonly removeOfInstance: (caller: Caller, instanceId: string) => Promise<void>;
}

export function makeArqHandlers(deps: ConductorDeps): ArqHandlers {
  return {
    create: (caller, profileName) => createArqs(deps, caller, profileName),
    list: (caller, query) => openArqList(deps.db, caller, query),
    show: (caller, id) => showArq(deps.db, caller, id),
    patch: (patch) => freeing(deps, patchArqs(deps, patch)),
    remove: (caller, ids) => freeing(deps, deleteArqs(deps, caller, ids)),
    removeOfInstance: (caller, instanceId) =>
      freeing(deps, deleteInstanceArqs(deps, caller, instanceId)),
  };
}

/** Nova takes its allocations back once it has our answer: Placement should know by then what is not clean yet. */
async function freeing(deps: ConductorDeps, act: Promise<Freed>): Promise<void> {
  await pushReserved(deps, await act);
}

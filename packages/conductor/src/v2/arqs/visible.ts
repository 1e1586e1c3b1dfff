import { isAdmin, type Caller } from '@cyborg/model/caller';
import { V2Fault } from '@cyborg/model/v2/fault';
import type { ArqScope } from '@cyborg/store/v2/arqs';

/** v2 shows an admin everything, everybody else what is the project's. */
export function arqScopeOf(caller: Caller): ArqScope {
  return { projectId: isAdmin(caller) ? null : caller.projectId };
}

/** Upstream's words, also for what is another project's. */
export function arqNotFound(id: string): V2Fault {
  return new V2Fault(404, `ExtArq not found with uuid=${id}`);
}

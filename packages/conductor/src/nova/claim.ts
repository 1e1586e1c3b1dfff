import type { Claim } from '@cyborg/store/nova/claim';

import type { ConductorDeps } from '../deps.ts';

/** By this process, for as long as a claim lasts. */
export function claimOf(deps: ConductorDeps, limit: number): Claim {
  const now = deps.clock.now();
  const until = new Date(now.getTime() + deps.limits.claimSeconds * 1000);
  return { now, until, by: deps.replicaId, limit };
}

import { deleteIdempotencyKeys } from '@cyborg/store/idempotency-keys';

import type { ConductorDeps } from '../deps.ts';
import type { Reconciler } from '../reconciler.ts';

const keysPerPass = 1000;
const periodMs = 60_000;
const hourMs = 3_600_000;

/** Forgets answers that are kept no longer. */
export function forgetIdempotencyKeys(
  deps: Pick<ConductorDeps, 'db' | 'clock' | 'limits'>,
): Reconciler {
  return {
    name: 'forget-idempotency-keys',
    periodMs,
    topics: [],
    async pass() {
      const keptMs = deps.limits.idempotencyHours * hourMs;
      const found = await deleteIdempotencyKeys(deps.db, {
        createdBefore: new Date(deps.clock.now().getTime() - keptMs),
        limit: keysPerPass,
      });
      return { found, full: found === keysPerPass };
    },
  };
}

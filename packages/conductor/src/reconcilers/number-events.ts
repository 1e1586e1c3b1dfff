import { hasUnnumberedEvents, numberEvents as numberInStore } from '@cyborg/store/events';

import type { ConductorDeps } from '../deps.ts';
import type { Reconciler } from '../reconciler.ts';

const eventsPerPass = 1000;

/** The sequencer: committed events get rising numbers without gaps, so that a reader's cursor never skips one. */
export function numberEvents(deps: Pick<ConductorDeps, 'db' | 'wake' | 'limits'>): Reconciler {
  return {
    name: 'number-events',
    periodMs: deps.limits.idlePassMs,
    gatherMs: deps.limits.gatherMs,
    due: () => hasUnnumberedEvents,
    topics: ['events-written'],
    async pass() {
      const found = await deps.db.transaction().execute((tx) => numberInStore(tx, eventsPerPass));
      if (found > 0) deps.wake.wake(['events']);
      return { found, full: found === eventsPerPass };
    },
  };
}

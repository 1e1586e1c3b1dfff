/** One act, one transaction: its changes, its events, then its wake-ups. */
import { traced } from '@cyborg/service/tracing';

import type { ConductorDeps, Tx } from './deps.ts';
import { conductorSpans } from './spans.ts';
import type { Topic } from './wake.ts';

export interface Act {
  readonly tx: Tx;
  /** The instant of the act: one for all its rows. */
  readonly now: Date;
  /** Woken after commit; forgotten when the act fails. */
  readonly wakeUps: Set<Topic>;
}

/** PostgreSQL's words for "the same again would work": deadlock, serialization failure, a plan from before a migration. */
const retriable = new Set(['40P01', '40001', '0A000']);

/**
 * Runs `work` in a transaction and wakes whom it named after commit. A deadlock is run again, so `work` must not have
 * effects outside the transaction.
 */
export function act<Result>(
  deps: Pick<ConductorDeps, 'db' | 'clock' | 'wake' | 'limits'>,
  work: (act: Act) => Promise<Result>,
): Promise<Result> {
  return traced(conductorSpans.act, {}, () => untilDone(deps, work));
}

async function untilDone<Result>(
  deps: Pick<ConductorDeps, 'db' | 'clock' | 'wake' | 'limits'>,
  work: (act: Act) => Promise<Result>,
): Promise<Result> {
  for (let attempt = 1; ; attempt++) {
    const wakeUps = new Set<Topic>();
    try {
      const result = await deps.db
        .transaction()
        .execute((tx) => work({ tx, now: deps.clock.now(), wakeUps }));
      deps.wake.wake(wakeUps);
      return result;
    } catch (error) {
      if (!isRetriable(error) || attempt > deps.limits.deadlockRetriesMax) throw error;
    }
  }
}

/** The same planner on a read-only transaction: for dry runs. Nothing is locked, nothing wakes. */
export function rehearse<Result>(
  deps: Pick<ConductorDeps, 'db' | 'clock'>,
  work: (act: Act) => Promise<Result>,
): Promise<Result> {
  return deps.db
    .transaction()
    .setAccessMode('read only')
    .execute((tx) => work({ tx, now: deps.clock.now(), wakeUps: new Set() }));
}

function isRetriable(error: unknown): boolean {
  return (
    typeof error === 'object' &&
    error !== null &&
    'code' in error &&
    retriable.has(String(error.code))
  );
}

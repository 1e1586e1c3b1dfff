import {
  forgetAttachments,
  forgetEvents,
  forgetInstances,
  forgetJoinTokens,
  forgetOperations,
  type Forgetting,
} from '@cyborg/store/forget';

import type { ConductorDeps, Tx } from '../deps.ts';
import type { ConductorLimits } from '../limits.ts';
import type { Reconciler } from '../reconciler.ts';

/** Its passes note how many rows of each kind they forgot. */
export const forgetHistoryName = 'forget-history';
const periodMs = 60_000;
/** Of each kind; a transaction each, so that nothing is locked for long. */
export const rowsPerPass = 1000;

interface Kind {
  readonly name: string;
  readonly kept: keyof ConductorLimits;
  readonly forget: (tx: Tx, forgetting: Forgetting) => Promise<number>;
}

const kinds: readonly Kind[] = [
  { name: 'event', kept: 'eventRetentionSeconds', forget: forgetEvents },
  { name: 'attachment', kept: 'eventRetentionSeconds', forget: forgetAttachments },
  { name: 'operation', kept: 'operationRetentionSeconds', forget: forgetOperations },
  { name: 'instance', kept: 'operationRetentionSeconds', forget: forgetInstances },
  { name: 'join-token', kept: 'operationRetentionSeconds', forget: forgetJoinTokens },
];

/** What is over goes when it is older than is kept; what is current stays, however old. */
export function forgetHistory(deps: Pick<ConductorDeps, 'db' | 'clock' | 'limits'>): Reconciler {
  return {
    name: forgetHistoryName,
    periodMs,
    topics: [],
    async pass(signal) {
      const forgotten: Record<string, number> = {};
      for (const { name, kept, forget } of kinds) {
        const keptMs = deps.limits[kept] * 1000;
        if (keptMs === 0) continue;
        signal.throwIfAborted();
        const before = new Date(deps.clock.now().getTime() - keptMs);
        forgotten[name] = await deps.db
          .transaction()
          .execute((tx) => forget(tx, { before, limit: rowsPerPass }));
      }
      const counts = Object.values(forgotten);
      return {
        found: counts.reduce((sum, count) => sum + count, 0),
        full: counts.includes(rowsPerPass),
        notes: forgotten,
      };
    },
  };
}

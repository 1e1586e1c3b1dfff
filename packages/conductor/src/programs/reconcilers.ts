/** The reconcilers of program images: fetch them, end what took too long, forget what is over. */
import {
  forgetProgrammings,
  hasForgettableProgrammings,
  hasOverdueProgrammings,
  listOverdueProgrammings,
} from '@cyborg/store/programs';
import { forgetStagedImages, hasForgettableImages } from '@cyborg/store/staged-images';
import { sql } from 'kysely';

import type { ConductorDeps } from '../deps.ts';
import type { Reconciler } from '../reconciler.ts';
import { watchHostsReturn } from '../reconcilers/hosts-return.ts';
import { act } from '../transaction.ts';
import { endProgramming } from './end.ts';
import { fetchImages } from './fetch-images.ts';

export function programReconcilers(deps: ConductorDeps): Reconciler[] {
  return [fetchImages(deps), endOverdueProgrammings(deps), forgetPrograms(deps)];
}

/** Its host may be away, or its driver still at it: the fence keeps what comes late from counting. */
function endOverdueProgrammings(deps: ConductorDeps): Reconciler {
  const most = deps.limits.workItemsPerPass;
  const areHostsBack = watchHostsReturn(deps);
  return {
    name: 'end-overdue-programmings',
    periodMs: deps.limits.idlePassMs,
    due: hasOverdueProgrammings,
    topics: [],
    async pass() {
      if (!areHostsBack()) return { found: 0, full: false };
      const now = deps.clock.now();
      const overdue = await listOverdueProgrammings(deps.db, { now, limit: most });
      for (const { id } of overdue) {
        await endProgramming(deps, id, (row, current) => {
          if (row.deadline_at > current.now) return undefined;
          const why = row.reason === null ? '' : ` The last reason: ${row.reason}`;
          const reason = `Image ${row.image_name} was not written within ${deps.limits.programDeadlineSeconds} s.${why}`;
          return { is: 'failed', reason, wasBegun: row.state === 'writing' };
        });
      }
      return { found: overdue.length, full: overdue.length === most };
    },
  };
}

function forgetPrograms(deps: ConductorDeps): Reconciler {
  const limit = deps.limits.workItemsPerPass;
  const ago = (seconds: number, now: Date): Date => new Date(now.getTime() - seconds * 1000);
  const { stagedImageSeconds, programmingKeptSeconds } = deps.limits;
  return {
    name: 'forget-programs',
    periodMs: deps.limits.idlePassMs,
    due: (now) =>
      sql`(${hasForgettableImages(ago(stagedImageSeconds, now))}
        or ${hasForgettableProgrammings(ago(programmingKeptSeconds, now))})`,
    topics: [],
    async pass() {
      const found = await act(deps, async ({ tx, now }) => {
        const usedBefore = ago(stagedImageSeconds, now);
        const before = ago(programmingKeptSeconds, now);
        return (
          (await forgetStagedImages(tx, { usedBefore, limit })) +
          (await forgetProgrammings(tx, { before, limit }))
        );
      });
      return { found, full: found >= limit };
    },
  };
}

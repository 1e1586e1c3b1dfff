/**
 * The re-check behind every wake-up: what waits here is looked at again every `recheckMs`, whatever became of the hints.
 */
import { sql } from 'kysely';

import type { ConductorDeps, Db } from './deps.ts';
import type { Reconciler } from './reconciler.ts';
import type { Topic } from './wake.ts';

/** Answers, for hosts, a text that differs whenever their desired state does. */
export type HostFingerprints = (
  db: Db,
  hostIds: readonly string[],
) => Promise<ReadonlyMap<string, string>>;

/** A reconciler in shape only: it changes nothing, and wakes local waiters whose subject has changed. */
export function recheckWaiting(
  deps: Pick<ConductorDeps, 'db' | 'wake' | 'limits'>,
  hostFingerprints: HostFingerprints,
): Reconciler {
  let seen = new Map<Topic, string>();
  return {
    name: 'recheck-waiting',
    periodMs: deps.limits.recheckMs,
    topics: [],
    async pass() {
      const waiting = deps.wake.waiting();
      const hostIds = idsOf(waiting, 'host:');
      const found = new Map<Topic, string>();
      for (const [id, text] of await hostFingerprints(deps.db, hostIds))
        found.set(`host:${id}`, text);
      for (const row of await othersOf(deps.db, idsOf(waiting, 'operation:'))) {
        found.set(row.id === 'events' ? 'events' : `operation:${row.id}`, row.text);
      }
      const changed = [...found].filter(([topic, text]) => seen.get(topic) !== text);
      seen = found;
      deps.wake.wakeLocal(changed.map(([topic]) => topic));
      return { found: waiting.length, full: false, notes: { changed: changed.length } };
    },
  };
}

function idsOf(topics: readonly Topic[], prefix: 'host:' | 'operation:'): string[] {
  return topics
    .filter((topic) => topic.startsWith(prefix))
    .map((topic) => topic.slice(prefix.length));
}

async function othersOf(db: Db, operationIds: string[]): Promise<{ id: string; text: string }[]> {
  const { rows } = await sql<{ id: string; text: string }>`
    select id::text as id, concat(state, ' ', progress_done, ' ', updated_at) as text
      from operation where id = any(${operationIds}::uuid[])
    union all
    select 'events', last::text from event_counter`.execute(db);
  return rows;
}

/**
 * The re-check behind every wake-up: what waits here is looked at again every `recheckMs`, whatever became of the hints.
 *
 * Readers that wait for a host, an operation or events, and reconcilers that wait for work, are asked about in one
 * statement, so that a server at rest costs next to nothing; when nobody waits, nothing is asked.
 */
import { sql, type RawBuilder } from 'kysely';

import type { ConductorDeps } from './deps.ts';
import type { Reconciler } from './reconciler.ts';
import type { Topic } from './wake.ts';

/** A statement of (topic, text): for each of these hosts a text that differs whenever its desired state does. */
export type HostPrints = (hostIds: readonly string[]) => RawBuilder<unknown>;

export interface RecheckSources {
  readonly hostPrints: HostPrints;
  /** Those that run here; the ones that say when they are due are woken when they are. */
  readonly work: readonly Reconciler[];
}

/** What a reconciler's `due` answers as text when there is work whatever it was before. */
const yes = 'true';

/** A reconciler in shape only: it changes nothing, and wakes local waiters whose subject has changed. */
export function recheckWaiting(
  deps: Pick<ConductorDeps, 'db' | 'wake' | 'limits' | 'clock'>,
  sources: RecheckSources,
): Reconciler {
  let seen = new Map<Topic, string>();
  return {
    name: 'recheck-waiting',
    periodMs: deps.limits.recheckMs,
    topics: [],
    async pass() {
      const waiting = deps.wake.waiting();
      const parts = partsOf(sources, waiting, deps.clock.now());
      const found = new Map<Topic, string>();
      if (parts.length > 0) {
        const { rows } = await sql<{ topic: Topic; text: string }>`
          ${sql.join(parts, sql` union all `)}`.execute(deps.db);
        for (const { topic, text } of rows) found.set(topic, text);
      }
      const changed = [...found].filter(([topic, text]) =>
        topic.startsWith('due:') && text === yes ? true : seen.get(topic) !== text,
      );
      seen = found;
      deps.wake.wakeLocal(changed.map(([topic]) => topic));
      return { found: waiting.length, full: false, notes: { changed: changed.length } };
    },
  };
}

function partsOf(
  { hostPrints, work }: RecheckSources,
  waiting: readonly Topic[],
  now: Date,
): RawBuilder<unknown>[] {
  const hostIds = idsOf(waiting, 'host:');
  const operationIds = idsOf(waiting, 'operation:');
  return [
    ...(hostIds.length === 0 ? [] : [hostPrints(hostIds)]),
    ...(operationIds.length === 0
      ? []
      : [
          sql`select concat('operation:', id) as topic, concat(state, ' ', progress_done, ' ', updated_at) as text
            from operation where id = any(${operationIds}::uuid[])`,
        ]),
    ...(waiting.includes('events')
      ? [sql`select 'events' as topic, last::text as text from event_counter`]
      : []),
    ...work.flatMap(({ name, due }) =>
      due === undefined
        ? []
        : [
            sql`select ${sql.lit(`due:${name}`)} as topic, coalesce((${due(now)})::text, '') as text`,
          ],
    ),
  ];
}

function idsOf(topics: readonly Topic[], prefix: 'host:' | 'operation:'): string[] {
  return topics
    .filter((topic) => topic.startsWith(prefix))
    .map((topic) => topic.slice(prefix.length));
}

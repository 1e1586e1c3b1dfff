/** From events to readings: those that an event made old, gathered for a moment and read again together. */
import type { Query, QueryClient } from '@tanstack/react-query';

import { nounsOfFamily, type Noun } from '../api/nouns.ts';
import type { LedgerEvent } from './event-stream.ts';

const refreshLimits = {
  gatherMs: 250,
  /** From one refresh to the next, while events keep coming. */
  pauseMs: 1_500,
  /** The next act waits no longer for what the last one made old. */
  readMsMax: 5_000,
} as const;

interface Old {
  readonly nouns: Set<Noun>;
  /** Ids and names that events were about. */
  readonly subjects: Set<string>;
  /** All readings of these, whatever they are about. */
  readonly whole: Set<Noun>;
}

const makeOld = (): Old => ({ nouns: new Set(), subjects: new Set(), whole: new Set() });

export interface Refresh {
  /** What it made old is read again in a moment, with what the next ones make old. */
  readonly ofEvent: (event: LedgerEvent) => void;
  /** What an act of ours made old is read again at once: its own events need not come first. */
  readonly ofAct: (nouns: Iterable<Noun>) => void;
  /** Events were missed: everything may be old. */
  readonly ofGap: () => void;
  /** When what our last act made old has been read again, or after a while. */
  readonly whenRead: () => Promise<void>;
}

export function makeRefresh(client: QueryClient): Refresh {
  let old = makeOld();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let refreshedAtMs = Number.NEGATIVE_INFINITY;
  let reading = Promise.resolve();
  const refresh = (): Promise<void> => {
    const found = old;
    old = makeOld();
    clearTimeout(timer);
    timer = undefined;
    refreshedAtMs = performance.now();
    return readAgain(client, (query) => isOld(query, found));
  };
  return {
    ofEvent(event) {
      note(old, event);
      if (timer !== undefined) return;
      const sinceMs = performance.now() - refreshedAtMs;
      const waitMs = Math.max(refreshLimits.gatherMs, refreshLimits.pauseMs - sinceMs);
      timer = setTimeout(() => void refresh(), waitMs);
    },
    ofAct(nouns) {
      for (const noun of nouns) old.whole.add(noun);
      const limit = new Promise<void>((end) => setTimeout(end, refreshLimits.readMsMax));
      reading = Promise.race([refresh(), limit]).then(nextTask);
    },
    ofGap: () => void readAgain(client, () => true),
    whenRead: () => reading,
  };
}

/** A first reading under way is not begun anew, and may have asked before what made it old: what it brings is old already. */
async function readAgain(client: QueryClient, isOne: (query: Query) => boolean): Promise<void> {
  const first = new Set(
    client.getQueryCache().findAll({ fetchStatus: 'fetching', predicate: isOne }).filter(isUnread),
  );
  const predicate = (query: Query): boolean => first.has(query);
  await Promise.all([
    client.invalidateQueries({ predicate: isOne }),
    first.size > 0 &&
      client
        .refetchQueries({ predicate })
        // One that was begun since by another refresh is young enough.
        .then(() => client.invalidateQueries({ predicate }, { cancelRefetch: false })),
  ]);
}

const isUnread = ({ state }: Query): boolean => state.data === undefined;

/** What has been read is shown: the cache tells of it by a task of its own. */
function nextTask(): Promise<void> {
  return new Promise((end) => setTimeout(end));
}

function note({ nouns, subjects }: Old, event: LedgerEvent): void {
  const [family = ''] = event.kind.split('.');
  for (const noun of nounsOfFamily(family)) nouns.add(noun);
  subjects.add(event.subject_id);
  if (event.host !== null) subjects.add(event.host);
  for (const value of Object.values(event.data)) {
    if (typeof value === 'string') subjects.add(value);
  }
}

/** Lists of the kind are old; of the readings of one thing, those of what an event named. */
function isOld({ queryKey, state }: Query, { nouns, subjects, whole }: Old): boolean {
  const [noun, name, args] = queryKey;
  if (typeof noun === 'string' && (whole as Set<string>).has(noun)) return true;
  if (typeof noun !== 'string' || !(nouns as Set<string>).has(noun)) return false;
  if (typeof name !== 'string' || !name.startsWith('show') || name === 'showSummary') return true;
  const params = paramsOf(args);
  if (params.length === 0 || noun === 'drivers') return true;
  // What comes may be it. A reading that failed is of something else, or of nothing.
  if (state.data === undefined && state.fetchStatus === 'fetching') return true;
  // It may have been asked for by another name than events call it: `host@backend`.
  return [...params, ...idOf(state.data)].some((value) => subjects.has(value));
}

/** Of an answer with a thing in it. */
function idOf(data: unknown): string[] {
  if (typeof data !== 'object' || data === null || !('body' in data)) return [];
  const { body } = data;
  if (typeof body !== 'object' || body === null || !('id' in body)) return [];
  return typeof body.id === 'string' ? [body.id] : [];
}

function paramsOf(args: unknown): string[] {
  if (typeof args !== 'object' || args === null || !('params' in args)) return [];
  const values: unknown[] = Object.values(args.params ?? {});
  return values.flatMap((value) => (typeof value === 'string' ? [value] : []));
}

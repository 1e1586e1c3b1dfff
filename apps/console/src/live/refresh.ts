/** From events to readings: those that an event made old, gathered for a moment and read again together. */
import type { Query, QueryClient } from '@tanstack/react-query';

import { nounsOfEvent, type Noun } from '../api/nouns.ts';
import type { LedgerEvent } from './event-stream.ts';

const refreshLimits = {
  gatherMs: 250,
  /** From one refresh to the next, while events keep coming. */
  pauseMs: 1_500,
} as const;

interface Old {
  readonly nouns: Set<Noun>;
  /** Ids and names that events were about. */
  readonly subjects: Set<string>;
}

const makeOld = (): Old => ({ nouns: new Set(), subjects: new Set() });

export function makeRefresh(client: QueryClient): (event: LedgerEvent) => void {
  let old = makeOld();
  let timer: ReturnType<typeof setTimeout> | undefined;
  let refreshedAtMs = Number.NEGATIVE_INFINITY;
  const refresh = (): void => {
    const { nouns, subjects } = old;
    old = makeOld();
    timer = undefined;
    refreshedAtMs = performance.now();
    void client.invalidateQueries({ predicate: (query) => isOld(query, { nouns, subjects }) });
  };
  return (event) => {
    note(old, event);
    if (timer !== undefined) return;
    const sinceMs = performance.now() - refreshedAtMs;
    const waitMs = Math.max(refreshLimits.gatherMs, refreshLimits.pauseMs - sinceMs);
    timer = setTimeout(refresh, waitMs);
  };
}

function note({ nouns, subjects }: Old, event: LedgerEvent): void {
  const [family = ''] = event.kind.split('.');
  for (const noun of nounsOfEvent[family] ?? []) nouns.add(noun);
  subjects.add(event.subject_id);
  if (event.host !== null) subjects.add(event.host);
  for (const value of Object.values(event.data)) {
    if (typeof value === 'string') subjects.add(value);
  }
}

/** Lists of the kind are old; of the readings of one thing, those of what an event named. */
function isOld({ queryKey, state }: Query, { nouns, subjects }: Old): boolean {
  const [noun, name, args] = queryKey;
  if (typeof noun !== 'string' || !(nouns as Set<string>).has(noun)) return false;
  if (typeof name !== 'string' || !name.startsWith('show') || name === 'showSummary') return true;
  const params = paramsOf(args);
  if (params.length === 0 || noun === 'drivers') return true;
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

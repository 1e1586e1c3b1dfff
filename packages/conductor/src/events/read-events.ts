/** Events as readers see them: each once, in one order, from any cursor on. */
import type { Caller } from '@cyborg/model/caller';
import { ServiceError } from '@cyborg/model/errors';
import { listEvents, readEventBounds, type EventBounds, type EventRow } from '@cyborg/store/events';

import type { ConductorDeps, Db } from '../deps.ts';
import { badMarker, pageItemsDefault, type Page } from '../page.ts';
import { projectOf, scopeOf } from '../scope.ts';
import { makeWaiter } from '../waiter.ts';

export type EventView = EventRow;

export interface EventQuery {
  readonly after?: number | undefined;
  readonly kind?: string | undefined;
  readonly subjectId?: string | undefined;
  readonly limit?: number | undefined;
  /** Newest first, from this number down. */
  readonly before?: number | 'newest' | undefined;
}

/** Events with a higher number than `after` (0 = from the first), at most `limit`, lowest first unless told. */
export function readEvents(db: Db, caller: Caller, query: EventQuery): Promise<EventView[]> {
  return listEvents(db, {
    after: query.after ?? 0,
    kind: query.kind,
    subjectId: query.subjectId,
    before: query.before,
    limit: query.limit ?? pageItemsDefault,
    projectId: projectOf(scopeOf(caller)),
  });
}

/**
 * Yields events as they get their numbers, after `after` or from now on, until the signal is aborted. Ends when events
 * that come next are forgotten: the reader who comes back with the last number it got is told.
 *
 * @throws when the database does not answer: the reader comes back with the last number it got.
 */
export async function* followEvents(
  deps: Pick<ConductorDeps, 'db' | 'wake' | 'clock' | 'limits'>,
  caller: Caller,
  { signal, ...query }: EventQuery & { readonly signal: AbortSignal },
): AsyncGenerator<EventView, void, undefined> {
  using waiter = makeWaiter(deps, 'events');
  let bounds = await readEventBounds(deps.db);
  let after = query.after ?? bounds.last;
  while (!signal.aborted) {
    const events = await readEvents(deps.db, caller, { ...query, after });
    const { last } = bounds;
    bounds = await readEventBounds(deps.db);
    if (isForgotten(after, bounds)) return;
    for (const event of events) {
      yield event;
      // What is kept of an accelerator beyond its time comes first, and all that followed is there.
      after = Math.max(event.number, bounds.forgotten);
    }
    if (events.length > 0) continue;
    // None of those that were there before the look is for this reader: it has read them all the same.
    after = Math.max(after, last);
    await waiter.wait(signal);
  }
}

/** 0 is no event's number: it stands for the oldest that is kept. */
function isForgotten(after: number, { forgotten }: EventBounds): boolean {
  return after > 0 && after < forgotten;
}

/**
 * A cursor beyond the newest event is of another past than this ledger's: waiting for its number would skip events.
 *
 * @throws ServiceError `event-number-unknown` with the number of the newest, from which the reader may go on.
 */
export async function checkEventNumber(db: Db, number: number): Promise<void> {
  const { last: newest } = await readEventBounds(db);
  if (number <= newest) return;
  throw new ServiceError(
    'event-number-unknown',
    `The newest event has number ${newest}: there is none ${number} to go on from. Was the database restored? Go on after ${newest}, or read again from 0.`,
    { extra: { newest } },
  );
}

/**
 * What comes after an event that is older than all that are kept is not whole: going on from it would skip events. Ask
 * after reading, so that what is forgotten meanwhile counts.
 *
 * @throws ServiceError `event-number-forgotten` with the number after which all are there, and that of the newest.
 */
export async function checkEventIsKept(db: Db, number: number): Promise<void> {
  const bounds = await readEventBounds(db);
  if (!isForgotten(number, bounds)) return;
  const { last: newest, forgotten } = bounds;
  throw new ServiceError(
    'event-number-forgotten',
    `Events up to number ${forgotten} are older than this server keeps them, so not all that happened after ${number} is there. Go on after ${forgotten} with what is kept, or read what you follow anew and go on after ${newest}.`,
    { extra: { forgotten, newest } },
  );
}

export function toEventPage(events: readonly EventView[], limit: number): Page<EventView> {
  const items = events.slice(0, limit);
  const last = items.at(-1);
  return {
    items,
    next: events.length > limit && last !== undefined ? String(last.number) : null,
  };
}

/** @throws ServiceError `invalid-input` when the marker is not a number. */
export function eventNumberOf(marker: string | undefined): number | undefined {
  if (marker === undefined) return undefined;
  if (!/^\d{1,15}$/.test(marker)) throw badMarker(marker);
  return Number(marker);
}

import { ServiceError } from '@cyborg/model/errors';
import { eventKinds } from '@cyborg/model/event-kinds';
import { nearest, nearestHint } from '@cyborg/model/nearest';

import type { ConductorDeps } from '../deps.ts';
import type { Handler, Input } from '../handler.ts';
import { pageItemsDefault, type Page } from '../page.ts';
import {
  checkEventIsKept,
  checkEventNumber,
  eventNumberOf,
  readEvents,
  toEventPage,
  type EventView,
} from './read-events.ts';

type ListInput = Input<
  object,
  {
    readonly after?: number;
    readonly kind?: string;
    readonly subject_id?: string;
    readonly order?: string;
    readonly limit?: number;
    readonly marker?: string;
  }
>;

export interface EventHandlers {
  readonly listEvents: Handler<ListInput, Page<EventView>>;
}

export function makeEventHandlers({ db }: Pick<ConductorDeps, 'db'>): EventHandlers {
  return {
    async listEvents(caller, { query }) {
      const limit = query.limit ?? pageItemsDefault;
      if (query.kind !== undefined) checkKind(query.kind);
      const marker = eventNumberOf(query.marker);
      const isNewestFirst = query.order === 'newest';
      const after = isNewestFirst ? query.after : (marker ?? query.after);
      if (after !== undefined) await checkEventNumber(db, after);
      const events = await readEvents(db, caller, {
        after,
        before: isNewestFirst ? (marker ?? 'newest') : undefined,
        kind: query.kind,
        subjectId: query.subject_id,
        limit: limit + 1,
      });
      const cursor = isNewestFirst && query.subject_id === undefined ? (marker ?? after) : after;
      if (cursor !== undefined) await checkEventIsKept(db, cursor);
      return toEventPage(events, limit);
    },
  };
}

/** @throws ServiceError `invalid-input` naming the nearest kinds. */
function checkKind(kind: string): void {
  if (eventKinds.includes(kind) || kind.startsWith('test.')) return;
  throw new ServiceError(
    'invalid-input',
    `kind: there is no kind of event "${kind}"; ${nearestHint(kind, eventKinds, 'there is none')}.`,
    { extra: { field: 'kind', nearest: nearest(kind, eventKinds), kinds: eventKinds } },
  );
}

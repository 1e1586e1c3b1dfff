/** What `Accept: text/event-stream` follows: an operation to its end, and events as they are numbered. */
import type { ConductorDeps } from '@cyborg/conductor/deps';
import {
  checkEventIsKept,
  checkEventNumber,
  followEvents as readOn,
} from '@cyborg/conductor/events/read-events';
import type { Input } from '@cyborg/conductor/handler';
import { followOperation as watch } from '@cyborg/conductor/operations/read-operations';
import type { Caller } from '@cyborg/model/caller';
import { ServiceError } from '@cyborg/model/errors';
import type { V3Params, V3Query } from '@cyborg/api-spec/v3';

import type { StreamEvent } from '../http/event-stream.ts';

type FollowDeps = Pick<ConductorDeps, 'db' | 'wake' | 'clock' | 'limits'>;

export interface Following {
  readonly caller: Caller;
  readonly input: Input<unknown, unknown, unknown>;
  readonly lastEventId: string | undefined;
}

export interface Follow {
  /** What the operation itself is asked first, so that it refuses what is to be refused. */
  readonly asked: (following: Following) => Following['input'];
  /** The events come from what it returns. */
  readonly begin: (
    deps: FollowDeps,
    following: Following,
  ) => Promise<(signal: AbortSignal) => AsyncGenerator<StreamEvent>>;
}

export const followOperation: Follow = {
  asked: ({ input }) => input,
  begin: async (deps, { caller, input }) => {
    const { id } = input.params as V3Params<'showOperation'>; // checked against its schema
    return async function* (signal) {
      for await (const data of watch(deps, caller, { id, signal })) {
        yield { event: 'operation', data };
      }
    };
  },
};

export const followEvents: Follow = {
  /** Where the reader began says nothing of one that has come back: browsers send both. */
  asked: ({ input, lastEventId }) =>
    lastEventId === undefined
      ? input
      : { ...input, query: { ...(input.query as V3Query<'listEvents'>), after: undefined } },
  begin: async (deps, { caller, input, lastEventId }) => {
    const { kind, subject_id: subjectId, after } = input.query as V3Query<'listEvents'>;
    const start = fromId(lastEventId) ?? after;
    if (start !== undefined) {
      await checkEventNumber(deps.db, start);
      await checkEventIsKept(deps.db, start);
    }
    return async function* (signal) {
      for await (const data of readOn(deps, caller, { after: start, kind, subjectId, signal })) {
        yield { event: 'event', id: String(data.number), data };
      }
    };
  },
};

function fromId(id: string | undefined): number | undefined {
  if (id === undefined) return undefined;
  const number = Number(id);
  if (/^\d+$/.test(id) && Number.isSafeInteger(number)) return number;
  throw new ServiceError(
    'invalid-input',
    `Last-Event-ID: ${JSON.stringify(id.slice(0, 80))} is no number of an event.`,
  );
}

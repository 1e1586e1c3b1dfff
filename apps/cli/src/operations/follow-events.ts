/** The events of the server as they happen; a broken connection goes on where it broke. */
import { ApiError, ConnectionError } from '@cyborg/api-client/errors';
import type { HttpClient } from '@cyborg/api-client/http';
import type { Query } from '@cyborg/api-client/transport';
import type { V3Result } from '@cyborg/api-client/v3';

import { CliError } from '../errors.ts';
import type { Io } from '../io.ts';
import { waitLimits } from './wait.ts';

type Event = V3Result<'listEvents'>['items'][number];

interface FollowDeps {
  readonly http: Pick<HttpClient, 'stream'>;
  readonly io: Pick<Io, 'clock' | 'rng'>;
  readonly url: string;
  readonly warn: (line: string) => void;
}

/** @throws CliError when the server has been away for 10 s. */
export async function* followEvents(
  query: Query,
  limit: number | undefined,
  { http, io, url, warn }: FollowDeps,
): AsyncGenerator<Event> {
  let lastId: string | undefined;
  let lostSinceMs: number | undefined;
  let count = 0;
  for (;;) {
    try {
      for await (const event of http.stream(requestAfter(lastId, query))) {
        lostSinceMs = undefined;
        lastId = event.id ?? lastId;
        yield toEvent(event.data);
        count += 1;
        if (count === limit) return;
      }
      lostSinceMs ??= io.clock.monotonicMs();
    } catch (error) {
      if (isSilence(error)) continue; // Nothing happened for a while: nothing is wrong with that.
      const jump = jumpOf(error, lastId);
      if (jump !== undefined) {
        warn(jump.why);
        lastId = String(jump.after);
        continue;
      }
      if (!isPassing(error)) throw error;
      lostSinceMs ??= io.clock.monotonicMs();
    }
    if (io.clock.monotonicMs() - lostSinceMs > waitLimits.lostMsMax) throw lostError(url, lastId);
    await io.clock.sleep(io.rng.fraction() * waitLimits.pauseMsMax);
  }
}

/** Where it broke; what was asked for at first counts until the first event. */
function requestAfter(
  lastId: string | undefined,
  query: Query,
): { path: string; query: Query; headers: Record<string, string> } {
  const path = '/v3/events';
  if (lastId === undefined) return { path, query, headers: {} };
  const { after: _after, ...rest } = query;
  return { path, query: rest, headers: { 'last-event-id': lastId } };
}

/**
 * Where to go on when what comes after the last event is not to be had: the server went back to an earlier state of its
 * database (what was read since is of another past), or keeps no events that old.
 */
function jumpOf(
  error: unknown,
  lastId: string | undefined,
): { readonly after: number; readonly why: string } | undefined {
  if (!(error instanceof ApiError)) return undefined;
  const { newest, forgotten } = error.extra;
  if (error.code === 'event-number-forgotten' && typeof forgotten === 'number') {
    const why = `Events up to number ${forgotten} are older than the server keeps them, so some may be missing here: going on after ${forgotten}.`;
    return { after: forgotten, why };
  }
  if (error.code !== 'event-number-unknown' || lastId === undefined) return undefined;
  if (typeof newest !== 'number') return undefined;
  const why = `The newest event has number ${newest}, and ${lastId} was read: going on after ${newest}.`;
  return { after: newest, why };
}

function isSilence(error: unknown): boolean {
  return error instanceof ConnectionError && error.failure === 'timeout';
}

function isPassing(error: unknown): boolean {
  if (error instanceof ApiError) return error.status >= 502 || error.status === 429;
  return error instanceof ConnectionError && ['lost', 'refused'].includes(error.failure);
}

function toEvent(data: string): Event {
  const parsed: unknown = JSON.parse(data);
  if (typeof parsed === 'object' && parsed !== null && 'number' in parsed) return parsed as Event;
  throw new CliError('The server sent an event in a form not known here.');
}

function lostError(url: string, lastId: string | undefined): CliError {
  const resume =
    lastId === undefined ? '' : ` Go on with 'cyborg event-list --follow --after ${lastId}'.`;
  return new CliError(`${url} has not answered for 10 s.${resume}`);
}

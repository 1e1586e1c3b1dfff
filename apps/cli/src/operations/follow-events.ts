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
}

/** @throws CliError when the server has been away for 10 s. */
export async function* followEvents(
  query: Query,
  limit: number | undefined,
  { http, io, url }: FollowDeps,
): AsyncGenerator<Event> {
  let lastId: string | undefined;
  let lostSinceMs: number | undefined;
  let count = 0;
  for (;;) {
    const headers: Record<string, string> = lastId === undefined ? {} : { 'last-event-id': lastId };
    try {
      for await (const event of http.stream({ path: '/v3/events', query, headers })) {
        lostSinceMs = undefined;
        lastId = event.id ?? lastId;
        yield toEvent(event.data);
        count += 1;
        if (count === limit) return;
      }
      lostSinceMs ??= io.clock.monotonicMs();
    } catch (error) {
      if (isSilence(error)) continue; // Nothing happened for a while: nothing is wrong with that.
      if (!isPassing(error)) throw error;
      lostSinceMs ??= io.clock.monotonicMs();
    }
    if (io.clock.monotonicMs() - lostSinceMs > waitLimits.lostMsMax) throw lostError(url, lastId);
    await io.clock.sleep(io.rng.fraction() * waitLimits.pauseMsMax);
  }
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

/** One stream of events a page: it comes back after every break and goes on where it was. */
import type { V3Result } from '@cyborg/api-client/v3';
import { parseSse } from '@cyborg/api-client/sse';
import { v3Routes } from '@cyborg/api-client/routes';

import { consoleHeaders } from '../api/transport.ts';

export type LedgerEvent = V3Result<'listEvents'>['items'][number];

export type Connection = 'connecting' | 'live' | 'lost';

export interface EventStreamOptions {
  /** Number of the newest event that what is shown has seen. */
  readonly after: number;
  readonly signal: AbortSignal;
  readonly onEvent: (event: LedgerEvent) => void;
  readonly onConnection: (connection: Connection) => void;
  /** Events were missed: everything that is shown may be old. */
  readonly onGap: () => void;
  readonly onSignedOut: () => void;
}

const streamLimits = {
  firstPauseMs: 500,
  pauseMsMax: 15_000,
  /** The server gives a sign of life every 15 s. */
  silenceMsMax: 40_000,
} as const;

/** Runs until the signal is aborted. */
export async function followEvents(options: EventStreamOptions): Promise<void> {
  const { signal, onConnection } = options;
  const cursor = { after: options.after };
  let failures = 0;
  while (!signal.aborted) {
    try {
      await readOn(cursor, options, () => {
        failures = 0;
        onConnection('live');
      });
    } catch {
      // Whatever ended it: the pause, then once more.
    }
    if (signal.aborted) return;
    failures += 1;
    onConnection(failures > 1 ? 'lost' : 'connecting');
    await pause(failures, signal);
  }
}

async function readOn(
  cursor: { after: number },
  { signal, onEvent, onGap, onSignedOut }: EventStreamOptions,
  onOpen: () => void,
): Promise<void> {
  const silence = makeSilenceGuard();
  const response = await fetch(v3Routes.listEvents.url, {
    headers: {
      accept: 'text/event-stream',
      'last-event-id': String(cursor.after),
      ...consoleHeaders,
    },
    cache: 'no-store',
    signal: AbortSignal.any([signal, silence.signal]),
  });
  if (response.status === 401) onSignedOut();
  if (response.status >= 400 && response.status < 500) {
    const newest = await newestOf(response);
    if (newest === undefined) throw new Error(`The stream was refused: ${response.status}.`);
    // The ledger is younger than what we have seen of it (a restored backup), or keeps no events this old any more.
    cursor.after = newest;
    onGap();
    return;
  }
  if (!response.ok || response.body === null) throw new Error('no stream');
  onOpen();
  for await (const { event, data } of parseSse(silence.watch(response.body))) {
    if (event !== 'event') continue;
    const parsed = JSON.parse(data) as LedgerEvent;
    cursor.after = parsed.number;
    onEvent(parsed);
  }
}

async function newestOf(response: Response): Promise<number | undefined> {
  const problem: unknown = await response.json().catch(() => undefined);
  if (typeof problem !== 'object' || problem === null || !('newest' in problem)) return undefined;
  return typeof problem.newest === 'number' ? problem.newest : undefined;
}

/** A connection that nobody ended and nothing comes from is ended by us. */
function makeSilenceGuard(): {
  readonly signal: AbortSignal;
  watch(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array>;
} {
  const controller = new AbortController();
  const arm = (): number => window.setTimeout(() => controller.abort(), streamLimits.silenceMsMax);
  let timer = arm();
  return {
    signal: controller.signal,
    async *watch(body) {
      const reader = body.getReader();
      try {
        for (;;) {
          const { done, value } = await reader.read();
          if (done) return;
          clearTimeout(timer);
          timer = arm();
          yield value;
        }
      } finally {
        clearTimeout(timer);
        await reader.cancel().catch(() => {});
      }
    },
  };
}

function pause(failures: number, signal: AbortSignal): Promise<void> {
  const { firstPauseMs, pauseMsMax } = streamLimits;
  const boundMs = Math.min(pauseMsMax, firstPauseMs * 2 ** (failures - 1));
  const waitMs = boundMs / 2 + (Math.random() * boundMs) / 2;
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, waitMs);
    // Back on the network, or told to end: no need to wait on.
    const end = (): void => {
      clearTimeout(timer);
      resolve();
    };
    addEventListener('online', end, { once: true });
    signal.addEventListener('abort', end, { once: true });
  });
}

/** Many look while the server is stopped and killed: each of them sees every event once, in order, with nothing left out. */
import { parseSse } from '@cyborg/api-client/sse';
import { systemClock } from '@cyborg/service/clock';
import { eventually } from '@cyborg/testing/processes';
import { describe, it } from 'vitest';

import { Fleet } from './fleet.ts';

const watchersTotal = 200;
const writersTotal = 4;
/** Between two attempts to come back; every watcher at its own time. */
const pauseMsMax = 400;
const settleMs = 120_000;

class Watcher {
  readonly seen: number[] = [];
  /** Streams that were opened. */
  opened = 0;
  readonly #url: string;
  readonly #pauseMs: number;
  readonly #after: number;

  constructor(url: string, { after, pauseMs }: { after: number; pauseMs: number }) {
    this.#url = url;
    this.#after = after;
    this.#pauseMs = pauseMs;
  }

  get cursor(): number {
    return this.seen.at(-1) ?? this.#after;
  }

  /** Comes back after every break, until the signal is aborted. */
  async watch(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#readOn(signal).catch(() => {});
      await systemClock.sleep(this.#pauseMs, signal).catch(() => {});
    }
  }

  async #readOn(signal: AbortSignal): Promise<void> {
    const response = await fetch(`${this.#url}/v3/events`, {
      headers: { accept: 'text/event-stream', 'last-event-id': String(this.cursor) },
      signal,
    });
    if (response.status !== 200 || response.body === null) {
      await response.body?.cancel();
      return;
    }
    this.opened += 1;
    for await (const { id } of parseSse(response.body)) this.seen.push(Number(id));
  }
}

/** Makes and deletes profiles, whether or not there is a server, until the signal is aborted. */
async function write(fleet: Fleet, name: string, signal: AbortSignal): Promise<void> {
  const groups = [{ 'resources:FPGA': '1' }];
  for (let number = 0; !signal.aborted; number += 1) {
    const profile = `${name}-${number}`;
    try {
      await fleet.v3.createProfile({ body: { name: profile, groups } });
      await fleet.v3.deleteProfile({ params: { profile } });
    } catch {
      // The server is away, or was while it answered: what it has committed is in the ledger.
    }
    await systemClock.sleep(40, signal).catch(() => {});
  }
}

async function numbersAfter(fleet: Fleet, after: number): Promise<number[]> {
  const rows = await fleet.db
    .selectFrom('event')
    .select('number')
    .where('number', '>', after)
    .orderBy('number')
    .execute();
  return rows.map(({ number }) => Number(number));
}

async function newestOf(fleet: Fleet): Promise<number> {
  const { items } = await fleet.v3.listEvents({ query: { order: 'newest', limit: 1 } });
  return items[0]?.number ?? 0;
}

describe('the stream of events', { timeout: 900_000 }, () => {
  it(`is seen by ${watchersTotal} watchers, once and in order, over restarts of the server`, async ({
    expect,
  }) => {
    await using fleet = await Fleet.open();
    await fleet.startServer();
    const after = await newestOf(fleet);
    const watching = new AbortController();
    const watchers = Array.from(
      { length: watchersTotal },
      (_value, at) =>
        new Watcher(fleet.url, { after, pauseMs: 20 + (at * pauseMsMax) / watchersTotal }),
    );
    const watched = Promise.all(watchers.map((watcher) => watcher.watch(watching.signal)));
    const untilAll = (what: string, has: (watcher: Watcher) => boolean): Promise<unknown> =>
      eventually(() => watchers.every(has), {
        timeoutMs: settleMs,
        what: `all watchers ${what}`,
        context: () => `${watchers.filter(has).length} do\n${fleet.logs()}`,
      });
    await untilAll('look', ({ opened }) => opened > 0);

    const writing = new AbortController();
    const written = Promise.all(
      Array.from({ length: writersTotal }, (_value, at) =>
        write(fleet, `writer-${at}`, writing.signal),
      ),
    );
    try {
      for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
        const before = await newestOf(fleet);
        await untilAll('have seen something new', ({ cursor }) => cursor > before);
        const streams = new Map(watchers.map((watcher) => [watcher, watcher.opened]));
        await fleet.server?.end(signal);
        await fleet.startServer();
        await untilAll('are back', (it) => it.opened > (streams.get(it) ?? 0));
      }
      const before = await newestOf(fleet);
      await untilAll('have seen something new', ({ cursor }) => cursor > before);
    } finally {
      writing.abort();
      await written;
    }

    await fleet.untilNumbered();
    const expected = await numbersAfter(fleet, after);
    const last = expected.at(-1) ?? Number.NaN;
    await untilAll('have seen the last event', ({ cursor }) => cursor >= last);
    watching.abort();
    await watched;

    expect(expected).toEqual(
      Array.from({ length: expected.length }, (_value, at) => after + 1 + at),
    );
    expect(expected.length).toBeGreaterThan(20);
    const wrong = watchers.filter(({ seen }) => seen.join() !== expected.join());
    expect(wrong.map(({ seen }) => seen).slice(0, 3)).toEqual([]);
  });
});

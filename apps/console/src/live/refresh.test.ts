import { eventKinds } from '@cyborg/model/event-kinds';
import { QueryClient, QueryObserver } from '@tanstack/react-query';
import { describe, it } from 'vitest';

import { nounsOfAct, nounsOfFamily } from '../api/nouns.ts';
import type { LedgerEvent } from './event-stream.ts';
import { makeRefresh, type Refresh } from './refresh.ts';

const event = (kind: string, more: Partial<LedgerEvent> = {}): LedgerEvent => ({
  number: 1,
  at: '2030-01-01T00:00:00.000Z',
  kind,
  subject_kind: kind.split('.')[0] ?? '',
  subject_id: 'x',
  host: null,
  project_id: null,
  user_id: null,
  data: {},
  ...more,
});

const list = ['accelerators', 'listAccelerators', { query: {} }] as const;
const show = (id: string) => ['accelerators', 'showAccelerator', { params: { id } }] as const;
const showHost = (host: string) => ['hosts', 'showHost', { params: { host } }] as const;
const summary = ['summary', 'showSummary', {}] as const;
const profiles = ['profiles', 'listProfiles', {}] as const;
const showBackend = ['backends', 'showBackend', { params: { backend: 'node-1@soft' } }] as const;
const asRead: ReadonlyMap<readonly unknown[], unknown> = new Map([
  [showBackend, { body: { id: 'some-id', name: 'soft' }, etag: undefined }],
]);
const all = [
  showBackend,
  list,
  show('a'),
  show('b'),
  showHost('node-1'),
  showHost('node-2'),
  summary,
  profiles,
];

/** Which readings are old then: the summary always is, which tells that the refresh was made. */
async function oldAfter(happen: (refresh: Refresh) => void): Promise<string[]> {
  const client = new QueryClient();
  for (const key of all) client.setQueryData(key, asRead.get(key) ?? 'as it was read');
  const isOld = (key: readonly unknown[]): boolean =>
    client.getQueryState(key)?.isInvalidated === true;
  const refreshed = new Promise<void>((resolve) => {
    client.getQueryCache().subscribe(() => isOld(summary) && resolve());
  });
  happen(makeRefresh(client));
  await refreshed;
  return all.filter(isOld).map((key) => JSON.stringify(key));
}

const oldAfterEvents = (events: readonly LedgerEvent[]): Promise<string[]> =>
  oldAfter((refresh) => events.forEach((each) => refresh.ofEvent(each)));

const keys = (...expected: (readonly unknown[])[]): string[] =>
  expected.map((key) => JSON.stringify(key));

describe('what an event makes old', () => {
  it('are the lists of its kind, and of the things the one that it is about', async ({
    expect,
  }) => {
    const attached = event('accelerator.attached', { subject_id: 'a' });
    expect(await oldAfterEvents([attached])).toEqual(keys(list, show('a'), summary));
  });

  it('is also what its data or its host name', async ({ expect }) => {
    const more = { subject_id: 't', data: { accelerator_id: 'b' } };
    const attached = event('attachment.attached', more);
    const down = event('host.down', { subject_id: 'some-id', host: 'node-1' });
    expect(await oldAfterEvents([attached, down])).toEqual(
      keys(list, show('b'), showHost('node-1'), summary),
    );
  });

  it('is what was asked for by another name than the event has for it', async ({ expect }) => {
    const disabled = event('backend.disabled', { subject_id: 'some-id', host: 'node-1' });
    expect(await oldAfterEvents([disabled])).toEqual(keys(showBackend, summary));
  });

  it('is known of every kind of event there is', ({ expect }) => {
    const families = new Set(eventKinds.map((kind) => kind.split('.')[0] ?? ''));
    const unknown = [...families].filter((family) => nounsOfFamily(family).length === 0);
    expect(unknown, 'say in nouns.ts what these events make old').toEqual([]);
  });
});

describe('what is being read for the first time', () => {
  it.for([
    ['listed', list, event('accelerator.attached')],
    ['shown', show('a'), event('accelerator.attached', { subject_id: 'a' })],
    ['shown by another name than the event has for it', showBackend, event('backend.disabled')],
  ] as const)(
    'and made old meanwhile is read once more: %s',
    async ([, queryKey, happened], { expect }) => {
      const client = new QueryClient();
      const answers = [Promise.withResolvers<string>(), Promise.withResolvers<string>()];
      let asked = 0;
      const observer = new QueryObserver(client, {
        queryKey,
        queryFn: () => answers[asked++]!.promise,
        staleTime: Infinity,
        retry: false,
      });
      const shown = Promise.withResolvers<void>();
      const stop = observer.subscribe(({ data }) => data === 'as it is' && shown.resolve());
      const isOld = Promise.withResolvers<void>();
      client.getQueryCache().subscribe(({ query }) => query.state.isInvalidated && isOld.resolve());
      makeRefresh(client).ofEvent(happened);
      await isOld.promise;
      answers[0]!.resolve('as it was');
      answers[1]!.resolve('as it is');
      await shown.promise;
      expect(asked).toBe(2);
      stop();
    },
  );
});

describe('a reading that failed', () => {
  it('is left alone by what happens to others', async ({ expect }) => {
    const client = new QueryClient();
    let asked = 0;
    const observer = new QueryObserver(client, {
      queryKey: show('gone'),
      queryFn: () => {
        asked += 1;
        return Promise.reject(new Error('there is none'));
      },
      retry: false,
    });
    const failed = Promise.withResolvers<void>();
    const stop = observer.subscribe(({ isError }) => isError && failed.resolve());
    await failed.promise;
    client.setQueryData(list, 'as it was read');
    const refreshed = Promise.withResolvers<void>();
    client
      .getQueryCache()
      .subscribe(({ query }) => query.state.isInvalidated && refreshed.resolve());
    makeRefresh(client).ofEvent(event('accelerator.attached', { subject_id: 'another' }));
    await refreshed.promise;
    expect([asked, observer.getCurrentResult().isError]).toEqual([1, true]);
    stop();
  });
});

describe('what was missed', () => {
  it('makes everything old, also what is being read for the first time', async ({ expect }) => {
    const client = new QueryClient();
    const answers = [Promise.withResolvers<string>(), Promise.withResolvers<string>()];
    let asked = 0;
    const observer = new QueryObserver(client, {
      queryKey: profiles,
      queryFn: () => answers[asked++]!.promise,
      retry: false,
    });
    const shown = Promise.withResolvers<void>();
    const stop = observer.subscribe(({ data }) => data === 'as it is' && shown.resolve());
    makeRefresh(client).ofGap();
    answers[0]!.resolve('as it was');
    answers[1]!.resolve('as it is');
    await shown.promise;
    expect(asked).toBe(2);
    stop();
  });
});

describe('what an act of ours makes old', () => {
  it('is every reading of what it changes, at once, with what events before it made old', async ({
    expect,
  }) => {
    const seen = await oldAfter((refresh) => {
      refresh.ofEvent(event('host.down', { subject_id: 'some-id', host: 'node-1' }));
      refresh.ofAct(nounsOfAct('updateAccelerator'));
    });
    expect(seen).toEqual(
      keys(showBackend, list, show('a'), show('b'), showHost('node-1'), summary),
    );
  });

  it('has been read again when the next act begins', async ({ expect }) => {
    const client = new QueryClient();
    let state = 'available';
    const observer = new QueryObserver(client, {
      queryKey: show('a'),
      queryFn: async () => {
        await Promise.resolve();
        return state;
      },
      staleTime: Infinity,
    });
    const stop = observer.subscribe(() => {});
    await observer.fetchOptimistic({ ...observer.options, queryKey: show('a') });
    const refresh = makeRefresh(client);
    state = 'withheld';
    refresh.ofAct(nounsOfAct('updateAccelerator'));
    await refresh.whenRead();
    expect(observer.getCurrentResult().data).toBe('withheld');
    stop();
  });

  it('does not keep the next act waiting when nothing was done before', async ({ expect }) => {
    await expect(makeRefresh(new QueryClient()).whenRead()).resolves.toBeUndefined();
  });
});

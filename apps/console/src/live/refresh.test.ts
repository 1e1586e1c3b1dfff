import { eventKinds } from '@cyborg/model/event-kinds';
import { QueryClient } from '@tanstack/react-query';
import { describe, it } from 'vitest';

import { nounsOfEvent } from '../api/nouns.ts';
import type { LedgerEvent } from './event-stream.ts';
import { makeRefresh } from './refresh.ts';

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

/** Which readings are old after these events: the summary always is, which tells that the refresh was made. */
async function oldAfter(events: readonly LedgerEvent[]): Promise<string[]> {
  const client = new QueryClient();
  for (const key of all) client.setQueryData(key, asRead.get(key) ?? 'as it was read');
  const isOld = (key: readonly unknown[]): boolean =>
    client.getQueryState(key)?.isInvalidated === true;
  const refreshed = new Promise<void>((resolve) => {
    client.getQueryCache().subscribe(() => isOld(summary) && resolve());
  });
  const refresh = makeRefresh(client);
  for (const each of events) refresh(each);
  await refreshed;
  return all.filter(isOld).map((key) => JSON.stringify(key));
}

const keys = (...expected: (readonly unknown[])[]): string[] =>
  expected.map((key) => JSON.stringify(key));

describe('what an event makes old', () => {
  it('are the lists of its kind, and of the things the one that it is about', async ({
    expect,
  }) => {
    const attached = event('accelerator.attached', { subject_id: 'a' });
    expect(await oldAfter([attached])).toEqual(keys(list, show('a'), summary));
  });

  it('is also what its data or its host name', async ({ expect }) => {
    const more = { subject_id: 't', data: { accelerator_id: 'b' } };
    const attached = event('attachment.attached', more);
    const down = event('host.down', { subject_id: 'some-id', host: 'node-1' });
    expect(await oldAfter([attached, down])).toEqual(
      keys(list, show('b'), showHost('node-1'), summary),
    );
  });

  it('is what was asked for by another name than the event has for it', async ({ expect }) => {
    const disabled = event('backend.disabled', { subject_id: 'some-id', host: 'node-1' });
    expect(await oldAfter([disabled])).toEqual(keys(showBackend, summary));
  });

  it('is known of every kind of event there is', ({ expect }) => {
    const families = new Set(eventKinds.map((kind) => kind.split('.')[0] ?? ''));
    const unknown = [...families].filter((family) => !(family in nounsOfEvent));
    expect(unknown, 'say in nouns.ts what these events make old').toEqual([]);
  });
});

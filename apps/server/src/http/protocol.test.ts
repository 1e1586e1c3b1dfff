import { recordEvents } from '@cyborg/conductor/record-event';
import { forgetHistory } from '@cyborg/conductor/reconcilers/forget-history';
import { numberEvents } from '@cyborg/conductor/reconcilers/number-events';
import { act } from '@cyborg/conductor/transaction';
import { openTestDatabase } from '@cyborg/testing/database';
import { afterAll, beforeAll, describe, it } from 'vitest';

import { basicAuth, openTestApp } from '../test-app.ts';
import type { TestApp } from '../test-app.ts';

const admin = { authorization: basicAuth('admin') };

let server: TestApp;
beforeAll(async () => {
  server = await openTestApp(await openTestDatabase());
});
afterAll(async () => server[Symbol.asyncDispose]());

describe('a body', () => {
  const post = (payload: string | Buffer, type: string) =>
    server.app.inject({
      method: 'POST',
      url: '/v3/grants',
      headers: { ...admin, 'content-type': type },
      payload,
    });

  it.for(['text/plain', 'text/plain; charset=utf-8', 'application/xml', 'nonsense'])(
    'of type %s is told which type is taken',
    async (type, { expect }) => {
      const answer = await post('{}', type);
      expect(answer.statusCode, answer.body).toBe(415);
      expect(answer.headers['content-type']).toContain('application/problem+json');
      expect(answer.json()).toMatchObject({
        code: 'unsupported-media-type',
        detail: expect.stringContaining('application/json'),
      });
    },
  );

  it.for([
    ['a lone continuation byte', [0x80]],
    ['a cut sequence', [0xc3]],
    ['an overlong slash', [0xc0, 0xaf]],
    ['half of a surrogate pair', [0xed, 0xa0, 0x80]],
  ] as const)('with %s is refused', async ([, bytes], { expect }) => {
    const payload = Buffer.concat([
      Buffer.from('{"project_id":"p","host":"'),
      Buffer.from(bytes),
      Buffer.from('"}'),
    ]);
    const answer = await post(payload, 'application/json');
    expect(answer.statusCode, answer.body).toBe(400);
    expect(answer.json()).toMatchObject({
      code: 'invalid-input',
      detail: expect.stringContaining('UTF-8'),
    });
  });

  it('in UTF-8 is read, also where it is not ASCII', async ({ expect }) => {
    const answer = await post('{"project_id":"p","host":"größe-✓"}', 'application/json');
    expect(answer.statusCode).toBe(404);
    expect(answer.json<{ detail: string }>().detail).toContain('größe-✓');
  });

  it('is refused where none belongs', async ({ expect }) => {
    const answer = await server.app.inject({
      method: 'POST',
      url: '/v3/hosts/h/revoke',
      headers: admin,
      payload: { dry_run: true },
    });
    expect(answer.statusCode).toBe(400);
    expect(answer.json<{ detail: string }>().detail).toContain('body.dry_run');
  });
});

describe('discovery', () => {
  const get = (url: string, accept?: string) =>
    server.app.inject({ url, headers: accept === undefined ? {} : { accept } });

  it.for([
    [undefined, 200],
    ['*/*', 200],
    ['application/json', 200],
    ['text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8', 302],
    ['text/html;q=0.1, application/json', 200],
    ['text/html;q=0, */*', 200],
    ['application/json;q=0.5, text/html;q=0.9', 302],
    ['image/png', 200],
  ] as const)('of %s answers %s', async ([accept, status], { expect }) => {
    expect((await get('/', accept)).statusCode).toBe(status);
  });

  it('links to documents that are there', async ({ expect }) => {
    const { versions } = (await get('/')).json<{
      versions: { id: string; links: { href: string }[] }[];
    }>();
    const { links } = versions.find(({ id }) => id === 'v3') ?? { links: [] };
    expect(links).not.toHaveLength(0);
    for (const { href } of links) {
      const { statusCode } = await get(new URL(href).pathname);
      expect(statusCode, href).toBe(200);
    }
    expect((await get('/v3')).json()).toEqual({ version: versions.find(({ id }) => id === 'v3') });
  });
});

describe('a cursor beyond the newest event', () => {
  it.for([
    ['?after=1000000', {}],
    ['?after=9007199254740991', {}],
    ['?marker=1000000', {}],
    ['?after=1000000', { accept: 'text/event-stream' }],
    ['', { accept: 'text/event-stream', 'last-event-id': '1000000' }],
  ] as const)('is refused with the newest number: %s %s', async ([query, headers], { expect }) => {
    const { deps } = server;
    await act(deps, (current) =>
      recordEvents(current, [{ kind: 'test.x', subjectKind: 'test', subjectId: 'x' }]),
    );
    await numberEvents(deps).pass(new AbortController().signal);
    const answer = await server.app.inject({
      url: `/v3/events${query}`,
      headers: { ...admin, ...headers },
    });
    expect(answer.statusCode, answer.body).toBe(410);
    const { code, newest } = answer.json<{ code: string; newest: number }>();
    expect(code).toBe('event-number-unknown');
    const again = await server.app.inject({ url: `/v3/events?after=${newest}`, headers: admin });
    expect(again.json()).toEqual({ items: [], next: null });
  });
});

describe('a cursor that is older than the events that are kept', () => {
  let own: TestApp;
  beforeAll(async () => {
    const database = await openTestDatabase();
    own = await openTestApp(database);
    const { deps } = own;
    await act(deps, (current) =>
      recordEvents(
        current,
        ['x', 'y'].map((subjectId) => ({ kind: 'test.x', subjectKind: 'test', subjectId })),
      ),
    );
    const { signal } = new AbortController();
    await numberEvents(deps).pass(signal);
    await database.db
      .updateTable('event')
      .set({ at: new Date('2020-01-01T00:00:00Z') })
      .execute();
    await forgetHistory(deps).pass(signal);
  });
  afterAll(async () => own[Symbol.asyncDispose]());

  it.for([
    ['?after=1', {}, 410],
    ['?marker=1', {}, 410],
    ['?after=1', { accept: 'text/event-stream' }, 410],
    ['', { accept: 'text/event-stream', 'last-event-id': '1' }, 410],
    ['?after=0', {}, 200],
    ['', {}, 200],
  ] as const)('%s %s answers %s', async ([query, headers, status], { expect }) => {
    const url = `/v3/events${query}`;
    const answer = await own.app.inject({ url, headers: { ...admin, ...headers } });
    expect(answer.statusCode, answer.body).toBe(status);
    expect(answer.json()).toMatchObject(
      status === 200
        ? { items: [], next: null }
        : { code: 'event-number-forgotten', forgotten: 2, newest: 2 },
    );
  });

  it('is no matter when a reader comes back with a younger one', async ({ expect }) => {
    const url = await own.app.listen({ port: 0, host: '127.0.0.1' });
    const gone = new AbortController();
    const headers = { ...admin, accept: 'text/event-stream', 'last-event-id': '2' };
    const stream = await fetch(`${url}/v3/events?after=1`, { headers, signal: gone.signal });
    expect(stream.status).toBe(200);
    gone.abort();
  });
});

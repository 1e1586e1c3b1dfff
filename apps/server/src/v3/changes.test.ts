import { randomUUID } from 'node:crypto';

import { DryRunSchema } from '@cyborg/api-spec/common';
import { v3Routes } from '@cyborg/api-spec/routes';
import { v3Operations } from '@cyborg/api-spec/v3';
import { openTestDatabase } from '@cyborg/testing/database';
import { afterAll, beforeAll, describe, it } from 'vitest';

import { basicAuth, openTestApp } from '../test-app.ts';
import type { TestApp } from '../test-app.ts';
import { changes, contentOf, makeWorld, send } from '../../test/v3-changes.ts';
import type { ChangingName } from '../../test/v3-changes.ts';

const isChanging = (name: string): name is ChangingName => name in changes;
const names = Object.keys(v3Routes).filter(isChanging);
const ofMethods = (...methods: string[]): ChangingName[] =>
  names.filter((name) => methods.includes(v3Routes[name].method));

let server: TestApp;
beforeAll(async () => {
  server = await openTestApp(await openTestDatabase());
});
afterAll(async () => server[Symbol.asyncDispose]());

describe('every changing operation', () => {
  it.for(Object.entries(v3Operations).filter(([, { method }]) => method !== 'GET'))(
    'knows ?dry_run=true: %s',
    ([name, { schema }], { expect }) => {
      expect(names).toContain(name);
      const query = 'querystring' in schema ? schema.querystring.properties : {};
      expect(query).toHaveProperty('dry_run');
      const answers = Object.values(schema.response).flatMap((answer) =>
        'anyOf' in answer ? answer.anyOf : [answer],
      );
      expect(answers).toContain(DryRunSchema);
    },
  );

  it.for(names)('rehearses without a trace, then does it: %s', async (name, { expect }) => {
    const change = await changes[name](await makeWorld(server));
    const before = await contentOf(server);
    const rehearsal = await send(server, { name, ...change }, { query: '?dry_run=true' });
    expect(rehearsal, JSON.stringify(rehearsal)).toMatchObject({
      status: 200,
      body: { dry_run: true, would_succeed: true, refusal: null },
    });
    expect(rehearsal.body).toHaveProperty('changes.0.change', expect.any(String));
    expect(await contentOf(server)).toBe(before);
    const done = await send(server, { name, ...change });
    expect(done.status, JSON.stringify(done)).toBeLessThan(300);
    expect(JSON.stringify(done.body)).not.toContain('dry_run');
    expect(await contentOf(server)).not.toBe(before);
  });
});

describe('an idempotency key', () => {
  it.for(ofMethods('POST'))('gives %s its first answer again', async (name, { expect }) => {
    const change = await changes[name](await makeWorld(server));
    const headers = { 'idempotency-key': randomUUID() };
    const first = await send(server, { name, ...change }, { headers });
    expect(first.status, JSON.stringify(first)).toBeLessThan(300);
    const before = await contentOf(server);
    expect(await send(server, { name, ...change }, { headers })).toEqual(first);
    expect(await contentOf(server)).toBe(before);

    const { otherBody } = change;
    const hasBody = 'body' in v3Operations[name].schema;
    expect(otherBody !== undefined, 'a body to differ in').toBe(hasBody);
    const other = await send(
      server,
      { name, ...change },
      { headers, body: otherBody ?? { other: true } },
    );
    expect(other).toMatchObject(
      hasBody
        ? { status: 422, body: { code: 'idempotency-mismatch' } }
        : { status: 400, body: { code: 'invalid-input' } },
    );
    expect(await contentOf(server)).toBe(before);
  });

  it.for(['createJoinToken', 'reenrollHost'] as const)(
    'leaves no token of %s in the ledger, and must be hard to guess',
    async (name, { expect }) => {
      const change = await changes[name](await makeWorld(server));
      const key = randomUUID();
      const made = await send(server, { name, ...change }, { headers: { 'idempotency-key': key } });
      const { token } = made.body as { token: string };
      const content = await contentOf(server);
      expect(content).not.toContain(token);
      expect(content).not.toContain(key);
      const weak = await send(server, { name, ...change }, { headers: { 'idempotency-key': '1' } });
      expect(weak.status).toBe(400);
    },
  );
});

describe('an ETag', () => {
  it.for(ofMethods('PUT', 'PATCH', 'DELETE'))(
    'that is stale keeps %s from being done, and the current one does not',
    async (name, { expect }) => {
      const change = await changes[name](await makeWorld(server));
      const etag = change.etag ?? (await readEtag(change.read ?? ''));
      expect(etag, change.read).toMatch(/^"[\w-]+"$/);
      const before = await contentOf(server);
      const stale = await send(server, { name, ...change }, { headers: { 'if-match': '"stale"' } });
      expect(stale).toMatchObject({ status: 412, body: { code: 'stale-edit' } });
      expect(await contentOf(server)).toBe(before);
      const done = await send(server, { name, ...change }, { headers: { 'if-match': etag } });
      expect(done.status, JSON.stringify(done)).toBeLessThan(300);
    },
  );
});

async function readEtag(url: string): Promise<string> {
  const answer = await server.app.inject({ url, headers: { authorization: basicAuth('admin') } });
  return String(answer.headers.etag);
}

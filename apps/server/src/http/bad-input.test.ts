import { v3Operations } from '@cyborg/api-spec/v3';
import fc from 'fast-check';
import { openTestDatabase } from '@cyborg/testing/database';
import { afterAll, beforeAll, describe, it } from 'vitest';

import { basicAuth, openTestApp } from '../test-app.ts';
import type { TestApp } from '../test-app.ts';

const admin = { authorization: basicAuth('admin') };
const id = '00000000-0000-4000-8000-000000000000';
const operations = Object.entries(v3Operations);
const withBody = operations.filter(([, { schema }]) => 'body' in schema);
const withQuery = operations.filter(([, { schema }]) => 'querystring' in schema);

const nastyTexts = [
  "' or 1=1; drop table host; --",
  "Robert'); delete from accelerator; --",
  '\u0000',
  'a\u0000b',
  '\ud800',
  '%00',
  '%',
  '../../../etc/passwd',
  '${7*7}',
  '\u202e',
  'x'.repeat(5000),
  '',
  ' ',
  '9'.repeat(400),
  '-1',
  '1e309',
  'NaN',
];
const nastyText = fc.oneof(fc.constantFrom(...nastyTexts), fc.string({ unit: 'binary' }));

function pathOf(url: string, value: string): string {
  return url.replaceAll(/:([a-z_]+)/g, encodeURIComponent(value.toWellFormed()));
}

/** Values that fit the schema's keys now and then, and are wild otherwise. */
function bodyFor(schema: object): fc.Arbitrary<unknown> {
  const keys = 'properties' in schema ? Object.keys(schema.properties ?? {}) : [];
  const value = fc.oneof(
    nastyText,
    fc.constant(id),
    fc.integer(),
    fc.double(),
    fc.boolean(),
    fc.constant(null),
    fc.array(nastyText, { maxLength: 3 }),
    fc.dictionary(fc.constantFrom('name', 'type', 'kind', 'config', 'a/b', 'x'), nastyText),
    fc.json({ maxDepth: 4 }).map((text): unknown => JSON.parse(text)),
  );
  const object = fc
    .array(fc.tuple(fc.constantFrom('unknown', ...keys), value), { maxLength: 4 })
    .map((pairs) => Object.fromEntries(pairs));
  return fc.oneof({ weight: 5, arbitrary: object }, { weight: 1, arbitrary: value });
}

describe('bad input', () => {
  let server: TestApp;
  beforeAll(async () => {
    server = await openTestApp(await openTestDatabase());
  });
  afterAll(async () => server[Symbol.asyncDispose]());

  it.for(withBody)(
    'never makes the server fail in a body of %s',
    async ([, operation], { expect }) => {
      const { method, url, schema } = operation;
      const arbitrary = 'body' in schema ? bodyFor(schema.body) : fc.constant({});
      await fc.assert(
        fc.asyncProperty(arbitrary, async (body) => {
          const answer = await server.app.inject({
            method,
            url: pathOf(url, id),
            headers: { ...admin, 'content-type': 'application/json' },
            payload: JSON.stringify(body),
          });
          expect(answer.statusCode, answer.body).toBeLessThan(500);
        }),
        { numRuns: 60 },
      );
    },
  );

  it('says in plain words what a key or a text must be', async ({ expect }) => {
    const refusalOf = async (url: string, payload: object): Promise<string> => {
      const answer = await server.app.inject({ method: 'PATCH', url, headers: admin, payload });
      expect(answer.statusCode).toBe(400);
      return answer.json().detail;
    };
    expect(await refusalOf('/v3/hosts/h', { labels: { 'a b': 'c' } })).toBe(
      "body.labels.a b: is no key; it must be 1 to 63 letters, digits, '.', '_', '/' and '-'.",
    );
    expect(await refusalOf('/v3/accelerators/1', { name: '' })).toContain(
      'params.id: "1" is not allowed; it must be an id, such as ',
    );
    expect(await refusalOf(`/v3/accelerators/${id}`, { name: '' })).toBe(
      'body.name: "" is not allowed; it must have at least 1 characters.',
    );
  });

  it('says what to do instead of naming an image in a Glance that is not there', async ({
    expect,
  }) => {
    const url = `/v3/accelerators/${id}/program`;
    const payload = { image_id: id };
    const answer = await server.app.inject({ method: 'POST', url, headers: admin, payload });
    expect(answer.statusCode).toBe(400);
    expect(answer.json().detail).toBe(
      `image_id: this server has no Glance to look for ${id} in: upload the image and give its upload_id.`,
    );
  });

  it.for(withQuery)(
    'never makes the server fail in a query of %s',
    async ([, operation], { expect }) => {
      const { method, url, schema } = operation;
      const keys = 'querystring' in schema ? Object.keys(schema.querystring.properties) : [];
      const pairs = fc.array(fc.tuple(fc.constantFrom('unknown', ...keys), nastyText), {
        maxLength: 3,
      });
      await fc.assert(
        fc.asyncProperty(pairs, async (given) => {
          const query = given.map(
            ([key, text]) => `${key}=${encodeURIComponent(text.toWellFormed())}`,
          );
          const answer = await server.app.inject({
            method: method === 'GET' ? 'GET' : method,
            url: `${pathOf(url, id)}?${query.join('&')}`,
            headers: admin,
          });
          expect(answer.statusCode, `${query.join('&')}: ${answer.body}`).toBeLessThan(500);
        }),
        { numRuns: 40 },
      );
    },
  );

  it('never makes the server fail in a path', async ({ expect }) => {
    const withParams = operations.filter(([, { url }]) => url.includes(':'));
    for (const [, { method, url }] of withParams) {
      for (const text of nastyTexts.filter((candidate) => candidate !== '')) {
        const answer = await server.app.inject({ method, url: pathOf(url, text), headers: admin });
        expect(answer.statusCode, `${url} ${text}: ${answer.body}`).toBeLessThan(500);
      }
    }
  });

  it('answers broken percent-encoding with 400', async ({ expect }) => {
    for (const url of ['/v3/hosts/%zz', '/v3/hosts/%', '/v3/hosts/%c0%ae', '/%']) {
      const answer = await server.app.inject({ method: 'GET', url, headers: admin });
      expect(answer.statusCode, url).toBeGreaterThanOrEqual(400);
      expect(answer.statusCode, url).toBeLessThan(500);
      expect(answer.json()).toMatchObject({
        code: expect.any(String),
        instance: expect.any(String),
      });
    }
  });

  it('refuses broken JSON, other media types, too large bodies and too deep ones', async ({
    expect,
  }) => {
    const post = (
      payload: string,
      type = 'application/json',
    ): Promise<{ statusCode: number; code: string }> =>
      server.app
        .inject({
          method: 'POST',
          url: '/v3/grants',
          headers: { ...admin, 'content-type': type },
          payload,
        })
        .then((answer) => ({
          statusCode: answer.statusCode,
          code: answer.json<{ code: string }>().code,
        }));
    expect(await post('{"a":')).toEqual({ statusCode: 400, code: 'invalid-input' });
    expect(await post('', 'application/json')).toEqual({ statusCode: 400, code: 'invalid-input' });
    expect(await post('{"__proto__":{"x":1}}')).toEqual({ statusCode: 400, code: 'invalid-input' });
    expect(await post('a=b', 'application/x-www-form-urlencoded')).toEqual({
      statusCode: 415,
      code: 'unsupported-media-type',
    });
    expect(await post('<a/>', 'text/xml')).toEqual({
      statusCode: 415,
      code: 'unsupported-media-type',
    });
    const large = JSON.stringify({ host: 'x'.repeat(10 * 1024 * 1024) });
    expect(await post(large)).toEqual({ statusCode: 413, code: 'body-too-large' });
    const deep = `${'['.repeat(200_000)}${']'.repeat(200_000)}`;
    expect(await post(deep)).toEqual({ statusCode: 400, code: 'invalid-input' });
  });

  it('names the field, its value and what is allowed', async ({ expect }) => {
    const send = async (method: 'POST' | 'GET', url: string, body?: object): Promise<string> => {
      const answer = await server.app.inject({
        method,
        url,
        headers: admin,
        ...(body === undefined ? {} : { payload: body }),
      });
      expect(answer.statusCode).toBe(400);
      return answer.json<{ detail: string }>().detail;
    };
    expect(await send('GET', '/v3/hosts?limit=many')).toBe(
      'query.limit: "many" is not allowed; it must be integer.',
    );
    expect(await send('GET', '/v3/hosts?state=sideways')).toBe(
      'query.state: "sideways" is not allowed; it must be one of "up", "down".',
    );
    expect(await send('POST', '/v3/grants', { project_id: 'p' })).toBe('body.host: is missing.');
    expect(await send('POST', '/v3/grants', { project_id: 'p', hosst: 'h', host: 'h' })).toBe(
      'body.hosst: is not known; the nearest: host.',
    );
    expect(await send('POST', '/v3/grants', { project_id: 5, host: 'h' })).toBe(
      'body.project_id: 5 is not allowed; it must be string.',
    );
  });

  it('tells unknown paths from unknown methods', async ({ expect }) => {
    const unknown = await server.app.inject({ method: 'GET', url: '/v3/nothing' });
    expect(unknown.statusCode).toBe(404);
    expect(unknown.json()).toMatchObject({ code: 'no-such-route' });
    const other = await server.app.inject({ method: 'PUT', url: '/v3/hosts' });
    expect(other.statusCode).toBe(405);
    expect(other.headers.allow).toBe('GET, HEAD');
  });

  it("refuses what another site's page asks a browser to change", async ({ expect }) => {
    const answer = await server.app.inject({
      method: 'POST',
      url: `/v3/hosts/h/revoke`,
      headers: { ...admin, 'sec-fetch-site': 'cross-site' },
    });
    expect(answer.statusCode).toBe(403);
  });

  it('keeps a given request id and refuses to echo a strange one', async ({ expect }) => {
    const given = await server.app.inject({
      url: '/healthz',
      headers: { 'x-request-id': 'req-1' },
    });
    expect(given.headers['x-request-id']).toBe('req-1');
    const strange = await server.app.inject({
      url: '/healthz',
      headers: { 'x-request-id': 'a b<c>' },
    });
    expect(strange.headers['x-request-id']).toMatch(/^req-[0-9a-f-]{36}$/);
  });
});

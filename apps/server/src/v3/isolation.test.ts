import { addAccelerators, addBackend, addHost, addInstance } from '@cyborg/testing/fleet';
import { openTestDatabase } from '@cyborg/testing/database';
import { afterAll, beforeAll, describe, it } from 'vitest';

import { basicAuth, openTestApp } from '../test-app.ts';
import type { TestApp } from '../test-app.ts';

describe("another project's things", () => {
  let server: TestApp;
  let instanceId: string;
  let acceleratorId: string;
  beforeAll(async () => {
    server = await openTestApp(await openTestDatabase());
    const { db } = server.deps;
    const host = await addHost(db, { name: 'node-1' });
    const backend = await addBackend(db, host, { name: 'virtual' });
    const instance = await addInstance(db, host, { name: 'guest', project_id: 'tenants' });
    instanceId = instance.id;
    const [accelerator] = await addAccelerators(db, backend, { count: 1 });
    acceleratorId = accelerator?.id ?? '';
  });
  afterAll(async () => server[Symbol.asyncDispose]());

  const ask = async (
    user: string,
    [method, url, payload]: readonly [
      'GET' | 'POST' | 'PATCH' | 'DELETE',
      string,
      (object | undefined)?,
    ],
  ): Promise<{ status: number; body: unknown }> => {
    const answer = await server.app.inject({
      method,
      url,
      headers: { authorization: basicAuth(user) },
      ...(payload === undefined ? {} : { payload }),
    });
    return { status: answer.statusCode, body: answer.body === '' ? null : answer.json() };
  };

  it('are not there for it, whatever the route', async ({ expect }) => {
    expect((await ask('member', ['GET', `/v3/instances/${instanceId}`])).status).toBe(200);
    for (const [method, url, body] of [
      ['GET', `/v3/instances/${instanceId}`],
      ['GET', '/v3/instances/guest'],
      ['GET', `/v3/instances/${instanceId}/attachments`],
      ['POST', `/v3/instances/${instanceId}/attachments`, {}],
      ['DELETE', `/v3/instances/${instanceId}/attachments`],
      ['GET', `/v3/accelerators/${acceleratorId}`],
      ['PATCH', `/v3/accelerators/${acceleratorId}`, { name: 'mine' }],
    ] as const) {
      const answer = await ask('stranger', [method, url, body]);
      expect(answer.status, `${method} ${url}`).toBe(404);
      expect(JSON.stringify(answer.body), `${method} ${url}`).not.toContain('tenants');
    }
    for (const url of ['/v3/instances', '/v3/accelerators', '/v3/operations', '/v3/events']) {
      expect(await ask('stranger', ['GET', url]), url).toMatchObject({
        status: 200,
        body: { items: [] },
      });
    }
  });

  it('stay hidden while it attaches, and its operation and events are its own', async ({
    expect,
  }) => {
    const attach = await ask('member', ['POST', `/v3/instances/${instanceId}/attachments`, {}]);
    expect(attach.status, JSON.stringify(attach.body)).toBe(202);
    const { id } = attach.body as { id: string };
    expect((await ask('reader', ['GET', `/v3/operations/${id}`])).status).toBe(200);
    expect((await ask('stranger', ['GET', `/v3/operations/${id}`])).status).toBe(404);
    expect((await ask('stranger', ['POST', `/v3/operations/${id}/cancel`])).status).toBe(404);
    expect((await ask('admin', ['GET', `/v3/operations/${id}`])).status).toBe(200);
  });

  it('show instants as ISO strings and answer ETags that If-Match takes', async ({ expect }) => {
    const shown = await server.app.inject({
      url: '/v3/hosts/node-1',
      headers: { authorization: basicAuth('admin') },
    });
    expect(shown.json<{ created_at: string }>().created_at).toMatch(/^\d{4}-.*\.\d{3}Z$/);
    const { etag } = shown.headers;
    const patch = (ifMatch: string): Promise<number> =>
      server.app
        .inject({
          method: 'PATCH',
          url: '/v3/hosts/node-1',
          headers: { authorization: basicAuth('admin'), 'if-match': ifMatch },
          payload: { labels: { rack: 'r1' } },
        })
        .then(({ statusCode }) => statusCode);
    expect(await patch('"stale"')).toBe(412);
    expect(await patch(String(etag))).toBe(200);
    expect(await patch(String(etag))).toBe(412);
  });
});

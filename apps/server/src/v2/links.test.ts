import { openTestDatabase } from '@cyborg/testing/database';
import { addAccelerators, addBackend, addHost } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { refusePublicUrl } from '../http/base-url.ts';
import type { HttpDeps } from '../http/deps.ts';
import { openTestApp } from '../test-app.ts';
import type { TestApp } from '../test-app.ts';
import { makeV2Ask } from './test-ask.ts';

const forwarded = { 'x-forwarded-proto': 'https', 'x-forwarded-host': 'cloud.example:8443' };

async function open(others: Partial<HttpDeps>): Promise<TestApp> {
  const database = await openTestDatabase();
  const backend = await addBackend(database.db, await addHost(database.db));
  await addAccelerators(database.db, backend, { count: 1, type: 'GPU' });
  return openTestApp(database, others);
}

/** Of the documents that say where the API is, and of a resource. */
async function linksOf(server: TestApp, headers: Record<string, string>): Promise<string[]> {
  const ask = makeV2Ask(() => server);
  const asked = ['GET /', 'GET /v3', 'GET /v2', 'GET /v2/devices', 'GET /v2/deployables'];
  const answers = await Promise.all(asked.map((one) => ask(one, { headers })));
  const text = JSON.stringify(answers.map(({ body }) => body));
  return [...text.matchAll(/"href":"([^"]*)"/g)].flatMap(([, href]) => href ?? []);
}

function beginningsOf(links: readonly string[]): Set<string> {
  return new Set(links.map((link) => link.replace(/\/(accelerator|v3)(\/.*)?$/, '')));
}

describe('a link', () => {
  it('begins with what the client used, and believes nobody else', async ({ expect }) => {
    await using server = await open({});
    const links = await linksOf(server, forwarded);
    expect(beginningsOf(links)).toEqual(new Set(['http://api.test']));
    expect(links.filter((link) => /\/accelerator\/v2\/devices\/./.test(link))).toHaveLength(1);
  });

  it('begins with what the proxy says that the client used', async ({ expect }) => {
    await using server = await open({ isBehindProxy: true });
    expect(beginningsOf(await linksOf(server, forwarded))).toEqual(
      new Set(['https://cloud.example:8443']),
    );
  });

  it('begins with the public URL when there is one, its path included', async ({ expect }) => {
    await using server = await open({ publicUrl: 'https://cloud.example/cyborg/' });
    expect(beginningsOf(await linksOf(server, forwarded))).toEqual(
      new Set(['https://cloud.example/cyborg']),
    );
  });

  it('cannot begin with what is no plain address', ({ expect }) => {
    const refused = ['cloud.example', 'ftp://a', 'https://u:p@a', 'https://a/?q=1', 'https://a/#b'];
    for (const url of refused) expect(refusePublicUrl(url), url).toBeDefined();
    for (const url of ['https://cloud.example', 'http://[::1]:6680/x']) {
      expect(refusePublicUrl(url), url).toBeUndefined();
    }
  });
});

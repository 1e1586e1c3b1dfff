import { inPieces, makeTestKey, tarballOf, testEntries } from '@cyborg/driver-package/test-package';
import { packageLimits } from '@cyborg/driver-package/limits';
import { protocolOfAgents } from '@cyborg/driver-package/protocol';
import { digestOf } from '@cyborg/driver-package/digest';
import { parsePublicKeys, signDigest } from '@cyborg/driver-package/signature';
import { protocolVersion } from '@cyborg/driver-sdk/protocol-constants';
import { openTestDatabase } from '@cyborg/testing/database';
import { addHost } from '@cyborg/testing/fleet';
import { afterAll, beforeAll, describe, it } from 'vitest';

import { basicAuth, openTestApp, type TestApp } from '../test-app.ts';

let server: TestApp;
beforeAll(async () => {
  server = await openTestApp(await openTestDatabase());
});
afterAll(async () => server[Symbol.asyncDispose]());

interface Sent {
  readonly status: number;
  readonly body: Record<string, unknown>;
}

async function ask(
  user: string,
  given: { method: 'GET' | 'POST' | 'PUT' | 'DELETE'; url: string; payload?: Buffer | object },
): Promise<Sent> {
  const { payload } = given;
  const type = payload instanceof Buffer ? { 'content-type': 'application/gzip' } : {};
  const headers = { authorization: basicAuth(user), ...type };
  const answer = await server.app.inject({ ...given, headers });
  return { status: answer.statusCode, body: answer.body === '' ? {} : answer.json() };
}

const upload = (user: string, payload: Buffer): Promise<Sent> =>
  ask(user, { method: 'POST', url: '/v3/drivers', payload });

async function leftovers(): Promise<number> {
  const rows = await server.deps.db
    .selectFrom('driver_package')
    .select('id')
    .where('digest', 'is', null)
    .execute();
  return rows.length;
}

describe('POST /v3/drivers', () => {
  it('keeps nothing of what it refuses, and says what is wrong', async ({ expect }) => {
    const link = { name: 'package/x', type: 'symlink' as const, linkname: '/etc/shadow' };
    for (const [tarball, code, detail] of [
      [await tarballOf(testEntries({}, [link])), 'package-refused', 'no links'],
      [Buffer.from('hello'), 'package-refused', 'no whole gzipped tar'],
      [await tarballOf(testEntries({ protocol: { min: 7, max: 9 } })), 'package-refused', '7 to 9'],
      [Buffer.alloc(packageLimits.tarballBytesMax + 1), 'body-too-large', '67108864 bytes'],
    ] as const) {
      const { status, body } = await upload('admin', tarball);
      expect(status).toBe(code === 'body-too-large' ? 413 : 400);
      expect(body).toMatchObject({ code });
      expect(String(body['detail'])).toContain(detail);
      expect(await leftovers()).toBe(0);
    }
    const json = await ask('admin', { method: 'POST', url: '/v3/drivers', payload: {} });
    expect(json).toMatchObject({ status: 415, body: { code: 'unsupported-media-type' } });
  });

  it('takes another content under a version that is there for a conflict', async ({ expect }) => {
    const id = 'twice';
    expect(await upload('admin', await tarballOf(testEntries({ id })))).toMatchObject({
      status: 201,
    });
    const other = await tarballOf(testEntries({ id, title: 'Another' }));
    expect(await upload('admin', other)).toMatchObject({
      status: 409,
      body: { code: 'already-exists' },
    });
  });

  it('never approves another content than was looked at', async ({ expect }) => {
    await upload('admin', await tarballOf(testEntries({ id: 'looked-at' })));
    const url = '/v3/drivers/looked-at/versions/1.0.0/approve';
    const digest = `sha512-${'A'.repeat(86)}==`;
    expect(await ask('admin', { method: 'POST', url, payload: { digest } })).toMatchObject({
      status: 409,
      body: { code: 'wrong-state' },
    });
  });
});

describe('a manager', () => {
  it('installs an approved version on granted hosts, and nothing else', async ({ expect }) => {
    const { db } = server.deps;
    const [mine, theirs] = [
      await addHost(db, { name: 'mine' }),
      await addHost(db, { name: 'theirs' }),
    ];
    const grant = { project_id: 'tenants', host: mine.name };
    expect((await ask('admin', { method: 'POST', url: '/v3/grants', payload: grant })).status).toBe(
      201,
    );
    const tarball = await tarballOf(testEntries({ id: 'granted' }));
    expect(await upload('manager', tarball)).toMatchObject({ status: 403 });
    expect(await upload('admin', tarball)).toMatchObject({ status: 201 });

    const url = '/v3/drivers/granted/deployment';
    const install = (hosts?: readonly string[]): Promise<Sent> =>
      ask('manager', { method: 'PUT', url, payload: hosts === undefined ? {} : { hosts } });
    const approval = { method: 'POST', url: '/v3/drivers/granted/versions/1.0.0/approve' } as const;
    expect(await install()).toMatchObject({ body: { code: 'driver-version-not-found' } });
    expect(await ask('manager', approval)).toMatchObject({ status: 403 });
    expect(await ask('admin', approval)).toMatchObject({ status: 201 });
    expect(await install([theirs.name])).toMatchObject({ status: 404 });
    const operation = await install();
    expect(operation.status).toBe(202);
    const deletion = { method: 'DELETE', url: '/v3/drivers/granted/versions/1.0.0' } as const;
    expect(await ask('manager', deletion)).toMatchObject({ status: 403 });
    const shown = await ask('admin', { method: 'GET', url });
    expect(shown.body['backends']).toMatchObject([{ hosts: [mine.name] }]);
    expect(await ask('admin', deletion)).toMatchObject({ status: 409, body: { code: 'in-use' } });
  });
});

describe('a server that requires signatures', () => {
  it('takes what one of its keys has signed', async ({ expect }) => {
    const key = makeTestKey();
    const keys = parsePublicKeys(key.publicPem);
    await using strict = await openTestApp(
      await openTestDatabase(),
      {},
      { policy: 'require', keys },
    );
    const tarball = await tarballOf(testEntries({ id: 'strict' }));
    const { digest } = await digestOf(inPieces(tarball));
    const send = (query: string): Promise<{ statusCode: number; body: string }> =>
      strict.app.inject({
        method: 'POST',
        url: `/v3/drivers${query}`,
        payload: tarball,
        headers: { authorization: basicAuth('admin'), 'content-type': 'application/gzip' },
      });
    expect(await send('')).toMatchObject({ statusCode: 403 });
    const right = encodeURIComponent(signDigest(digest, key.privatePem));
    const answer = await send(`?signature=${right}`);
    expect(answer.statusCode, answer.body).toBe(201);
    expect(JSON.parse(answer.body)).toMatchObject({ signed_by: keys[0]?.fingerprint });
  });

  it('speaks the protocol that packages are checked for', ({ expect }) => {
    expect(String(protocolOfAgents)).toBe(protocolVersion);
  });
});

import { inPieces, makeTestKey, tarballOf, testEntries } from '@cyborg/driver-package/test-package';
import { conformanceReportBytesMax } from '@cyborg/api-spec/routes';
import { packageLimits } from '@cyborg/driver-package/limits';
import { protocolOfAgents } from '@cyborg/driver-package/protocol';
import { digestOf } from '@cyborg/driver-package/digest';
import { parsePublicKeys, signDigest } from '@cyborg/driver-package/signature';
import { protocolVersion } from '@cyborg/driver-sdk/protocol-constants';
import { openTestDatabase } from '@cyborg/testing/database';
import { addHost } from '@cyborg/testing/fleet';
import { afterAll, beforeAll, describe, it } from 'vitest';

import { failedClause, passedClause, reportOn } from '../../test/conformance-report.ts';
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

describe('PUT /v3/drivers/{driver_id}/versions/{version}/conformance', () => {
  const put = (id: string, payload: object, user = 'admin'): Promise<Sent> =>
    ask(user, { method: 'PUT', url: `/v3/drivers/${id}/versions/1.0.0/conformance`, payload });

  async function uploaded(id: string): Promise<ReturnType<typeof reportOn>> {
    const { body } = await upload('admin', await tarballOf(testEntries({ id })));
    const digest = String(body['digest']);
    return reportOn({ driver_id: id, version: '1.0.0', digest });
  }

  it('shows the report with its version: what failed, who said so and when', async ({ expect }) => {
    const report = await uploaded('told');
    const url = '/v3/drivers/told';
    const before = await ask('reader', { method: 'GET', url });
    expect(before.body).toMatchObject({ versions: [{ conformance: null, updated_at: null }] });
    const first = await put('told', report);
    expect(first).toMatchObject({ status: 200, body: { conformance: { passed: true } } });
    const clauses = [
      passedClause,
      failedClause,
      { ...passedClause, clause: 'D-PREP-2', outcome: 'untested', detail: 'nothing is on offer' },
      { ...passedClause, clause: 'D-PREP-3', outcome: 'not-run', detail: 'needs D-INIT-2' },
    ];
    const again = await put('told', { ...report, passed: false, clauses });
    expect(again.status, JSON.stringify(again.body)).toBe(200);
    const shown = await ask('reader', { method: 'GET', url });
    expect(shown.body['versions']).toEqual([again.body]);
    expect(again.body['conformance']).toEqual({
      passed: false,
      kit_version: '0.1.0',
      protocol: '1',
      clauses_passed: 1,
      clauses_failed: 1,
      clauses_untested: 1,
      clauses_not_run: 1,
      failures: [{ clause: 'D-INIT-2', text: failedClause.text, reason: 'it picked version 9' }],
      backends: ['acme (entropy)'],
      left_out: [],
      seed: 7,
      duration_ms: 4321,
      uploaded_by: expect.any(String),
      uploaded_at: again.body['updated_at'],
    });
    const events = await server.deps.db
      .selectFrom('event')
      .select(['data', 'user_id'])
      .where('kind', '=', 'driver.conformance-reported')
      .where('subject_id', '=', 'told')
      .orderBy('at')
      .execute();
    expect(events.map(({ data }) => data)).toMatchObject([{ passed: true }, { passed: false }]);
    expect(events[0]?.user_id).toBe(again.body['uploaded_by']);
  });

  it('refuses what is not about this very package, or not about all of it', async ({ expect }) => {
    const report = await uploaded('strict-report');
    const other = `sha512-${'A'.repeat(86)}==`;
    for (const [wrong, detail] of [
      [{ package: { digest: other } }, `package.digest: it is about ${other}, not sha512-`],
      [{ package: null }, 'package: it is about a folder: run `cyborg driver-test PACKAGE.tgz'],
      [{ driver: { id: 'another', version: '1.0.0' } }, 'driver: it is about another 1.0.0'],
      [{ only: ['D-PREP-1'] }, 'only: it is about D-PREP-1 alone'],
      [{ clauses: [passedClause, passedClause] }, 'clauses: D-PREP-1 is in it twice'],
      [{ passed: false }, 'passed: it is false, but no clause is broken'],
      [{ clauses: [failedClause] }, 'passed: it is true, but D-INIT-2 is failed'],
    ] as const) {
      const { status, body } = await put('strict-report', { ...report, ...wrong });
      expect({ status, code: body['code'] }).toEqual({ status: 400, code: 'report-refused' });
      expect(body['detail']).toContain(detail);
    }
    const shown = await ask('admin', { method: 'GET', url: '/v3/drivers/strict-report' });
    expect(shown.body).toMatchObject({ versions: [{ conformance: null }] });
  });

  it('refuses what is no report, what is too large, and who is no admin', async ({ expect }) => {
    const report = await uploaded('no-report');
    const { cyborg_driver_report: _form, ...formless } = report;
    expect(await put('no-report', formless)).toMatchObject({
      status: 400,
      body: { code: 'invalid-input', detail: expect.stringContaining('cyborg_driver_report') },
    });
    const lost = { ...failedClause, detail: 'a NUL: \u0000' };
    expect(await put('no-report', { ...report, clauses: [lost] })).toMatchObject({ status: 400 });
    const large = { ...report, padding: 'x'.repeat(conformanceReportBytesMax) };
    expect(await put('no-report', large)).toMatchObject({
      status: 413,
      body: { code: 'body-too-large' },
    });
    expect(await put('no-report', report, 'manager')).toMatchObject({ status: 403 });
    expect(await put('generic', report)).toMatchObject({ status: 404 });
    expect(await put('no-report', report)).toMatchObject({ status: 200 });
  });

  it('goes with its version', async ({ expect }) => {
    const report = await uploaded('forgotten');
    await put('forgotten', report);
    const url = '/v3/drivers/forgotten/versions/1.0.0';
    expect(await ask('admin', { method: 'DELETE', url })).toMatchObject({ status: 204 });
    await uploaded('forgotten');
    const shown = await ask('admin', { method: 'GET', url: '/v3/drivers/forgotten' });
    expect(shown.body).toMatchObject({ versions: [{ conformance: null }] });
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

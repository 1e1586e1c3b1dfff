import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import https from 'node:https';
import { join } from 'node:path';

import { systemRng } from '@cyborg/service/rng';
import { makeTestClock } from '@cyborg/testing/clock';
import { makeTempFolder } from '@cyborg/testing/embedded';
import { describe, it } from 'vitest';

import { isOutage } from './errors.ts';
import { retryBudget } from './limits.ts';
import type { ServiceRequest, Session } from './session.ts';
import {
  cutOff,
  json,
  openTestSession,
  silence,
  startTestServices,
  testCredentials,
} from './test-services.ts';

const get: ServiceRequest = { type: 'compute', service: 'Nova', method: 'GET', path: '/things' };
const post: ServiceRequest = { ...get, method: 'POST', body: { a: 1 } };
const ask = (session: Session, request = get): Promise<unknown> => session.request(request);

describe('a session', () => {
  it('signs in once for many, and calls the endpoint of the catalogue with the token', async ({
    expect,
  }) => {
    await using services = await startTestServices(json(200, { ok: true }));
    using session = openTestSession(services);
    const answers = await Promise.all([ask(session), ask(session), ask(session)]);
    expect(answers[0]).toMatchObject({ status: 200, body: { ok: true } });
    expect(services.signIns).toHaveLength(1);
    expect(services.seen.map(({ path }) => path)).toEqual(Array(3).fill('/compute/things'));
    expect(services.seen[0]?.headers).toMatchObject({ 'x-auth-token': 'token-1' });
  });

  it('hands on the id of the request that it is part of', async ({ expect }) => {
    await using services = await startTestServices(json(200, {}));
    using session = openTestSession(services);
    await ask(session, { ...get, requestId: 'req-1', query: { a: 'b c', d: undefined } });
    expect(services.seen[0]?.headers['x-openstack-request-id']).toBe('req-1');
    expect(services.seen[0]?.path).toBe('/compute/things?a=b+c');
  });

  it('signs in again once when the token is refused, and then says who is to blame', async ({
    expect,
  }) => {
    await using services = await startTestServices(json(401, {}), json(200, {}), json(401, {}));
    using session = openTestSession(services);
    await ask(session);
    expect(services.seen.map(({ headers }) => headers['x-auth-token'])).toEqual([
      'token-1',
      'token-2',
    ]);
    await expect(ask(session)).rejects.toThrow(
      'Nova answered GET /things with 401 Unauthorized. The token is refused even after signing in again',
    );
    expect(services.signIns).toHaveLength(3);
  });

  it('renews a token before it expires, and goes on with it while Keystone is away', async ({
    expect,
  }) => {
    const clock = makeTestClock();
    await using services = await startTestServices(json(200, {}));
    services.tokenSeconds = 1000;
    using session = openTestSession(services, { clock, limits: { attemptsMax: 1 } });
    const idAfter = async (seconds: number): Promise<string> => {
      await clock.advance(seconds * 1000);
      return (await session.signIn()).id;
    };
    expect(await idAfter(0)).toBe('token-1');
    expect(await idAfter(890)).toBe('token-1');
    services.signIn = json(503, {});
    expect(await idAfter(20)).toBe('token-1');
    services.signIn = undefined;
    expect(await idAfter(20)).toBe('token-3');
    services.signIn = json(503, {});
    await expect(idAfter(1001)).rejects.toThrow('503');
  });

  it('does not let a refused account be locked by asking again and again', async ({ expect }) => {
    const clock = makeTestClock();
    await using services = await startTestServices();
    services.signIn = json(401, { error: { code: 401, message: 'no' } });
    using session = openTestSession(services, { clock });
    const refusal =
      /Keystone at .*\/v3 does not sign in user "cyborg" in project "service" \(401\)/;
    await expect(session.signIn()).rejects.toThrow(refusal);
    await expect(session.signIn()).rejects.toThrow(refusal);
    expect(services.signIns).toHaveLength(1);
    await clock.advance(5_000);
    await expect(session.signIn()).rejects.toMatchObject({ failure: 'sign-in' });
    expect(services.signIns).toHaveLength(2);
    await expect(session.signIn()).rejects.not.toThrow(/a secret that no message has/);
  });

  it.for([
    [
      { type: 'volume' },
      /no service of type volume; it has accelerator, compute, image, placement/,
    ],
    [{ region: 'two' }, /no compute in region two; it has it in one/],
    [{ interface: 'admin' as const }, /no admin endpoint of compute; it has public/],
  ])('says what the catalogue lacks: %j', async ([wrong, message], { expect }) => {
    await using services = await startTestServices(json(200, {}));
    const { type = 'compute', ...more } = wrong as { type?: string };
    using session = openTestSession(services, more);
    await expect(ask(session, { ...get, type })).rejects.toThrow(message as RegExp);
  });
});

describe('a call', () => {
  it('is tried again where that is safe', async ({ expect }) => {
    for (const fault of [json(503, {}), json(429, {}), json(502, {}), json(504, {}), cutOff]) {
      await using services = await startTestServices(fault, json(200, {}));
      using session = openTestSession(services);
      await expect(ask(session)).resolves.toMatchObject({ status: 200 });
      expect(services.seen).toHaveLength(2);
    }
  });

  it('is not tried again when it may have been carried out, or would fail again', async ({
    expect,
  }) => {
    for (const [request, fault] of [
      [post, cutOff],
      [post, json(502, {})],
      [get, json(500, {})],
      [get, json(409, {})],
    ] as const) {
      await using services = await startTestServices(fault, json(200, {}));
      using session = openTestSession(services);
      await expect(ask(session, request)).rejects.toMatchObject({ name: 'OpenStackError' });
      expect(services.seen).toHaveLength(1);
    }
  });

  it('signs in again when the answer to that is lost: a token that nobody heard of does no harm', async ({
    expect,
  }) => {
    await using services = await startTestServices(json(200, {}));
    using session = openTestSession(services);
    services.signIn = (...heard) => {
      services.signIn = undefined;
      cutOff(...heard);
    };
    await expect(ask(session)).resolves.toMatchObject({ status: 200 });
    expect(services.signIns).toHaveLength(2);
  });

  it('waits as long as the service asks', async ({ expect }) => {
    const clock = makeTestClock();
    await using services = await startTestServices(
      json(503, {}, { 'retry-after': '7' }),
      json(200, {}),
    );
    using session = openTestSession(services, { clock });
    const answer = ask(session);
    await waitFor(() => services.seen.length === 1);
    await waitFor(() => clock.pendingTimers > 1);
    await clock.advance(6_900);
    expect(services.seen).toHaveLength(1);
    await clock.advance(200);
    await waitFor(() => services.seen.length === 2);
    await expect(answer).resolves.toMatchObject({ status: 200 });
  });

  it('fails at once when it is asked to wait longer than it has', async ({ expect }) => {
    await using services = await startTestServices(json(503, {}, { 'retry-after': '3600' }));
    using session = openTestSession(services);
    await expect(ask(session)).rejects.toMatchObject({ status: 503, retryAfterMs: 3_600_000 });
    expect(services.seen).toHaveLength(1);
  });

  it('ends within its time, signing in included, and says what was asked of whom', async ({
    expect,
  }) => {
    await using services = await startTestServices(json(200, {}), silence);
    using session = openTestSession(services);
    await ask(session);
    const error: unknown = await ask(session, { ...get, timeoutMs: 150 }).catch(
      (reason: unknown) => reason,
    );
    expect(isOutage(error)).toBe(true);
    expect(error).toMatchObject({ failure: 'timeout' });
    expect(String(error)).toContain('Nova did not answer GET /things within');
    services.signIn = silence;
    using other = openTestSession(services);
    await expect(ask(other, { ...get, timeoutMs: 150 })).rejects.toMatchObject({
      failure: 'timeout',
    });
  });

  it('ends when its caller gives up', async ({ expect }) => {
    await using services = await startTestServices(silence);
    using session = openTestSession(services);
    const giveUp = new AbortController();
    const answer = ask(session, { ...get, signal: giveUp.signal });
    await waitFor(() => services.seen.length === 1);
    giveUp.abort(new Error('enough'));
    await expect(answer).rejects.toThrow('enough');
  });

  it('says that nobody listens, after as many attempts as it may make', async ({ expect }) => {
    await using services = await startTestServices();
    const url = 'http://127.0.0.1:1';
    using session = openTestSession(services, { endpointOverrides: { compute: url } });
    await expect(ask(session, post)).rejects.toThrow(
      /^Nova at http:\/\/127\.0\.0\.1:\d+ did not answer POST \/things: connect ECONNREFUSED.* Is it running/,
    );
  });

  it('spends no more retries than its budget while a service is down', async ({ expect }) => {
    await using services = await startTestServices(json(503, {}));
    using session = openTestSession(services, { limits: { attemptsMax: 4 } });
    const calls = 30;
    for (let call = 0; call < calls; call += 1) await ask(session).catch(() => undefined);
    expect(services.seen).toHaveLength(calls + retryBudget.tokensMax);
  });

  it('reads no more than it may, and takes nothing for JSON that is not', async ({ expect }) => {
    await using services = await startTestServices(json(200, 'x'.repeat(5000)));
    using session = openTestSession(services, { limits: { answerBytesMax: 4000 } });
    await expect(ask(session)).rejects.toMatchObject({ failure: 'too-large' });
    services.handlers = [
      (_request, response) =>
        void response.writeHead(200, { 'content-type': 'application/json' }).end('{"a":'),
    ];
    await expect(ask(session)).rejects.toThrow('with something else than expected');
  });

  it('quotes what the service says, in each of their ways', async ({ expect }) => {
    const said: [unknown, string][] = [
      [{ error: { code: 403, message: 'You are not allowed', title: 'Forbidden' } }, 'not allowed'],
      [{ forbidden: { code: 403, message: 'Policy says no' } }, 'Policy says no'],
      [{ errors: [{ status: 403, detail: 'Denied.\n\n  Really.  ', code: 'x.y' }] }, 'Really'],
    ];
    for (const [body, part] of said) {
      await using services = await startTestServices(
        json(403, body, { 'x-openstack-request-id': 'req-9' }),
      );
      using session = openTestSession(services);
      await expect(ask(session)).rejects.toThrow(part);
      await expect(ask(session)).rejects.toMatchObject({ status: 403, requestId: 'req-9' });
    }
  });
});

describe('TLS', () => {
  it('trusts the authority of its file, and without it nobody of that authority', async ({
    expect,
  }) => {
    using folder = makeTempFolder();
    const [key, cert] = [join(folder.path, 'key.pem'), join(folder.path, 'cert.pem')];
    execFileSync(
      'openssl',
      `req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 -keyout ${key} -out ${cert}`.split(
        ' ',
      ),
      { stdio: 'ignore' },
    );
    await using services = await startTestServices(json(200, { ok: true }));
    const server = https.createServer(
      { key: readFileSync(key), cert: readFileSync(cert) },
      (_request, response) => void response.end(),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    const port = typeof address === 'object' ? address?.port : undefined;
    const endpointOverrides = { compute: `https://127.0.0.1:${port}` };
    using trusting = openTestSession(services, {
      endpointOverrides,
      ca: readFileSync(cert, 'utf8'),
    });
    using other = openTestSession(services, { endpointOverrides });
    await expect(ask(trusting)).resolves.toMatchObject({ status: 200 });
    await expect(ask(other)).rejects.toMatchObject({ failure: 'tls' });
    await expect(ask(other)).rejects.toThrow('Name the authority of its certificate');
    server.closeAllConnections();
    server.close();
  });
});

it('refuses an address of Keystone that is none', ({ expect }) => {
  const services = { url: 'keystone:5000' } as Parameters<typeof openTestSession>[0];
  expect(() => openTestSession(services, { credentials: testCredentials, rng: systemRng })).toThrow(
    'no http:// or https:// URL',
  );
});

async function waitFor(isTrue: () => boolean): Promise<void> {
  for (let turn = 0; turn < 8000 && !isTrue(); turn += 1) {
    await new Promise((resolve) => {
      setTimeout(resolve, 5);
    });
  }
  if (!isTrue()) throw new Error('it did not become true in 40 s');
}

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { makeTestDeps } from '@cyborg/conductor/test-deps';
import { makeTestClock } from '@cyborg/testing/clock';
import type { TestClock } from '@cyborg/testing/clock';
import { openTestDatabase } from '@cyborg/testing/database';
import { systemClock } from '@cyborg/service/clock';
import { systemRng } from '@cyborg/service/rng';
import { afterAll, beforeAll, describe, it } from 'vitest';

import { openHttpBasic } from '../auth/http-basic.ts';
import { hashPassword } from '../auth/password.ts';
import { putUsers } from '../auth/write-users-file.ts';
import { basicAuth, openTestApp, silentLog, testPassword, writeTestUsers } from '../test-app.ts';
import type { TestApp } from '../test-app.ts';
import { sessionLimits } from './sessions.ts';

const idleSeconds = 600;
const ours = { 'x-cyborg-console': '1' };

describe('a session of the console', () => {
  const folder = mkdtempSync(join(tmpdir(), 'cyborg-console-'));
  const usersFile = join(folder, 'users.yaml');
  const clock: TestClock = makeTestClock();
  const replicas: TestApp[] = [];
  let one: TestApp['app'];
  let other: TestApp['app'];
  let proxied: TestApp['app'];

  beforeAll(async () => {
    await writeTestUsers(usersFile);
    const database = await openTestDatabase();
    const { db } = database;
    const kept = { db, [Symbol.asyncDispose]: async () => {} };
    const open = async (isBehindProxy: boolean): Promise<TestApp['app']> => {
      const surroundings = { clock: systemClock, rng: systemRng, log: silentLog };
      const replica = await openTestApp(replicas.length === 0 ? database : kept, {
        authenticator: await openHttpBasic({ ...surroundings, usersFile }),
        conductor: makeTestDeps({ db, clock }),
        consoleIdleSeconds: idleSeconds,
        isBehindProxy,
      });
      replicas.push(replica);
      return replica.app;
    };
    one = await open(false);
    other = await open(false);
    proxied = await open(true);
  });
  afterAll(async () => {
    for (const replica of replicas.toReversed()) await replica[Symbol.asyncDispose]();
    rmSync(folder, { recursive: true, force: true });
  });

  const signIn = (app = one, user = 'member', password = testPassword) =>
    app.inject({
      method: 'POST',
      url: '/console/session',
      headers: ours,
      payload: { user, password },
    });
  const begin = async (app = one): Promise<string> => {
    const answer = await signIn(app);
    return String(answer.headers['set-cookie']).split(';', 1)[0] ?? '';
  };
  const ask = (cookie: string, app = one) =>
    app.inject({ url: '/v3/caller', headers: { cookie, ...ours } });

  it('is a sealed cookie for this host and no script, known to every replica', async ({
    expect,
  }) => {
    const answer = await signIn();
    expect(answer.statusCode).toBe(200);
    expect(answer.json()).toMatchObject({ auth: 'http_basic', caller: { user_name: 'member' } });
    const cookie = String(answer.headers['set-cookie']);
    expect(cookie).toMatch(/^cyborg-session=[\w-]+; Path=\/; HttpOnly; SameSite=Strict$/);
    const value = cookie.split(';', 1)[0] ?? '';
    expect(Buffer.from(value.split('=')[1] ?? '', 'base64url').toString()).not.toContain('member');
    for (const app of [one, other]) {
      expect((await ask(value, app)).json()).toMatchObject({ user_name: 'member' });
    }
  });

  it('goes over TLS alone where there is TLS', async ({ expect }) => {
    const answer = await signIn(proxied);
    expect(String(answer.headers['set-cookie'])).toMatch(
      /^__Host-cyborg-session=[\w-]+; Path=\/; HttpOnly; SameSite=Strict; Secure$/,
    );
  });

  it('is refused for a wrong password, without the browser’s own question', async ({ expect }) => {
    const answer = await signIn(one, 'member', 'wrong');
    expect(answer.statusCode).toBe(401);
    expect(answer.headers['www-authenticate']).toBe('Cyborg-Console');
    expect(answer.headers['set-cookie']).toBeUndefined();
  });

  it('is not begun, and changes nothing, without the header that other sites cannot send', async ({
    expect,
  }) => {
    const payload = { user: 'member', password: testPassword };
    const foreign = await one.inject({ method: 'POST', url: '/console/session', payload });
    expect(foreign.statusCode).toBe(403);
    const cookie = await begin();
    const request = { method: 'POST', url: '/v3/discoveries', payload: {} } as const;
    const without = await one.inject({ ...request, headers: { cookie } });
    expect(without.statusCode).toBe(403);
    expect(without.json().detail).toContain('x-cyborg-console');
    // The role is the next to say no.
    const withIt = await one.inject({ ...request, headers: { cookie, ...ours } });
    expect(withIt.json().detail).toContain('discovery:create');
    const byName = await one.inject({
      ...request,
      headers: { cookie, authorization: basicAuth('admin') },
    });
    expect(byName.statusCode).toBe(202);
  });

  it('is nobody’s when it was changed', async ({ expect }) => {
    const cookie = await begin();
    const at = cookie.length - 4;
    const changed = cookie.slice(0, at) + (cookie[at] === 'A' ? 'B' : 'A') + cookie.slice(at + 1);
    const answer = await ask(changed);
    expect(answer.statusCode).toBe(401);
    expect(answer.headers['www-authenticate']).toBe('Cyborg-Console');
    expect((await ask('cyborg-session=x')).statusCode).toBe(401);
  });

  it('ends when it is left alone, lasts while it is renewed, but not for ever', async ({
    expect,
  }) => {
    let cookie = await begin();
    await clock.advance(idleSeconds * 1000 + 1);
    expect((await ask(cookie)).statusCode).toBe(401);
    cookie = await begin();
    const renew = async () => {
      const answer = await one.inject({
        method: 'POST',
        url: '/console/session/renew',
        headers: { cookie, ...ours },
      });
      cookie = String(answer.headers['set-cookie']).split(';', 1)[0] ?? '';
      return answer.statusCode;
    };
    const steps = Math.ceil(sessionLimits.totalSeconds / (idleSeconds / 2));
    for (let step = 1; step < steps; step += 1) {
      await clock.advance((idleSeconds / 2) * 1000);
      expect(await renew()).toBe(204);
    }
    await clock.advance((idleSeconds / 2) * 1000);
    expect(await renew()).toBe(401);
  });

  it('ends with the password that it began with', async ({ expect }) => {
    const cookie = await begin(other);
    const answer = await signIn(other, 'reader');
    const reader = String(answer.headers['set-cookie']).split(';', 1)[0] ?? '';
    expect((await ask(reader, other)).statusCode).toBe(200);
    const password_hash = await hashPassword('a new one', systemRng);
    await putUsers(usersFile, [
      { name: 'reader', password_hash, roles: ['reader'], project_id: 'tenants' },
    ]);
    await expect.poll(async () => (await ask(reader, other)).statusCode).toBe(401);
    expect((await ask(cookie, other)).statusCode).toBe(200);
  });

  it('is forgotten by the browser at signing out', async ({ expect }) => {
    const cookie = await begin();
    const answer = await one.inject({
      method: 'DELETE',
      url: '/console/session',
      headers: { cookie, ...ours },
    });
    expect(answer.statusCode).toBe(204);
    expect(answer.headers['set-cookie']).toContain('Max-Age=0');
    const nobody = await one.inject({ url: '/console/session' });
    expect(nobody.json()).toMatchObject({ auth: 'http_basic', caller: null });
  });
});

import {
  openTestSession,
  startTestServices,
  json,
  testToken,
} from '@cyborg/openstack/test-services';
import { systemRng } from '@cyborg/service/rng';
import { makeTestClock } from '@cyborg/testing/clock';
import { describe, it } from 'vitest';

import { silentLog } from '../../test-app.ts';
import type { SignIns } from '../authenticator.ts';
import { failedLoginLimits } from '../failed-logins.ts';
import { makeKeystone } from './keystone.ts';

const ann = { user: { id: 'u-ann', name: 'ann' }, roles: [{ name: 'member' }] };
const answer = { token: { ...testToken('http://x', 3600), ...ann } };
const words = { user: 'ann', password: 'secret', project: 'demo', domain: 'Default' };

async function open() {
  const services = await startTestServices(json(200, answer));
  services.signIn = json(201, answer, { 'x-subject-token': 'token-of-ann' });
  const session = openTestSession(services, { limits: { attemptsMax: 1 } });
  const { signIns } = makeKeystone({
    session,
    publicUrl: 'http://keystone:5000/v3',
    serviceTokenRoles: ['service'],
    validSeconds: 0,
    clock: makeTestClock(),
    rng: systemRng,
    log: silentLog,
  });
  if (signIns === undefined) throw new Error('people can sign in with Keystone');
  return {
    services,
    signIns,
    async [Symbol.asyncDispose]() {
      session[Symbol.dispose]();
      await services[Symbol.asyncDispose]();
    },
  };
}

const begin = (signIns: SignIns, more = {}) => signIns.begin({ ...words, ...more }, '192.0.2.1');

describe('signing in with Keystone', () => {
  it('passes the words on, and keeps the token alone', async ({ expect }) => {
    await using scene = await open();
    const signedIn = await begin(scene.signIns);
    expect(signedIn).toMatchObject({
      ticket: 'token-of-ann',
      caller: { userId: 'u-ann', userName: 'ann' },
    });
    expect(JSON.parse(scene.services.signIns.at(-1)?.body ?? '')).toMatchObject({
      auth: {
        identity: { password: { user: { name: 'ann', password: 'secret' } } },
        scope: { project: { name: 'demo', domain: { name: 'Default' } } },
      },
    });
    const caller = await scene.signIns.resume('token-of-ann');
    expect(caller).toMatchObject({ userId: 'u-ann' });
    // For asking Nova in the caller's name.
    expect(caller?.token?.reveal()).toBe('token-of-ann');
  });

  it('says no to wrong words, and after some to all', async ({ expect }) => {
    await using scene = await open();
    scene.services.signIn = json(401, { error: { message: 'no' } });
    for (let guess = 0; guess < failedLoginLimits.perUserMax; guess += 1) {
      expect(await begin(scene.signIns)).toBeUndefined();
    }
    await expect(begin(scene.signIns)).rejects.toMatchObject({ code: 'too-many-failed-logins' });
  });

  it('needs a project, and tells an outage from a refusal', async ({ expect }) => {
    await using scene = await open();
    const { project: _project, ...without } = words;
    await expect(scene.signIns.begin(without, '192.0.2.1')).rejects.toMatchObject({
      code: 'invalid-input',
    });
    scene.services.signIn = json(503, {});
    await expect(begin(scene.signIns)).rejects.toMatchObject({ code: 'unavailable' });
  });

  it('ends when Keystone does not know the token any more', async ({ expect }) => {
    await using scene = await open();
    expect(await scene.signIns.resume('token-of-ann')).toBeDefined();
    await using revoked = await startTestServices(json(404, {}));
    const session = openTestSession(revoked, { limits: { attemptsMax: 1 } });
    const { signIns } = makeKeystone({
      session,
      publicUrl: 'http://keystone:5000/v3',
      serviceTokenRoles: ['service'],
      validSeconds: 0,
      clock: makeTestClock(),
      rng: systemRng,
      log: silentLog,
    });
    expect(await signIns?.resume('token-of-ann')).toBeUndefined();
    session[Symbol.dispose]();
  });
});

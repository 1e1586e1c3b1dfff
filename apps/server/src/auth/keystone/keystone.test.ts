import type { Caller } from '@cyborg/model/caller';
import {
  openTestSession,
  startTestServices,
  json,
  silence,
  testToken,
} from '@cyborg/openstack/test-services';
import type { Handler, TestServices } from '@cyborg/openstack/test-services';
import { systemRng } from '@cyborg/service/rng';
import { makeTestClock } from '@cyborg/testing/clock';
import type { TestClock } from '@cyborg/testing/clock';
import { describe, it } from 'vitest';

import { silentLog } from '../../test-app.ts';
import { makeKeystone } from './keystone.ts';
import { tokenCacheLimits } from './validated-tokens.ts';

/** Keystone's tokens: name → what it is, beside the usual. */
const known: Readonly<Record<string, object>> = {
  ann: {
    user: { id: 'u-ann', name: 'ann' },
    roles: [{ name: 'Manager' }, { name: 'member' }, { name: 'reader' }, { name: 'wizard' }],
  },
  nova: { user: { id: 'u-nova', name: 'nova' }, roles: [{ name: 'admin' }, { name: 'service' }] },
  nobody: { roles: [] },
  system: { project: undefined, system: { all: true } },
  unscoped: { project: undefined, roles: undefined },
};

const validate: Handler = (request, response, message) => {
  const subject = String(request.headers['x-subject-token']);
  const isExpired = subject === 'old' && !request.path.includes('allow_expired');
  const token = isExpired ? undefined : known[subject === 'old' ? 'ann' : subject];
  const answer = token && { token: { ...testToken('http://x', 3600), ...live, ...token } };
  json(answer === undefined ? 404 : 200, answer ?? {})(request, response, message);
};
/** The test clock begins in 2030. */
const live = { issued_at: '2030-01-01T00:00:00Z', expires_at: '2030-01-01T01:00:00Z' };

interface Scene extends AsyncDisposable {
  readonly services: TestServices;
  readonly clock: TestClock;
  ask(token?: string, serviceToken?: string): Promise<Caller | undefined>;
}

async function open(validSeconds = 60): Promise<Scene> {
  const services = await startTestServices(validate);
  const clock = makeTestClock();
  const session = openTestSession(services, { limits: { attemptsMax: 1 } });
  const authenticator = makeKeystone({
    session,
    publicUrl: 'http://keystone:5000/v3',
    serviceTokenRoles: ['service'],
    validSeconds,
    clock,
    rng: systemRng,
    log: silentLog,
  });
  return {
    services,
    clock,
    ask: (token, serviceToken) =>
      authenticator.authenticate({
        address: '192.0.2.1',
        headers: {
          ...(token === undefined ? {} : { 'x-auth-token': token }),
          ...(serviceToken === undefined ? {} : { 'x-service-token': serviceToken }),
        },
      }),
    async [Symbol.asyncDispose]() {
      session[Symbol.dispose]();
      await services[Symbol.asyncDispose]();
    },
  };
}

describe('Keystone’s tokens', () => {
  it('say who asks, in which project, with which of our roles', async ({ expect }) => {
    await using scene = await open();
    const caller = await scene.ask('ann');
    expect(caller).toMatchObject({ userId: 'u-ann', projectId: 'p1', isServiceRequest: false });
    expect([...(caller?.roles ?? [])].toSorted()).toEqual(['manager', 'member', 'reader']);
    expect(caller?.roleNames?.has('wizard')).toBe(true);
    expect([...((await scene.ask('nobody'))?.roles ?? [])]).toEqual([]);
  });

  it.for([undefined, '', 'unknown', 'two words', 'x'.repeat(9000)])(
    'are refused when they are %s',
    async (token, { expect }) => {
      await using scene = await open();
      expect(await scene.ask(token)).toBeUndefined();
    },
  );

  it.for(['system', 'unscoped'])('that are %s get 403', async (token, { expect }) => {
    await using scene = await open();
    await expect(scene.ask(token)).rejects.toMatchObject({ code: 'forbidden' });
  });

  it('of a service beside the user’s make a service request', async ({ expect }) => {
    await using scene = await open();
    expect(await scene.ask('ann', 'nova')).toMatchObject({
      userName: 'ann',
      isServiceRequest: true,
    });
    expect(await scene.ask('nova')).toMatchObject({ isServiceRequest: false });
    expect(await scene.ask('ann', '')).toMatchObject({ isServiceRequest: false });
    for (const bad of ['ann', 'unknown', ' ', 'nobody']) {
      expect(await scene.ask('ann', bad), bad).toBeUndefined();
    }
    expect(await scene.ask(undefined, 'nova')).toBeUndefined();
  });

  it('may have expired lately when a service goes on with them, and only then', async ({
    expect,
  }) => {
    await using scene = await open();
    expect(await scene.ask('old')).toBeUndefined();
    expect(await scene.ask('old', 'nova')).toMatchObject({ userName: 'ann' });
    expect(await scene.ask('old')).toBeUndefined();
  });
});

describe('what Keystone said', () => {
  it('is believed for its time and no longer', async ({ expect }) => {
    await using scene = await open();
    await scene.ask('ann');
    await scene.clock.advance(59_999);
    expect(await scene.ask('ann')).toBeDefined();
    expect(scene.services.seen).toHaveLength(1);
    scene.services.handlers = [json(404, {})];
    await scene.clock.advance(1);
    expect(await scene.ask('ann')).toBeUndefined();
  });

  it('is not believed longer than the token is valid, nor at all with a time of 0', async ({
    expect,
  }) => {
    await using scene = await open();
    await scene.clock.advance(3590_000);
    await scene.ask('ann');
    await scene.clock.advance(10_000);
    await scene.ask('ann');
    expect(scene.services.seen).toHaveLength(2);
    await using strict = await open(0);
    await strict.ask('ann');
    await strict.ask('ann');
    expect(strict.services.seen).toHaveLength(2);
  });

  it('of a wrong token is remembered briefly', async ({ expect }) => {
    await using scene = await open();
    for (let turn = 0; turn < 5; turn += 1) await scene.ask('wrong');
    expect(scene.services.seen).toHaveLength(1);
    await scene.clock.advance(tokenCacheLimits.invalidSeconds * 1000);
    await scene.ask('wrong');
    expect(scene.services.seen).toHaveLength(2);
  });

  it('is asked once for requests that come together', async ({ expect }) => {
    await using scene = await open();
    const callers = await Promise.all(Array.from({ length: 50 }, () => scene.ask('ann')));
    expect(callers.every((caller) => caller?.userName === 'ann')).toBe(true);
    expect(scene.services.seen).toHaveLength(1);
  });

  it('is not pushed out by a flood of wrong tokens', async ({ expect }) => {
    await using scene = await open();
    await scene.ask('ann');
    for (let turn = 0; turn < tokenCacheLimits.invalidMax + 100; turn += 100) {
      await Promise.all(Array.from({ length: 100 }, (_, at) => scene.ask(`wrong-${turn + at}`)));
    }
    const before = scene.services.seen.length;
    expect(await scene.ask('ann')).toBeDefined();
    expect(scene.services.seen).toHaveLength(before);
  });
});

describe('while Keystone is away', () => {
  it('tokens known from before go on within their time, others get 503 and not 401', async ({
    expect,
  }) => {
    await using scene = await open();
    await scene.ask('ann');
    scene.services.handlers = [json(503, {})];
    await scene.clock.advance(30_000);
    expect(await scene.ask('ann')).toBeDefined();
    await expect(scene.ask('nova')).rejects.toMatchObject({ code: 'unavailable' });
    await expect(scene.ask('ann', 'nova')).rejects.toMatchObject({ code: 'unavailable' });
    await scene.clock.advance(30_000);
    await expect(scene.ask('ann')).rejects.toMatchObject({ code: 'unavailable' });
    scene.services.handlers = [validate];
    expect(await scene.ask('ann')).toBeDefined();
  });

  it('no more questions wait for it than may', async ({ expect }) => {
    await using scene = await open();
    scene.services.handlers = [silence];
    const waiting = Array.from({ length: tokenCacheLimits.askingMax }, (_, at) =>
      scene.ask(`token-${at}`).catch((error: unknown) => error),
    );
    await expect(scene.ask('one more')).resolves.toBeUndefined();
    await expect(scene.ask('one-more')).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining('Too many tokens'),
    });
    await scene.services[Symbol.asyncDispose]();
    await Promise.all(waiting);
  });
});

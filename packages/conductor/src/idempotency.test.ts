import { callerOf } from '@cyborg/testing/fleet';
import { makeTestClock } from '@cyborg/testing/clock';
import { openTestDatabase } from '@cyborg/testing/database';
import { describe, it } from 'vitest';

import { idempotently } from './idempotency.ts';
import { forgetIdempotencyKeys } from './reconcilers/forget-idempotency-keys.ts';
import { makeTestDeps } from './test-deps.ts';
import { act } from './transaction.ts';

const dayMs = 24 * 3_600_000;

async function setUp() {
  const database = await openTestDatabase();
  const clock = makeTestClock();
  const deps = makeTestDeps({ db: database.db, clock });
  let runs = 0;
  const post = (key: string | undefined, body: unknown = { count: 1 }, project = 'alpha') =>
    act(deps, (current) =>
      idempotently(
        current,
        { caller: callerOf('member', project), method: 'POST', path: '/v3/x', key, body },
        async () => ({ run: ++runs, at: current.now, none: null }),
      ),
    );
  return { database, clock, deps, post, runs: () => runs };
}

describe('idempotently', () => {
  it('answers the same request as the first time, instants included', async ({ expect }) => {
    const { database, clock, post, runs } = await setUp();
    await using _ = database;
    const first = await post('k', { a: 1, b: 2 });
    await clock.advance(1000);
    expect(await post('k', { b: 2, a: 1 })).toEqual(first);
    expect(first.at).toBeInstanceOf(Date);
    expect(runs()).toBe(1);
    await post(undefined);
    await post('k', { a: 1, b: 2 }, 'beta');
    expect(runs()).toBe(3);
  });

  it('refuses another body under the same key', async ({ expect }) => {
    const { database, post } = await setUp();
    await using _ = database;
    await post('k', { count: 1 });
    await expect(post('k', { count: 2 })).rejects.toMatchObject({ code: 'idempotency-mismatch' });
  });

  it('says that the first one is still running, and runs the work once', async ({ expect }) => {
    const { database, deps, post, runs } = await setUp();
    await using _ = database;
    const gate = Promise.withResolvers<void>();
    const started = Promise.withResolvers<void>();
    const first = act(deps, (current) =>
      idempotently(
        current,
        {
          caller: callerOf('member', 'alpha'),
          method: 'POST',
          path: '/v3/x',
          key: 'k',
          body: { count: 1 },
        },
        async () => {
          started.resolve();
          await gate.promise;
          return { run: 'slow' };
        },
      ),
    );
    await started.promise;
    await expect(post('k')).rejects.toMatchObject({ code: 'idempotency-running' });
    gate.resolve();
    await first;
    expect(await post('k')).toEqual({ run: 'slow' });
    expect(runs()).toBe(0);
  });

  it('runs one of many at once', async ({ expect }) => {
    const { database, post, runs } = await setUp();
    await using _ = database;
    const answers = await Promise.allSettled(Array.from({ length: 16 }, () => post('k')));
    const done = answers.filter((answer) => answer.status === 'fulfilled');
    expect(done.length).toBeGreaterThan(0);
    expect(new Set(done.map((answer) => answer.value.run)).size).toBe(1);
    const stored = await database.db.selectFrom('idempotency_key').selectAll().execute();
    expect(stored).toHaveLength(1);
    expect(runs()).toBeGreaterThanOrEqual(1);
  });

  it('stores nothing of a refused act', async ({ expect }) => {
    const { database, deps, post } = await setUp();
    await using _ = database;
    const refused = act(deps, (current) =>
      idempotently(
        current,
        {
          caller: callerOf('member', 'alpha'),
          method: 'POST',
          path: '/v3/x',
          key: 'k',
          body: { count: 1 },
        },
        () => Promise.reject(new Error('refused')),
      ),
    );
    await expect(refused).rejects.toThrow('refused');
    expect((await post('k')).run).toBe(1);
  });

  it('forgets after a day, whether or not anybody swept', async ({ expect }) => {
    const { database, clock, deps, post, runs } = await setUp();
    await using _ = database;
    await post('k');
    await clock.advance(dayMs + 1);
    await post('k', { count: 2 });
    expect(runs()).toBe(2);
    await clock.advance(dayMs + 1);
    expect(await forgetIdempotencyKeys(deps).pass(new AbortController().signal)).toMatchObject({
      found: 1,
    });
  });
});

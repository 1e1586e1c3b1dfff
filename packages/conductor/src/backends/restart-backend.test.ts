import { systemClock } from '@cyborg/service/clock';
import { makeTestClock } from '@cyborg/testing/clock';
import { openTestDatabase } from '@cyborg/testing/database';
import { addAccelerators, addBackend, addHost, callerOf } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { report } from '../../test/agents.ts';
import { makeAgentHandlers } from '../agents/handlers.ts';
import { advanceHostOperations } from '../deployments/advance-operations.ts';
import { makeTestDeps } from '../test-deps.ts';
import { makeBackendHandlers } from './handlers.ts';

const admin = callerOf('admin', 'ops');
const params = { backend: 'h@virtual' };
const never = new AbortController().signal;
const measured = { at: '2030-01-01T00:00:00.000Z', figures: { load: 3 } };
const line = { at: '2030-01-01T00:00:00.000Z', level: 'stderr', message: 'no such card' } as const;

interface Said {
  readonly state?: 'ready' | 'failed';
  readonly restart?: number;
  readonly quarantined?: boolean;
  readonly discovery?: number;
  readonly backend?: 'ready' | 'failed';
}

async function openBench() {
  const database = await openTestDatabase();
  const { db } = database;
  const clock = makeTestClock();
  const deps = makeTestDeps({ db, clock: { ...systemClock, now: () => clock.now() } });
  const host = await addHost(db, { name: 'h' });
  const backend = await addBackend(db, host, { driver_id: 'acme' });
  const agents = makeAgentHandlers(deps);
  const handlers = makeBackendHandlers(deps);
  const reconciler = advanceHostOperations(deps);
  const reason = 'ended with status 3';
  return {
    db,
    backend,
    handlers,
    wanted: async () => {
      const asked = { params: {}, query: {}, body: undefined };
      const { installations } = await agents.showDesired(host, asked);
      return installations[0];
    },
    async report({ state = 'ready', backend: made = 'ready', discovery = 0, ...said }: Said) {
      const generation = 1;
      const installation_id = backend.installation_id;
      await agents.report(
        host,
        report(deps, host.agent_instance ?? '', {
          installations: [
            {
              installation_id,
              generation,
              state,
              running_version: '1.0.0',
              reason,
              ...said,
              log: [line],
              stats: { virtual: measured },
            },
          ],
          backends: [{ backend_id: backend.id, generation, discovery, state: made, reason }],
        }),
      );
    },
    async restart() {
      const answer = await handlers.restartBackend(admin, { params, query: {}, body: undefined });
      if ('dry_run' in answer) throw new Error('a dry run');
      return answer;
    },
    async operation(id: string) {
      await reconciler.pass(never);
      return await db
        .selectFrom('operation')
        .selectAll()
        .where('id', '=', id)
        .executeTakeFirstOrThrow();
    },
    show: () => handlers.showBackend(admin, { params, query: {}, body: undefined }),
    clock,
    [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
  };
}

describe('a backend whose driver is in quarantine', () => {
  it('shows since when, and what the driver said last', async ({ expect }) => {
    await using bench = await openBench();
    expect(await bench.show()).toMatchObject({ quarantined_since: null, log: [], stats: null });
    await bench.report({ state: 'failed', backend: 'failed', quarantined: true });
    const first = await bench.show();
    expect(first).toMatchObject({ reason: 'ended with status 3', log: [line], stats: measured });
    expect(first.quarantined_since).toEqual(bench.clock.now());
    bench.clock.jumpWallClock(5_000);
    await bench.report({ state: 'failed', backend: 'failed', quarantined: true });
    expect((await bench.show()).quarantined_since).toEqual(first.quarantined_since);
    await bench.report({});
    expect(await bench.show()).toMatchObject({ quarantined_since: null });
  });

  it('is restarted: done when the host has done it and the backend has looked', async ({
    expect,
  }) => {
    await using bench = await openBench();
    await bench.report({ state: 'failed', backend: 'failed', quarantined: true });
    const { id, state } = await bench.restart();
    expect(state).toBe('running');
    expect(await bench.wanted()).toMatchObject({ restart: 1, backends: [{ discovery: 1 }] });
    // What was failed before the restart says nothing of it.
    await bench.report({ state: 'failed', backend: 'failed', quarantined: true });
    expect(await bench.operation(id)).toMatchObject({ state: 'running' });
    await bench.report({ restart: 1, backend: 'failed' });
    expect(await bench.operation(id)).toMatchObject({ state: 'running' });
    await bench.report({ restart: 1, discovery: 1 });
    expect(await bench.operation(id)).toMatchObject({ state: 'succeeded' });
    expect(await bench.show()).toMatchObject({ quarantined_since: null });
  });

  it('says why when the driver does not come up again', async ({ expect }) => {
    await using bench = await openBench();
    const { id } = await bench.restart();
    await bench.report({ restart: 1, state: 'failed', backend: 'failed' });
    expect(await bench.operation(id)).toMatchObject({
      state: 'failed',
      error: 'h@virtual: ended with status 3',
    });
  });
});

describe('a restart', () => {
  it('is refused while an image is written into a card of the driver, on any backend of it', async ({
    expect,
  }) => {
    await using bench = await openBench();
    const { db, backend, handlers } = bench;
    await addAccelerators(db, backend, { count: 1, state: 'updating' });
    await expect(bench.restart()).rejects.toMatchObject({
      code: 'in-use',
      message: expect.stringContaining('h@virtual'),
    });
    const query = { dry_run: true };
    const rehearsal = await handlers.restartBackend(admin, { params, query, body: undefined });
    expect(rehearsal).toMatchObject({ would_succeed: false, refusal: { code: 'in-use' } });
    expect(await bench.wanted()).toMatchObject({ restart: 0 });
  });

  it('is refused with another ETag than the current one', async ({ expect }) => {
    await using bench = await openBench();
    const asked = { params, query: {}, body: undefined, ifMatch: '"stale"' };
    await expect(bench.handlers.restartBackend(admin, asked)).rejects.toMatchObject({
      code: 'stale-edit',
    });
  });
});

import { addAccelerators, addBackend, addHost } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { openBench, report } from '../../test/agents.ts';

describe('reports of installations and backends', () => {
  it('walk an installation to ready, and mark a backend stale with its age (promise 5)', async ({
    expect,
  }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    const host = await addHost(db);
    const instance = host.agent_instance ?? '';
    const backend = await addBackend(db, host, { state: 'pending', generation: 2 });
    await db.updateTable('installation').set({ state: 'pending', running_version: null }).execute();
    const [accelerator] = await addAccelerators(db, backend, { count: 1 });
    const say = (state: 'ready' | 'stale', reason: string | null = null): Promise<null> =>
      bench.agents.report(
        host,
        report(bench.deps, instance, {
          installations: [
            {
              installation_id: backend.installation_id,
              generation: 1,
              state: 'ready',
              running_version: '1.0.0',
              reason: null,
            },
          ],
          backends: [{ backend_id: backend.id, generation: 2, discovery: 0, state, reason }],
        }),
      );
    const read = (): Promise<object> =>
      db.selectFrom('backend').selectAll().executeTakeFirstOrThrow();
    await say('ready');
    expect(await db.selectFrom('installation').selectAll().executeTakeFirst()).toMatchObject({
      state: 'ready',
      running_version: '1.0.0',
    });
    expect(await read()).toMatchObject({ state: 'ready', observed_generation: 2 });

    const since = bench.clock.now();
    await say('stale', 'the driver crashed');
    bench.clock.jumpWallClock(60_000);
    await say('stale', 'the driver crashed');
    expect(await read()).toMatchObject({
      state: 'stale',
      stale_since: since,
      reason: 'the driver crashed',
    });
    const kept = await db.selectFrom('accelerator').selectAll().executeTakeFirst();
    expect(kept).toEqual(accelerator);
    await say('ready');
    expect(await read()).toMatchObject({ state: 'ready', stale_since: null });
  });

  it('of an older generation do not count for the new wish', async ({ expect }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    const host = await addHost(db);
    const { installation_id } = await addBackend(db, host);
    await db
      .updateTable('installation')
      .set({ state: 'updating', wanted_version: '2.0.0', generation: 2 })
      .execute();
    const installation = {
      installation_id,
      generation: 1,
      state: 'ready' as const,
      running_version: '1.0.0',
      reason: null,
    };
    await bench.agents.report(
      host,
      report(bench.deps, host.agent_instance ?? '', { installations: [installation] }),
    );
    expect(await db.selectFrom('installation').select('state').executeTakeFirst()).toEqual({
      state: 'updating',
    });
  });
});

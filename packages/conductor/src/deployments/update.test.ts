import { addAccelerators, addHost } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { admin, approve, never, openBench, params, version } from '../../test/deployments.ts';
import { advanceHostOperations } from './advance-operations.ts';

describe('update-driver', () => {
  it('goes to the newest approved version, a batch of hosts at a time', async ({ expect }) => {
    await using bench = await openBench();
    const hosts = [];
    for (const name of ['a', 'b', 'c']) hosts.push(await addHost(bench.database.db, { name }));
    await bench.install();
    await bench.pass();
    for (const host of hosts) await bench.obey(host);
    await approve(bench, '0.2.0');
    const { id } = await bench.update({ version: '0.2.0', rollout: { batch: 1 } });
    const updating = async (): Promise<number> => {
      const rows = await bench.database.db
        .selectFrom('installation')
        .select('id')
        .where('wanted_version', '=', '0.2.0')
        .execute();
      return rows.length;
    };
    for (const [index, host] of hosts.entries()) {
      await bench.pass();
      await bench.pass();
      expect(await updating()).toBe(index + 1);
      await bench.obey(host);
    }
    await bench.pass();
    expect(await bench.operation(id)).toMatchObject({ state: 'succeeded' });
  });

  it('stops a batched roll-out at the first host that fails', async ({ expect }) => {
    await using bench = await openBench();
    const [first, second] = [
      await addHost(bench.database.db, { name: 'a' }),
      await addHost(bench.database.db, { name: 'b' }),
    ];
    await bench.install({ rollout: { batch: 1 }, backends: [{ name: 'virtual' }] });
    for (const host of [first, second]) {
      await bench.pass();
      await bench.obey(host);
    }
    await approve(bench, '0.2.0');
    const { id } = await bench.update();
    await bench.pass();
    await bench.obey(first, '0.2.0');
    await bench.pass();
    await bench.pass();
    const done = await bench.operation(id);
    expect(done).toMatchObject({ state: 'failed', error: expect.stringContaining('a@virtual') });
    expect(done.results).toMatchObject([
      { outcome: 'failed', message: 'it does not start' },
      { outcome: 'failed', message: expect.stringContaining('not begun') },
    ]);
  });

  it('merges configuration keys, and null returns one to its default', async ({ expect }) => {
    await using bench = await openBench();
    const host = await addHost(bench.database.db);
    await bench.install({ backends: [{ name: 'virtual', config: { crypto: 2, entropy: 2 } }] });
    await bench.pass();
    await bench.obey(host);
    const { id } = await bench.update({
      backends: [{ name: 'virtual', config: { crypto: null, entropy: 3 } }],
    });
    // Looked at before the roll-out has told the host: what it says is of the earlier configuration.
    await advanceHostOperations(bench.deps).pass(never);
    expect(await bench.operation(id)).toMatchObject({ state: 'running' });
    await bench.pass();
    const backend = await bench.database.db
      .selectFrom('backend')
      .selectAll()
      .executeTakeFirstOrThrow();
    expect(backend).toMatchObject({ config: { entropy: 3 }, generation: 2 });
    expect(await bench.operation(id)).toMatchObject({ state: 'running' });
    await bench.obey(host);
    await bench.pass();
    expect(await bench.operation(id)).toMatchObject({ state: 'succeeded' });
  });

  it('succeeds and says so when nothing newer is approved', async ({ expect }) => {
    await using bench = await openBench();
    const host = await addHost(bench.database.db);
    await bench.install();
    await bench.pass();
    await bench.obey(host);
    expect(await bench.update()).toMatchObject({
      state: 'succeeded',
      subject: { version, already_installed: true },
    });
  });

  it('refuses a stale edit and a downgrade of what is in use', async ({ expect }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    await addHost(db);
    await bench.install({ backends: [{ name: 'virtual' }] });
    await bench.pass();
    await expect(
      bench.deployments.updateDriver(admin, { params, query: {}, body: {}, ifMatch: '"x"' }),
    ).rejects.toMatchObject({ code: 'stale-edit' });
    await approve(bench, '0.0.9');
    const backend = await db.selectFrom('backend').selectAll().executeTakeFirstOrThrow();
    await addAccelerators(db, backend, { count: 1, state: 'attached' });
    await expect(bench.update({ version: '0.0.9' })).rejects.toMatchObject({ code: 'in-use' });
  });
});

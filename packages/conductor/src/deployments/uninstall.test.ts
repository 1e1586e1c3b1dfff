import { addAccelerators, addHost } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { admin, grant, manager, openBench, type Bench, type Host } from '../../test/deployments.ts';

describe('uninstall-driver (promise 6)', () => {
  it('of what is not installed says so, naming driver and host', async ({ expect }) => {
    await using bench = await openBench();
    for (const name of ['a', 'b']) await addHost(bench.database.db, { name });
    await expect(bench.uninstall()).rejects.toMatchObject({
      code: 'deployment-not-found',
      message: expect.stringContaining('Driver generic is not installed'),
    });
    await bench.install({ hosts: ['a'] });
    await expect(bench.uninstall({ host: ['a', 'b'] })).rejects.toMatchObject({
      code: 'deployment-not-found',
      message: expect.stringContaining('Driver generic is not installed on host b'),
    });
    await expect(bench.uninstall({ host: ['b'], backend: 'pci' })).rejects.toThrow(
      /Backend pci of driver generic is not installed on host b/,
    );
    expect(await bench.uninstall({ host: ['a'] })).toMatchObject({ state: 'succeeded' });
  });

  async function openUsed(
    project_id: string,
  ): Promise<Bench & { host: Host; held: { id: string } }> {
    const bench = await openBench();
    const { db } = bench.database;
    const host = await addHost(db);
    await bench.install({ backends: [{ name: 'virtual' }] });
    await bench.pass();
    await bench.obey(host);
    const backend = await db.selectFrom('backend').selectAll().executeTakeFirstOrThrow();
    await addAccelerators(db, backend, { count: 2 });
    const [held] = await addAccelerators(db, backend, {
      count: 1,
      state: 'attached',
      project_id,
      instance_id: crypto.randomUUID(),
      attachment_id: crypto.randomUUID(),
    });
    if (held === undefined) throw new Error('no accelerator');
    return { ...bench, host, held };
  }

  it('is refused with the users while something is in use, whoever uses it', async ({ expect }) => {
    await using bench = await openUsed('beta');
    await grant(bench, bench.host);
    await expect(bench.uninstall()).rejects.toMatchObject({
      code: 'in-use',
      extra: { users: [{ accelerator_id: bench.held.id, project_id: 'beta' }] },
    });
    // A foreign instance is not named to a manager.
    await expect(bench.uninstall({}, manager)).rejects.toMatchObject({
      code: 'in-use',
      extra: { users: [{ accelerator_id: bench.held.id, project_id: null, instance_id: null }] },
    });
    const rows = await bench.database.db.selectFrom('backend').select('state').execute();
    expect(rows).toEqual([{ state: 'ready' }]);
  });

  it('keeps what is attached as orphaned when an admin asks for that, and its actor is an event', async ({
    expect,
  }) => {
    await using bench = await openUsed('beta');
    const { db } = bench.database;
    const { id } = await bench.uninstall({ keep_attached: true });
    await bench.obey(bench.host);
    await bench.pass();
    expect(await bench.operation(id)).toMatchObject({ state: 'succeeded' });
    const left = await db.selectFrom('accelerator').select(['id', 'state']).execute();
    expect(left).toEqual([{ id: bench.held.id, state: 'orphaned' }]);
    const events = await db
      .selectFrom('event')
      .select(['kind', 'user_id'])
      .where('kind', 'in', ['driver.forced-uninstall', 'accelerator.orphaned'])
      .execute();
    expect(events.map(({ user_id }) => user_id)).toEqual([admin.userId, admin.userId]);

    // Wanted again: the same backend row, so what it kept finds its driver.
    await bench.install({ backends: [{ name: 'virtual' }] });
    await bench.pass();
    const backend = await db.selectFrom('backend').selectAll().executeTakeFirstOrThrow();
    expect(backend.state).toBe('pending');
  });

  it('takes everything away that nobody holds, and the operation waits for the hosts', async ({
    expect,
  }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    const host = await addHost(db);
    await bench.install();
    await bench.pass();
    await bench.obey(host);
    const backend = await db.selectFrom('backend').selectAll().executeTakeFirstOrThrow();
    await addAccelerators(db, backend, { count: 3 });
    const { id } = await bench.uninstall();
    await bench.pass();
    expect(await bench.operation(id)).toMatchObject({ state: 'running' });
    await bench.obey(host);
    await bench.pass();
    expect(await bench.operation(id)).toMatchObject({ state: 'succeeded' });
    for (const table of ['deployment', 'backend', 'device', 'accelerator'] as const) {
      expect(await db.selectFrom(table).selectAll().execute(), table).toEqual([]);
    }
    await bench.install();
    await bench.pass();
    await bench.obey(host);
    const again = await db.selectFrom('installation').select('state').execute();
    expect(again).toEqual([{ state: 'ready' }]);
  });

  it('of one host stays so: the roll-out leaves it out until it is installed there again', async ({
    expect,
  }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    const host = await addHost(db, { name: 'out' });
    await addHost(db, { name: 'in' });
    await bench.install({ backends: [{ name: 'virtual' }] });
    await bench.pass();
    await bench.uninstall({ host: ['out'] });
    await bench.obey(host);
    await bench.pass();
    const count = async (): Promise<number> =>
      (await db.selectFrom('backend').select('id').execute()).length;
    expect(await count()).toBe(1);
    await bench.install({ backends: [{ name: 'virtual', hosts: ['out'] }] });
    await bench.pass();
    expect(await count()).toBe(2);
  });

  it('and an attach at the same moment: never both', async ({ expect }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    const host = await addHost(db);
    await bench.install({ backends: [{ name: 'virtual' }] });
    await bench.pass();
    await bench.obey(host);
    const backend = await db.selectFrom('backend').selectAll().executeTakeFirstOrThrow();
    const [free] = await addAccelerators(db, backend, { count: 1 });
    const reserved = Promise.withResolvers<void>();
    const attach = db.transaction().execute(async (tx) => {
      await tx
        .updateTable('accelerator')
        .set({ state: 'reserved' })
        .where('id', '=', free?.id ?? '')
        .execute();
      reserved.resolve();
      await tx.selectNoFrom((eb) => eb.fn('pg_sleep', [eb.val(0.3)]).as('slept')).execute();
    });
    await reserved.promise;
    await expect(bench.uninstall()).rejects.toMatchObject({ code: 'in-use' });
    await attach;
  });
});

import { addAccelerators, addHost } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { admin, approve, openBench, params, version } from '../../test/deployments.ts';
import type { OperationView } from '../operations/read-operations.ts';

describe('install-driver', () => {
  it('rolls the default backends out to every host and ends when all are ready', async ({
    expect,
  }) => {
    await using bench = await openBench();
    const hosts = [await addHost(bench.database.db), await addHost(bench.database.db)];
    const { id } = await bench.install();
    await bench.pass();
    for (const host of hosts) await bench.obey(host);
    await bench.pass();
    const done = await bench.operation(id);
    expect(done).toMatchObject({ state: 'succeeded', progress: { done: 4, total: 4 } });
    const view = await bench.deployments.showDeployment(admin, {
      params,
      query: {},
      body: undefined,
    });
    expect(view).toMatchObject({
      version,
      backends: [
        { name: 'pci', hosts: null, labels: null },
        { name: 'virtual', hosts: null, labels: null },
      ],
    });
    expect(view.installations.map(({ state }) => state)).toEqual(['ready', 'ready']);
  });

  it('comes to hosts that join later, and not to disabled ones', async ({ expect }) => {
    await using bench = await openBench();
    await bench.install();
    const late = await addHost(bench.database.db);
    const off = await addHost(bench.database.db, { status: 'disabled' });
    await bench.pass();
    const rows = await bench.database.db.selectFrom('backend').select('host_id').execute();
    expect(rows.map(({ host_id }) => host_id)).toEqual([late.id, late.id]);
    expect(rows.map(({ host_id }) => host_id)).not.toContain(off.id);
  });

  it('of what is installed succeeds and says so; of another version names update-driver', async ({
    expect,
  }) => {
    await using bench = await openBench();
    const host = await addHost(bench.database.db);
    await bench.install();
    await bench.pass();
    await bench.obey(host);
    expect(await bench.install()).toMatchObject({
      state: 'succeeded',
      subject: { already_installed: true },
    });
    await approve(bench, '0.2.0');
    await expect(bench.install({ version: '0.2.0' })).rejects.toMatchObject({
      code: 'use-update-driver',
    });
  });

  it('names unknown drivers, versions, hosts and kinds with the nearest', async ({ expect }) => {
    await using bench = await openBench();
    await addHost(bench.database.db, { name: 'node-1' });
    const body = {};
    await expect(
      bench.deployments.installDriver(admin, { params: { driver_id: 'genric' }, query: {}, body }),
    ).rejects.toMatchObject({ code: 'driver-not-found', extra: { nearest: ['generic'] } });
    await expect(bench.install({ version: '9.9.9' })).rejects.toMatchObject({
      code: 'driver-version-not-found',
    });
    await expect(bench.install({ hosts: ['node-2'] })).rejects.toMatchObject({
      code: 'host-not-found',
      extra: { nearest: ['node-1'] },
    });
    await expect(bench.install({ backends: [{ name: 'x', kind: 'usb' }] })).rejects.toThrow(
      /kind is "usb"; this driver has pci, virtual, static/,
    );
  });

  it('names backend, key, value and what is allowed of a wrong configuration', async ({
    expect,
  }) => {
    await using bench = await openBench();
    const wrong = (config: Record<string, unknown>): Promise<OperationView> =>
      bench.install({ backends: [{ name: 'soft', kind: 'virtual', config }] });
    await expect(wrong({ crypto: 'many' })).rejects.toThrow(
      'backend soft: config.crypto is "many": it must be integer.',
    );
    await expect(wrong({ cripto: 1 })).rejects.toThrow(
      /config\.cripto: there is no such key; allowed: crypto, entropy/,
    );
    await expect(wrong({ crypto: 1000 })).rejects.toThrow(
      /config\.crypto is 1000: it must be <= 256/,
    );
  });

  it('refuses backends that claim one function, naming both', async ({ expect }) => {
    await using bench = await openBench();
    await addHost(bench.database.db);
    await bench.install();
    const second = (config: Record<string, unknown>): Promise<OperationView> =>
      bench.install({ backends: [{ name: 'gpus', kind: 'pci', config }] });
    await expect(second({})).rejects.toMatchObject({
      code: 'backend-overlap',
      extra: { backends: ['pci', 'gpus'] },
    });
    await expect(second({ classes: ['0302'] })).rejects.toMatchObject({ code: 'backend-overlap' });
    await expect(second({ classes: [], rules: [{ class: '0108' }] })).resolves.toBeDefined();
  });

  it('refuses rules that meet on a function the ledger knows', async ({ expect }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    const host = await addHost(db, { name: 'h' });
    await bench.install({ backends: [{ name: 'pci' }] });
    await bench.pass();
    const backend = await db.selectFrom('backend').selectAll().executeTakeFirstOrThrow();
    await addAccelerators(db, backend, { count: 1, type: 'GPU' });
    await db
      .updateTable('device')
      .set({ address: '0000:21:00.0', vendor_id: '0x10de', class: '0x030200' })
      .execute();
    await expect(
      bench.install({
        backends: [
          { name: 'n', kind: 'pci', config: { classes: [], rules: [{ vendor: '10de' }] } },
        ],
      }),
    ).rejects.toThrow(/both claim 0000:21:00.0 on host h/);
    expect(host.name).toBe('h');
  });

  it('of a dry run changes nothing and tells what it would do', async ({ expect }) => {
    await using bench = await openBench();
    const answer = await bench.deployments.installDriver(admin, {
      params,
      query: { dry_run: true },
      body: {},
    });
    expect(answer).toMatchObject({ would_succeed: true, refusal: null });
    expect(await bench.database.db.selectFrom('deployment').selectAll().execute()).toEqual([]);
  });
});

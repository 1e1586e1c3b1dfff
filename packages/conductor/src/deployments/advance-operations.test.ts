import { addHost } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { admin, manager, openBench, operationOf } from '../../test/deployments.ts';
import { makeDiscoveryHandlers } from '../discoveries/handlers.ts';

describe('operations on hosts', () => {
  it('wait while hosts are down, and fail after the configured time', async ({ expect }) => {
    await using bench = await openBench({ waitForHostSeconds: 60, hostsReturnSeconds: 0 });
    await addHost(bench.database.db, { name: 'gone', lease_expires_at: new Date(0) });
    const { id } = await bench.install({ backends: [{ name: 'virtual' }] });
    await bench.pass();
    expect(await bench.operation(id)).toMatchObject({ state: 'waiting' });
    bench.clock.jumpWallClock(60_000);
    await bench.pass();
    expect(await bench.operation(id)).toMatchObject({
      state: 'failed',
      error: expect.stringContaining('it is down'),
    });
  });

  it('of discoveries end when every backend has looked', async ({ expect }) => {
    await using bench = await openBench();
    const host = await addHost(bench.database.db, { name: 'h' });
    await bench.install();
    await bench.pass();
    await bench.obey(host);
    const { createDiscovery } = makeDiscoveryHandlers(bench.deps);
    const query = {};
    const asked = operationOf(
      await createDiscovery(admin, { params: {}, query, body: { backend: 'h@pci' } }),
    );
    await bench.pass();
    expect(await bench.operation(asked.id)).toMatchObject({ state: 'running' });
    await bench.obey(host);
    await bench.pass();
    expect(await bench.operation(asked.id)).toMatchObject({ state: 'succeeded' });
    await expect(
      createDiscovery(admin, { params: {}, query, body: { backend: 'pcie' } }),
    ).rejects.toMatchObject({ code: 'backend-not-found', extra: { nearest: ['pci'] } });
    await expect(
      createDiscovery(manager, { params: {}, query, body: { host: 'h' } }),
    ).rejects.toMatchObject({ code: 'host-not-found' });
  });
});

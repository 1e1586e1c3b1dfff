import { describe, it } from 'vitest';
import { FakeServer } from '../test/fake-server.ts';
import {
  TestHost,
  instanceOne,
  makeBackend,
  makeInstallation,
  makeOrder,
} from '../test/agent-under-test.ts';
import { deviceName } from '@cyborg/model/epoch';

describe('the agent', () => {
  it('enrols, holds the lease, runs a driver and brings its inventory', async ({ expect }) => {
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server);
    const backend = makeBackend();
    const installation = makeInstallation([backend]);
    server.installations = [installation];
    await host.start();

    await server.until('backend ready', () => server.backendState(backend.id) === 'ready');

    expect(server.inventories.get(backend.id)?.devices).toHaveLength(1);
    expect(server.installationStates(installation.id)).toContain('ready');
    expect(server.violations).toEqual([]);
  });

  it('attaches, detaches and cleans', async ({ expect }) => {
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server);
    const backend = makeBackend();
    server.installations = [makeInstallation([backend])];
    await host.start();

    const attach = makeOrder('attach', { backend_id: backend.id });
    server.order(attach);
    await server.until('attached', () => server.outcomesOf(attach).includes('attached'));
    const name = deviceName(attach.attachment_id ?? '', attach.device_epoch);
    expect(await host.devices(instanceOne)).toEqual([name]);

    const detach = { ...attach, kind: 'detach' as const, epoch: 2 };
    server.order(detach);
    await server.until('released', () => server.outcomesOf(detach).includes('released'));
    expect(await host.devices(instanceOne)).toEqual([]);

    const clean = makeOrder('clean', {
      ...attach,
      kind: 'clean',
      attachment_id: null,
      instance_id: null,
      epoch: 3,
    });
    server.order(clean);
    await server.until('cleaned', () => server.outcomesOf(clean).includes('cleaned'));
    expect(server.outcomes.findLast(({ kind }) => kind === 'clean')?.evidence).toEqual(['wiped']);
    expect(server.violations).toEqual([]);
  });
});

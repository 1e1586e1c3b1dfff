import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'vitest';
import type { Order } from '@cyborg/api-spec/agent';
import { deviceName } from '@cyborg/model/epoch';
import { systemClock } from '@cyborg/service/clock';
import { FakeServer } from '../../test/fake-server.ts';
import {
  TestHost,
  hostName,
  instanceTwo,
  makeBackend,
  makeInstallation,
  makeOrder,
} from '../../test/agent-under-test.ts';
import type { Hypervisor } from '../hypervisors/hypervisor.ts';
import { openSimulatedHypervisor } from '../hypervisors/simulated/simulated.ts';

/** It says nothing of itself: what was seen at the start is what is known until somebody looks again. */
async function openQuietHypervisor(directory: string): Promise<Hypervisor> {
  const seedInstances = [{ name: 'one' }, { name: 'two' }];
  const inner = await openSimulatedHypervisor({
    directory,
    clock: systemClock,
    hostName,
    seedInstances,
  });
  return {
    kind: inner.kind,
    plugs: inner.plugs,
    list: async (signal) => await inner.list(signal),
    plug: async (order, signal) => await inner.plug(order, signal),
    unplug: async (order, signal) => await inner.unplug(order, signal),
    watch: () => ({ [Symbol.dispose]: () => undefined }),
    [Symbol.asyncDispose]: async () => await inner[Symbol.asyncDispose](),
  };
}

/** An agent that has seen a device of the attachment in another instance than the order's. */
async function startBeside(
  server: FakeServer,
  host: TestHost,
): Promise<{ readonly order: Order; readonly device: string }> {
  const backend = makeBackend();
  const order = makeOrder('attach', { backend_id: backend.id, epoch: 5, device_epoch: 5 });
  const name = deviceName(order.attachment_id ?? '', 3);
  const folder = join(host.hypervisorFolder, 'devices', instanceTwo);
  await mkdir(folder, { recursive: true });
  const plan = { kind: 'virtio-rng', source: '/dev/urandom' };
  await writeFile(join(folder, name), JSON.stringify({ name, plan }));
  server.installations = [makeInstallation([backend])];
  const hypervisor = await openQuietHypervisor(host.hypervisorFolder);
  await host.start({ hypervisor, instanceIntervalMs: 3_600_000 });
  await server.until('ready', () => server.backendState(backend.id) === 'ready');
  await server.until('seen', () => server.reports.some(({ unclaimed }) => unclaimed?.length === 1));
  return { order, device: join(folder, name) };
}

describe('an attach beside another device of its attachment', () => {
  it('fails, naming it', async ({ expect }) => {
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server);
    const { order } = await startBeside(server, host);
    server.order(order);
    await server.until('failed', () => server.outcomesOf(order).includes('failed'));
    const messages = server.reports.flatMap(({ outcomes }) => outcomes.map((one) => one.message));
    expect(messages).toContainEqual(
      expect.stringContaining(
        `Instance ${instanceTwo} still has ${deviceName(order.attachment_id ?? '', 3)}`,
      ),
    );
  });

  it('succeeds when that has gone since the last look', async ({ expect }) => {
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server);
    const { order, device } = await startBeside(server, host);
    await rm(device);
    server.order(order);
    await server.until('done', () => server.outcomesOf(order).length > 0);
    expect(server.outcomesOf(order)).toEqual(['attached']);
  });
});

import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'vitest';
import type { Order } from '@cyborg/api-spec/agent/desired';
import { deviceName } from '@cyborg/model/epoch';
import { systemClock } from '@cyborg/service/clock';
import { FakeServer } from '../../test/fake-server.ts';
import {
  TestHost,
  hostName,
  instanceOne,
  instanceTwo,
  makeBackend,
  makeInstallation,
  makeOrder,
} from '../../test/agent-under-test.ts';
import type { Hypervisor } from '../hypervisors/hypervisor.ts';
import { openSimulatedHypervisor } from '../hypervisors/simulated/simulated.ts';

/** It says nothing of itself: what was seen at the start is what is known until somebody looks again. */
async function openQuietHypervisor(
  directory: string,
  functionsOf: (instance: string) => readonly string[] = () => [],
): Promise<Hypervisor> {
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
    list: async (signal) => {
      const listing = await inner.list(signal);
      const instances = listing.instances.map((instance) => ({
        ...instance,
        functions: functionsOf(instance.id),
      }));
      return { ...listing, instances };
    },
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

describe('an attach of a function that another instance has', () => {
  /** An agent that saw at its start that the other instance has these functions. */
  async function start(server: FakeServer, host: TestHost, functions: readonly string[]) {
    const backend = makeBackend({ config: { mode: 'pci' } });
    server.installations = [makeInstallation([backend])];
    const seen = { functions };
    const hypervisor = await openQuietHypervisor(host.hypervisorFolder, (instance) =>
      instance === instanceTwo ? seen.functions : [],
    );
    await host.start({ hypervisor, instanceIntervalMs: 3_600_000 });
    await server.until('ready', () => server.backendState(backend.id) === 'ready');
    await server.until('seen', () => server.reports.some(({ listings }) => listings.length > 0));
    return { order: makeOrder('attach', { backend_id: backend.id }), seen };
  }

  it('fails, naming it, and plugs nothing', async ({ expect }) => {
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server);
    const { order } = await start(server, host, ['0000:41:00.0']);
    server.order(order);
    await server.until('done', () => server.outcomesOf(order).length > 0);
    expect(server.outcomes.at(-1)).toMatchObject({
      outcome: 'failed',
      message: `Instance ${instanceTwo} has the function 0000:41:00.0: take it away from that one first.`,
    });
    expect(await host.devices(instanceOne)).toEqual([]);
  });

  it.for([
    ['that one has given it back since the last look', '0000:41:00.0'],
    ['that one has another function', '0000:42:00.0'],
  ] as const)('succeeds when %s', async ([, address], { expect }) => {
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server);
    const { order, seen } = await start(server, host, [address]);
    if (address === '0000:41:00.0') seen.functions = [];
    server.order(order);
    await server.until('done', () => server.outcomesOf(order).length > 0);
    expect(server.outcomesOf(order)).toEqual(['attached']);
    expect(await host.devices(instanceOne)).toHaveLength(1);
  });
});

describe('an attach to an instance that is not there', () => {
  it('is tried again when the instance had the device before: it is being restarted', async ({
    expect,
  }) => {
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server);
    const backend = makeBackend();
    server.installations = [makeInstallation([backend])];
    await host.start();
    await server.until('ready', () => server.backendState(backend.id) === 'ready');
    const file = join(host.hypervisorFolder, 'instances', `${instanceOne}.json`);
    const away = join(host.folder, 'away.json');
    await rename(file, away);
    const first = makeOrder('attach', { backend_id: backend.id });
    server.order(first);
    await server.until('failed', () => server.outcomesOf(first).includes('failed'));
    expect(server.outcomesOf(first)).toEqual(['failed']);
    const again = makeOrder('attach', { backend_id: backend.id, was_attached: true });
    server.order(again);
    await server.until('retrying', () => server.outcomesOf(again).length > 0);
    expect(server.outcomes.at(-1)).toMatchObject({
      outcome: 'retrying',
      message: `There is no instance ${instanceOne} on this host.`,
    });
    await rename(away, file);
    await server.until('attached', () => server.outcomesOf(again).includes('attached'));
    expect(server.outcomesOf(again)).not.toContain('failed');
  });
});

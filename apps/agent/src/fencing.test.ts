import { randomUUID } from 'node:crypto';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'vitest';
import { deviceName, firstEpoch } from '@cyborg/model/epoch';
import { systemClock, type Clock } from '@cyborg/service/clock';
import { FakeServer, problem } from '../test/fake-server.ts';
import {
  TestHost,
  instanceOne,
  instanceTwo,
  makeBackend,
  makeInstallation,
  makeOrder,
} from '../test/agent-under-test.ts';
import { lockHost } from './state/host-lock.ts';

async function startReady(server: FakeServer, host: TestHost): Promise<string> {
  const backend = makeBackend({ config: { count: 64 } });
  server.installations = [makeInstallation([backend])];
  await host.start();
  await server.until('ready', () => server.backendState(backend.id) === 'ready');
  return backend.id;
}

/** Changes the ledger of the server, and waits until the agent has noticed: it asks for its lease again at once. */
async function changeLedger(server: FakeServer, ledger: FakeServer['ledger']): Promise<void> {
  const leases = (): number => server.requests.filter((name) => name.endsWith('/lease')).length;
  const before = leases();
  server.ledger = ledger;
  server.changed();
  await server.until('noticed', () => leases() > before);
}

describe('fencing', () => {
  it('refuses an order with an epoch below the highest seen, also after a restart', async ({
    expect,
  }) => {
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server);
    const backend_id = await startReady(server, host);
    const late = makeOrder('attach', { backend_id, epoch: 5 });
    const clean = makeOrder('clean', {
      ...late,
      kind: 'clean',
      attachment_id: null,
      instance_id: null,
      epoch: 7,
    });
    server.order(clean);
    await server.until('cleaned', () => server.outcomesOf(clean).includes('cleaned'));
    server.order(late);
    await server.until('refused', () => server.outcomesOf(late).includes('refused'));

    const later = { ...late, attachment_id: randomUUID() };
    await using again = await TestHost.make(server);
    await rename(join(host.folder, 'fence.log'), join(again.folder, 'fence.log'));
    server.leaseHolder = undefined;
    await again.start();
    server.order(later);
    await server.until('refused', () => server.outcomesOf(later).includes('refused'));
    expect(await again.devices(instanceOne)).toEqual([]);
    expect(server.violations).toEqual([]);
  });

  it('unplugs without its driver what a forced uninstall has left, also when that comes later', async ({
    expect,
  }) => {
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server);
    const backend_id = await startReady(server, host);
    const attach = makeOrder('attach', { backend_id });
    server.order(attach);
    await server.until('attached', () => server.outcomesOf(attach).includes('attached'));
    server.withdraw(attach);
    // Its row is another one now: this host knows no such backend.
    const gone = { ...attach, kind: 'detach' as const, epoch: attach.epoch + 1 };
    const detach = { ...gone, backend_id: randomUUID() };
    server.order(detach);
    await server.until('retrying', () => server.outcomesOf(detach).includes('retrying'));
    server.order({ ...detach, driver_gone: true });
    await server.until('released', () => server.outcomesOf(detach).includes('released'));
    expect(await host.devices(instanceOne)).toEqual([]);
    expect(server.violations).toEqual([]);
  });

  it('reads the highest epoch from the held list and from the names in the hypervisor', async ({
    expect,
  }) => {
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server);
    const backend_id = await startReady(server, host);
    const attach = makeOrder('attach', { backend_id, epoch: 9 });
    server.order(attach);
    await server.until('attached', () => server.outcomesOf(attach).includes('attached'));

    await using again = await TestHost.make(server); // an empty state directory
    await rename(host.hypervisorFolder, again.hypervisorFolder);
    server.leaseHolder = undefined;
    await again.start();
    await server.until('held', () => server.requests.includes('GET /agent/v1/held'));
    const late = { ...attach, epoch: 8, device_epoch: 8 };
    server.order(late);
    await server.until('refused', () => server.outcomesOf(late).includes('refused'));
    const name = deviceName(attach.attachment_id ?? '', 9);
    expect(await again.devices(instanceOne)).toEqual([name]);
  });

  it('plugs nothing that an instance has by an attachment which the ledger has lost', async ({
    expect,
  }) => {
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server);
    const backend_id = await startReady(server, host);
    const attach = makeOrder('attach', { backend_id });
    server.order(attach);
    await server.until('attached', () => server.outcomesOf(attach).includes('attached'));
    const before = await host.devices(instanceOne);
    server.withdraw(attach);
    const epoch = attach.epoch + 1;
    const second = { ...attach, attachment_id: randomUUID(), instance_id: instanceTwo };
    const again = { ...second, epoch, device_epoch: epoch };
    server.order(again);
    await server.until('failed', () => server.outcomesOf(again).includes('failed'));
    expect(await host.devices(instanceOne)).toEqual(before);
    expect(await host.devices(instanceTwo)).toEqual([]);
  });

  it('takes no orders from another ledger, and goes on when its own is back', async ({
    expect,
  }) => {
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server);
    const backend_id = await startReady(server, host);
    const own = server.ledger;
    const foreign = makeOrder('attach', { backend_id });
    server.orders.set('foreign', foreign);
    await changeLedger(server, { id: randomUUID(), incarnation: 1 });
    expect(await host.devices(instanceOne)).toEqual([]);
    expect(server.outcomesOf(foreign)).toEqual([]);

    server.orders.clear();
    server.ledger = own;
    const order = makeOrder('attach', { backend_id });
    server.order(order);
    await server.until('attached', () => server.outcomesOf(order).includes('attached'));
    expect(await host.devices(instanceOne)).toHaveLength(1);
  });

  it('takes no orders from an older incarnation, and those of a newer one after writing it down', async ({
    expect,
  }) => {
    await using server = await FakeServer.start();
    server.ledger = { id: randomUUID(), incarnation: 3 };
    await using host = await TestHost.make(server);
    const backend_id = await startReady(server, host);
    const old = makeOrder('attach', { backend_id, epoch: firstEpoch(2) + 1 });
    server.orders.set('old', old);
    await changeLedger(server, { ...server.ledger, incarnation: 2 });
    expect(await host.devices(instanceOne)).toEqual([]);
    server.orders.clear();

    server.ledger = { ...server.ledger, incarnation: 4 };
    const reportsBefore = server.reports.length;
    const order = makeOrder('attach', { backend_id, epoch: firstEpoch(4) + 1 });
    server.order(order);
    await server.until('attached', () => server.outcomesOf(order).includes('attached'));
    // The new incarnation is told everything again.
    await server.until('told again', () =>
      server.reports.slice(reportsBefore).some(({ backends }) => backends.length > 0),
    );
    expect(server.reports.at(-1)?.ledger.incarnation).toBe(4);
  });

  it('starts nothing new when its lease has run out by its own clock', async ({ expect }) => {
    await using server = await FakeServer.start();
    server.leaseSeconds = 2;
    await using host = await TestHost.make(server);
    const backend_id = await startReady(server, host);
    let isCutOff = true;
    server.intercept = (name) => (isCutOff && name.endsWith('/lease') ? 'drop' : undefined);
    const leases = server.leases.length;
    await systemClock.sleep(2_100); // the lease itself: nothing else tells that it has run out
    const order = makeOrder('attach', { backend_id });
    server.order(order);
    await server.until('tries to renew', () => {
      return server.requests.slice(-4).some((name) => name.endsWith('/lease'));
    });
    expect(server.leases.length).toBe(leases);
    expect(await host.devices(instanceOne)).toEqual([]);
    isCutOff = false;
    await server.until('attached', () => server.outcomesOf(order).includes('attached'));
  });

  it('is not moved by a wall clock that jumps', async ({ expect }) => {
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server);
    let jumpMs = 0;
    const clock: Clock = { ...systemClock, now: () => new Date(Date.now() + jumpMs) };
    const backend = makeBackend();
    server.installations = [makeInstallation([backend])];
    await host.start({ clock });
    await server.until('ready', () => server.backendState(backend.id) === 'ready');
    for (const days of [365, -3650]) {
      jumpMs = days * 86_400_000;
      const order = makeOrder('attach', { backend_id: backend.id });
      server.order(order);
      await server.until('attached', () => server.outcomesOf(order).includes('attached'));
    }
    expect(server.outcomes.some(({ outcome }) => outcome === 'released')).toBe(false);
  });

  it('refuses a second agent on the same state directory, naming the first', async ({ expect }) => {
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server);
    await using _lock = await lockHost(host.folder, 4711);
    await expect(lockHost(host.folder, 1)).rejects.toThrow(/process 4711.*--state-dir/);
  });

  it('waits while another agent holds the lease of its host, and then takes over', async ({
    expect,
  }) => {
    await using server = await FakeServer.start();
    server.leaseHolder = randomUUID();
    await using host = await TestHost.make(server);
    const backend = makeBackend();
    server.installations = [makeInstallation([backend])];
    await host.start();
    const tries = (): number => server.requests.filter((name) => name.endsWith('/lease')).length;
    await server.until('tries again', () => tries() >= 2);
    expect(server.requests.some((name) => name.includes('desired'))).toBe(false);
    server.leaseHolder = undefined;
    await server.until('ready', () => server.backendState(backend.id) === 'ready');
  });
});

describe('what nobody ordered', () => {
  it('is left alone beside an empty ledger, reported, and unplugged only when ordered', async ({
    expect,
  }) => {
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server);
    const names = [deviceName(randomUUID(), 3), deviceName(randomUUID(), 4)];
    const folder = join(host.hypervisorFolder, 'devices', instanceOne);
    await mkdir(folder, { recursive: true });
    const plan = { kind: 'virtio-rng', source: '/dev/urandom' };
    for (const name of names) await writeFile(join(folder, name), JSON.stringify({ name, plan }));
    const backend_id = await startReady(server, host);
    const unclaimed = (): number =>
      server.reports.findLast((report) => report.unclaimed !== null)?.unclaimed?.length ?? -1;
    await server.until('reported', () => unclaimed() === 2);
    expect((await host.devices(instanceOne)).toSorted()).toEqual(names.toSorted());

    // Nobody knows which accelerator they are: none is cleaned.
    const clean = makeOrder('clean', { backend_id });
    server.order(clean);
    await server.until('held', () => server.outcomesOf(clean).includes('held'));
    expect(server.outcomesOf(clean)).not.toContain('cleaned');

    server.releaseUnclaimed = [
      { id: randomUUID(), instance_id: instanceOne, device_name: names[0] ?? '' },
    ];
    server.changed();
    await server.until('one left', () => unclaimed() === 1);
    expect(await host.devices(instanceOne)).toEqual([names[1]]);
  });

  it('is reported without waiting for the next look at the hypervisor', async ({ expect }) => {
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server);
    const name = deviceName(randomUUID(), 3);
    const folder = join(host.hypervisorFolder, 'devices', instanceOne);
    await mkdir(folder, { recursive: true });
    const plan = { kind: 'virtio-rng', source: '/dev/urandom' };
    await writeFile(join(folder, name), JSON.stringify({ name, plan }));
    await host.start({ instanceIntervalMs: 3_600_000 });
    const found = () => server.reports.find(({ unclaimed }) => unclaimed?.length === 1)?.unclaimed;
    await server.until('reported', () => found() !== undefined);
    const unknown = { accelerator_id: null, address: null, reason: null };
    expect(found()).toEqual([{ instance_id: instanceOne, device_name: name, ...unknown }]);
  });

  it('does not change when the hypervisor is lost, and nothing is said about instances', async ({
    expect,
  }) => {
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server);
    const backend_id = await startReady(server, host);
    const order = makeOrder('attach', { backend_id });
    server.order(order);
    await server.until('attached', () => server.outcomesOf(order).includes('attached'));
    await server.until('observed', () =>
      server.reports.some(({ observations }) => observations.length > 0),
    );

    await rename(host.hypervisorFolder, `${host.hypervisorFolder}-away`);
    await server.until('unhealthy', () => {
      const last = server.leases.at(-1)?.['hypervisors'];
      return JSON.stringify(last).includes('"healthy":false');
    });
    const listings = server.reports.flatMap((report) => report.listings).length;
    const clean = makeOrder('clean', { backend_id });
    server.order(clean);
    await server.until('held', () => server.outcomesOf(clean).includes('held'));
    expect(server.reports.flatMap((report) => report.listings)).toHaveLength(listings);

    await rename(`${host.hypervisorFolder}-away`, host.hypervisorFolder);
    await server.until('cleaned', () => server.outcomesOf(clean).includes('cleaned'));
    expect(await host.devices(instanceOne)).toHaveLength(1);
  });

  it('says when a guest has lost its device', async ({ expect }) => {
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server);
    const backend_id = await startReady(server, host);
    const order = makeOrder('attach', { backend_id });
    server.order(order);
    await server.until('attached', () => server.outcomesOf(order).includes('attached'));
    const [name] = await host.devices(instanceOne);
    await rm(join(host.hypervisorFolder, 'devices', instanceOne, name ?? ''));
    const seen = (): string | undefined =>
      server.reports.flatMap(({ observations }) => observations).at(-1)?.observed;
    await server.until('missing', () => seen() === 'missing');
    server.order(order); // plugged again: the same order, the same epoch
    await server.until('attached again', () => server.outcomesOf(order).length >= 2);
    expect(await host.devices(instanceOne)).toEqual([name]);
  });
});

describe('orders that meet trouble', () => {
  it('fail an attach at once where trying again cannot help', async ({ expect }) => {
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server);
    const backend = makeBackend({ config: { mode: 'refuse-prepare' } });
    const good = makeBackend({ name: 'good' });
    server.installations = [makeInstallation([backend, good])];
    await host.start();
    await server.until('ready', () => server.backendState(good.id) === 'ready');
    const refusedByDriver = makeOrder('attach', { backend_id: backend.id });
    const nobody = makeOrder('attach', { backend_id: good.id, instance_id: randomUUID() });
    server.order(refusedByDriver);
    server.order(nobody);
    await server.until('failed', () => server.outcomesOf(nobody).includes('failed'));
    await server.until('failed', () => server.outcomesOf(refusedByDriver).includes('failed'));
    const messages = server.outcomes.map(({ message }) => message).join(' ');
    expect(messages).toContain('this card cannot');
    expect(messages).toContain('There is no instance');
  });

  it('try an attach again until its time is over, then say why it failed', async ({ expect }) => {
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server);
    const backend = makeBackend({ config: { mode: 'transient-prepare' } });
    server.installations = [makeInstallation([backend])];
    await host.start({ attachDeadlineMs: 4_000 });
    await server.until('ready', () => server.backendState(backend.id) === 'ready');
    const order = makeOrder('attach', { backend_id: backend.id });
    server.order(order);
    await server.until('failed', () => server.outcomesOf(order).includes('failed'));
    expect(server.outcomes.at(-1)?.message).toContain('the last reason: not just now');
  });

  it('never give up a detach, and end it when the guest lets go', async ({ expect }) => {
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server);
    const backend_id = await startReady(server, host);
    const attach = makeOrder('attach', { backend_id, instance_id: instanceTwo });
    server.order(attach);
    await server.until('attached', () => server.outcomesOf(attach).includes('attached'));
    const fault = join(host.hypervisorFolder, 'faults', 'guest-refuses');
    await writeFile(fault, '10');
    const detach = { ...attach, kind: 'detach' as const, epoch: 2 };
    server.order(detach);
    await server.until('retrying', () => server.outcomesOf(detach).includes('retrying'));
    expect(server.outcomes.at(-1)?.message).toContain('did not let go');
    await rm(fault);
    await server.until('released', () => server.outcomesOf(detach).includes('released'));
    expect(await host.devices(instanceTwo)).toEqual([]);
  });

  it('give up an order that is withdrawn, and one that a later one replaces', async ({
    expect,
  }) => {
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server);
    const backend = makeBackend({ config: { mode: 'transient-prepare' } });
    server.installations = [makeInstallation([backend])];
    await host.start();
    const attach = makeOrder('attach', { backend_id: backend.id });
    server.order(attach);
    await server.until('trying', () => server.outcomesOf(attach).includes('retrying'));
    server.withdraw(attach);
    const detach = { ...attach, kind: 'detach' as const, epoch: 2 };
    server.order(detach);
    await server.until('released', () => server.outcomesOf(detach).includes('released'));
    expect(server.outcomesOf(attach)).not.toContain('failed');
  });

  it('are done once more only when the server asks for them after it took the outcome', async ({
    expect,
  }) => {
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server);
    const backend_id = await startReady(server, host);
    let isRefusing = true;
    server.intercept = (name) =>
      isRefusing && name.endsWith('/reports')
        ? problem(503, 'unavailable', { 'retry-after': '1' })
        : undefined;
    const order = makeOrder('attach', { backend_id });
    server.order(order);
    const tried = (): number => server.requests.filter((name) => name.endsWith('/reports')).length;
    await server.until('reported', () => tried() >= 2);
    isRefusing = false;
    await server.until('attached', () => server.outcomesOf(order).includes('attached'));
    expect(server.outcomesOf(order).filter((outcome) => outcome === 'attached')).toHaveLength(1);
    expect(await host.devices(instanceOne)).toHaveLength(1);
  });
});

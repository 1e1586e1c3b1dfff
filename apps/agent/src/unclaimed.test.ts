/** What a guest has and the ledger does not know of: which accelerator it is, and what becomes of it on order. */
import { randomUUID } from 'node:crypto';
import { copyFile, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Order } from '@cyborg/api-spec/agent/desired';
import type { UnclaimedReport } from '@cyborg/api-spec/agent/report';
import { deviceName } from '@cyborg/model/epoch';
import { describe, it } from 'vitest';
import {
  TestHost,
  instanceOne,
  instanceTwo,
  makeBackend,
  makeInstallation,
  makeOrder,
} from '../test/agent-under-test.ts';
import { FakeServer } from '../test/fake-server.ts';

interface Scene {
  readonly host: TestHost;
  /** Carried out: the first instance has its device. */
  readonly attach: Order;
  readonly device: string;
}

/** An instance that has a device, as the ledger knows it, by a driver whose evidence of a cleaning is what it released. */
async function attachOne(server: FakeServer, host: TestHost): Promise<Scene> {
  const backend = makeBackend({ config: { mode: 'tell-releases' } });
  server.installations = [makeInstallation([backend])];
  await host.start();
  await server.until('ready', () => server.backendState(backend.id) === 'ready');
  const attach = makeOrder('attach', { backend_id: backend.id, epoch: 5 });
  server.order(attach);
  await server.until('attached', () => server.outcomesOf(attach).includes('attached'));
  return { host, attach, device: deviceName(attach.attachment_id ?? '', 5) };
}

/** The ledger is an older copy, in a new incarnation: it has never heard of what is attached. */
function restoreOlderLedger(server: FakeServer): void {
  server.held.clear();
  server.ledger = { ...server.ledger, incarnation: server.ledger.incarnation + 1 };
  server.changed();
}

function unclaimed(server: FakeServer): UnclaimedReport[] | undefined {
  return server.reports.findLast((report) => report.unclaimed !== null)?.unclaimed ?? undefined;
}

function orderRelease(server: FakeServer, instance_id: string, device_name: string): void {
  server.releaseUnclaimed = [{ id: randomUUID(), instance_id, device_name }];
  server.changed();
}

describe('a device that the ledger does not know', () => {
  it('is told with its accelerator, which is released and cleaned when it has left the guest', async ({
    expect,
  }) => {
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server);
    const { attach, device } = await attachOne(server, host);
    restoreOlderLedger(server);
    await server.until('reported', () => unclaimed(server)?.length === 1);
    expect(unclaimed(server)).toEqual([
      {
        instance_id: instanceOne,
        device_name: device,
        accelerator_id: attach.accelerator_id,
        address: null,
        reason: null,
      },
    ]);

    // Given to another instance before that was reported: refused, and taken back without touching what is in use.
    const given = { ...attach, attachment_id: randomUUID(), instance_id: instanceTwo };
    const second = { ...given, epoch: 6, device_epoch: 6 };
    server.order(second);
    await server.until('failed', () => server.outcomesOf(second).includes('failed'));
    server.withdraw(second);
    const back: Order = { ...second, kind: 'detach', epoch: 7 };
    server.order(back);
    await server.until('released', () => server.outcomesOf(back).includes('released'));
    const free = { kind: 'clean', attachment_id: null, instance_id: null } as const;
    const clean: Order = { ...back, ...free };
    server.order(clean);
    await server.until('held', () => server.outcomesOf(clean).includes('held'));
    expect(await host.devices(instanceOne)).toEqual([device]);

    orderRelease(server, instanceOne, device);
    await server.until('cleaned', () => server.outcomesOf(clean).includes('cleaned'));
    expect(await host.devices(instanceOne)).toEqual([]);
    const { evidence } = server.outcomes.find(({ outcome }) => outcome === 'cleaned') ?? {};
    // Nothing was handed over for the second; for the first it was.
    expect(evidence).toEqual(['wiped', attach.attachment_id, second.attachment_id]);
    expect(server.violations).toEqual([]);
  });

  it('is cleaned after a detach with one call of release', async ({ expect }) => {
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server);
    const { attach } = await attachOne(server, host);
    const detach: Order = { ...attach, kind: 'detach', epoch: 6 };
    server.order(detach);
    await server.until('released', () => server.outcomesOf(detach).includes('released'));
    const clean: Order = { ...detach, kind: 'clean', attachment_id: null, instance_id: null };
    server.order(clean);
    await server.until('cleaned', () => server.outcomesOf(clean).includes('cleaned'));
    const { evidence } = server.outcomes.find(({ outcome }) => outcome === 'cleaned') ?? {};
    expect(evidence).toEqual(['wiped', attach.attachment_id]);
  });

  it('may be the copy of one that it knows: a cloned guest lets go of it, the first keeps it', async ({
    expect,
  }) => {
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server);
    const { attach, device } = await attachOne(server, host);
    const folder = (instance: string): string => join(host.hypervisorFolder, 'devices', instance);
    await mkdir(folder(instanceTwo), { recursive: true });
    await copyFile(join(folder(instanceOne), device), join(folder(instanceTwo), device));
    await server.until('reported', () => unclaimed(server)?.length === 1);
    expect(unclaimed(server)).toMatchObject([
      { instance_id: instanceTwo, accelerator_id: attach.accelerator_id },
    ]);
    // The ledger's own is not unplugged as unclaimed, whatever was ordered.
    server.releaseUnclaimed = [instanceOne, instanceTwo].map((instance_id) => ({
      id: randomUUID(),
      instance_id,
      device_name: device,
    }));
    server.changed();
    await server.until('none left', () => unclaimed(server)?.length === 0);
    expect(await host.devices(instanceTwo)).toEqual([]);
    expect(await host.devices(instanceOne)).toEqual([device]);
  });

  it('keeps no other one from being cleaned any more as soon as it is adopted', async ({
    expect,
  }) => {
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server);
    const { attach, device } = await attachOne(server, host);
    const known = server.held.get(attach.attachment_id ?? '');
    if (known === undefined) throw new Error('the ledger must have it');
    const attachment_id = randomUUID();
    const stranger = deviceName(attachment_id, 1);
    const folder = (instance: string): string => join(host.hypervisorFolder, 'devices', instance);
    await mkdir(folder(instanceTwo), { recursive: true });
    await copyFile(join(folder(instanceOne), device), join(folder(instanceTwo), stranger));
    await server.until('reported', () => unclaimed(server)?.length === 1);
    expect(unclaimed(server)).toMatchObject([{ device_name: stranger, accelerator_id: null }]);
    const detach: Order = { ...attach, kind: 'detach', epoch: 6 };
    server.order(detach);
    await server.until('released', () => server.outcomesOf(detach).includes('released'));
    const clean: Order = { ...detach, kind: 'clean', attachment_id: null, instance_id: null };
    server.order(clean);
    await server.until('held', () => server.outcomesOf(clean).includes('held'));

    // The ledger has it from now on, and nobody says so to the host.
    const where = { instance_id: instanceTwo, accelerator_id: randomUUID() };
    server.held.set(attachment_id, {
      ...known,
      ...where,
      attachment_id,
      epoch: 1,
      device_epoch: 1,
    });
    await server.until('cleaned', () => server.outcomesOf(clean).includes('cleaned'));
    expect(await host.devices(instanceTwo)).toEqual([stranger]);
  });

  it('says what keeps it from being released, and is released when that has gone', async ({
    expect,
  }) => {
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server);
    const { device } = await attachOne(server, host);
    restoreOlderLedger(server);
    await server.until('reported', () => unclaimed(server)?.length === 1);
    const fault = join(host.hypervisorFolder, 'faults', 'guest-refuses');
    await writeFile(fault, '');
    orderRelease(server, instanceOne, device);
    await server.until('told why', () => (unclaimed(server)?.[0]?.reason ?? null) !== null);
    expect(unclaimed(server)?.[0]?.reason).toContain('did not let go');
    await rm(fault);
    await server.until('none left', () => unclaimed(server)?.length === 0);
    expect(await host.devices(instanceOne)).toEqual([]);
  });
});

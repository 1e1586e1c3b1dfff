import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it, vi } from 'vitest';
import type { Hypervisor } from '@cyborg/agent/hypervisors/hypervisor';
import { openQemuHypervisor } from '@cyborg/agent/hypervisors/qemu/qemu';
import { QmpConnection } from '@cyborg/agent/hypervisors/qemu/qmp';
import type { AttachPlan } from '@cyborg/driver-sdk/protocol';
import { systemClock } from '@cyborg/service/clock';
import { guardGuests } from './guest-guard.ts';
import { Guest } from './guest.ts';

const problem = guardGuests();
const never = new AbortController().signal;
const uuid = randomUUID();
const random: AttachPlan = { kind: 'virtio-rng', source: '/dev/urandom' };
const crypto: AttachPlan = { kind: 'virtio-crypto', queues: 1 };
const order = { instanceId: uuid, deviceName: 'ua-cyborg-11111111-1', plan: random };
const second = { instanceId: uuid, deviceName: 'ua-cyborg-22222222-1', plan: crypto };

const noAcpiPorts = 'ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off';

let directory: string;
let hypervisor: Hypervisor;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'cyborg-guest-'));
  hypervisor = await openQemuHypervisor({ directory, clock: systemClock, unplugMsMax: 20_000 });
});
afterEach(async () => {
  await hypervisor[Symbol.asyncDispose]();
  await rm(directory, { recursive: true, force: true });
});

function boot(...more: string[]): Guest {
  return new Guest({ name: 'web', qmpDirectory: directory, uuid, project: 'p1', more });
}

async function booted(...more: string[]): Promise<Guest> {
  const guest = boot(...more);
  try {
    await guest.says(/^CYBORG-GUEST READY/);
    return guest;
  } catch (error) {
    await guest.kill();
    throw error;
  }
}

async function ask(command: string, args = {}): Promise<void> {
  using qmp = await QmpConnection.open({ path: join(directory, 'web.sock'), clock: systemClock });
  await qmp.execute(command, args);
}

const child = `
  import { openQemuHypervisor } from '@cyborg/agent/hypervisors/qemu/qemu';
  import { systemClock } from '@cyborg/service/clock';
  const [directory, act, order] = process.argv.slice(1);
  const hypervisor = await openQemuHypervisor({ directory, clock: systemClock });
  console.log('begin');
  await hypervisor[act](JSON.parse(order), new AbortController().signal);`;

/** Another process begins the act and is killed a moment later. */
async function killWhile(
  act: 'plug' | 'unplug',
  what: typeof order,
  afterMs: number,
): Promise<void> {
  const args = ['--input-type=module', '-e', child, directory, act, JSON.stringify(what)];
  const agent = spawn(process.execPath, args, {
    cwd: import.meta.dirname,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const ended = once(agent, 'exit');
  await once(agent.stdout, 'data');
  await systemClock.sleep(afterMs);
  agent.kill('SIGKILL');
  await ended;
}

async function deviceNames(): Promise<string[]> {
  const { instances } = await hypervisor.list(never);
  return (instances[0]?.devices ?? []).map(({ name }) => name).toSorted();
}

describe.skipIf(problem !== null)('a real guest', () => {
  it('gets and gives back devices while it runs, and says so', async ({ expect }) => {
    await using guest = await booted();
    expect((await hypervisor.list(never)).instances).toMatchObject([
      { id: uuid, name: 'web', projectId: 'p1', state: 'ACTIVE', devices: [] },
    ]);
    const plugMs = performance.now();
    await hypervisor.plug(order, never);
    await guest.says(/^CYBORG-PCI\+ 0000:[0-9a-f:.]+ 1af4:1044 virtio-pci$/);
    await guest.says(/^CYBORG-HWRNG ok virtio_rng\.\d+ 16 bytes$/);
    console.log(`plugged and used after ${Math.round(performance.now() - plugMs)} ms`);
    await hypervisor.plug(second, never);
    await guest.says(/^CYBORG-PCI\+ 0000:[0-9a-f:.]+ 1af4:1054 virtio-pci$/);
    await guest.says(/^CYBORG-CRYPTO ok virtio\d+ virtio\S* passed$/);
    await hypervisor.plug(order, never);
    expect(await deviceNames()).toEqual([order.deviceName, second.deviceName]);

    const unplugMs = performance.now();
    await hypervisor.unplug(order, never);
    console.log(`unplugged after ${Math.round(performance.now() - unplugMs)} ms`);
    await hypervisor.unplug(second, never);
    expect(await deviceNames()).toEqual([]);
    await guest.says(/^CYBORG-PCI- 0000:[0-9a-f:.]+ 1af4:1044/);
    await guest.says(/^CYBORG-PCI- 0000:[0-9a-f:.]+ 1af4:1054/);
    await guest.says(/^CYBORG-CRYPTO none$/);
    await hypervisor.plug(order, never);
    await guest.says(/^CYBORG-HWRNG ok/, { since: guest.lines.indexOf('CYBORG-HWRNG none') });
  });

  it.for([
    ['of machine type pc', ['--machine', 'pc']],
    ['whose ports work without ACPI', ['--', '-global', noAcpiPorts]],
  ] as const)('%s gets and gives back devices too', async ([, more], { expect }) => {
    await using guest = await booted(...more);
    await hypervisor.plug(order, never);
    await guest.says(/^CYBORG-HWRNG ok/);
    await hypervisor.plug(second, never);
    await guest.says(/^CYBORG-CRYPTO ok/);
    const started = performance.now();
    await hypervisor.unplug(order, never);
    console.log(`unplugged after ${Math.round(performance.now() - started)} ms`);
    await guest.says(/^CYBORG-HWRNG none/);
    expect(await deviceNames()).toEqual([second.deviceName]);
  });

  it('keeps its devices when it reboots, which is noticed', async ({ expect }) => {
    await using guest = await booted();
    await hypervisor.plug(order, never);
    await guest.says(/^CYBORG-HWRNG ok/);
    let calls = 0;
    using _watching = hypervisor.watch(() => (calls += 1));
    await hypervisor.list(never);
    calls = 0;
    const since = guest.lines.length;
    guest.type('reboot');
    await vi.waitFor(() => expect(calls).toBeGreaterThan(0), { timeout: 30_000 });
    await guest.says(/^CYBORG-HWRNG ok/, { since });
    await guest.says(/^CYBORG-GUEST READY/, { since });
    expect(await deviceNames()).toEqual([order.deviceName]);
    await hypervisor.unplug(order, never);
    await guest.says(/^CYBORG-PCI- /, { since });
  });

  it('is asked again to let go when it was still booting', async ({ expect }) => {
    await using guest = boot();
    await vi.waitFor(
      async () => expect((await hypervisor.list(never)).instances).toHaveLength(1),
      20_000,
    );
    await hypervisor.plug(order, never);
    await hypervisor.unplug(order, never);
    expect(await deviceNames()).toEqual([]);
    await guest.says(/^CYBORG-GUEST READY/);
  });

  it('finishes an unplug that a killed agent began', async ({ expect }) => {
    await using guest = await booted();
    await hypervisor.plug(order, never);
    await guest.says(/^CYBORG-HWRNG ok/);
    const killed = new AbortController();
    {
      using qmp = await QmpConnection.open({
        path: join(directory, 'web.sock'),
        clock: systemClock,
      });
      await qmp.execute('device_del', { id: order.deviceName });
      killed.abort();
    }
    await guest.says(/^CYBORG-PCI- /);
    await hypervisor.unplug(order, never);
    using qmp = await QmpConnection.open({ path: join(directory, 'web.sock'), clock: systemClock });
    const objects = await qmp.execute('qom-list', { path: '/objects' });
    expect(JSON.stringify(objects)).not.toContain(order.deviceName);
  });

  it('is plugged and unplugged to the end after the agent was killed at any step', async ({
    expect,
  }) => {
    await using guest = await booted();
    for (const [n, killAfterMs] of [1, 3, 6, 10, 15, 25, 40].entries()) {
      const again = { ...order, deviceName: `ua-cyborg-33333333-${n}` };
      await killWhile('plug', again, killAfterMs);
      await hypervisor.plug(again, never);
      expect(await deviceNames()).toEqual([again.deviceName]);
      await killWhile('unplug', again, killAfterMs);
      await hypervisor.unplug(again, never);
      expect(await deviceNames()).toEqual([]);
    }
    await guest.says(/^CYBORG-HWRNG ok/);
    using qmp = await QmpConnection.open({ path: join(directory, 'web.sock'), clock: systemClock });
    const objects = await qmp.execute('qom-list', { path: '/objects' });
    expect(JSON.stringify(objects)).not.toContain('ua-cyborg');
  });

  it('that is paused refuses within the deadline, and lets go when it runs again', async ({
    expect,
  }) => {
    await using guest = await booted();
    await hypervisor.plug(order, never);
    await guest.says(/^CYBORG-HWRNG ok/);
    await ask('stop');
    await using hasty = await openQemuHypervisor({
      directory,
      clock: systemClock,
      unplugMsMax: 3_000,
    });
    const started = performance.now();
    await expect(hasty.unplug(order, never)).rejects.toMatchObject({ code: 'guest-refuses' });
    expect(performance.now() - started).toBeLessThan(6_000);
    expect((await hypervisor.list(never)).instances).toMatchObject([
      { state: 'PAUSED', devices: [{ name: order.deviceName }] },
    ]);
    await ask('cont');
    await hypervisor.unplug(order, never);
    expect(await deviceNames()).toEqual([]);
  });

  it('that is killed in the middle of an unplug is gone, and so is the device', async ({
    expect,
  }) => {
    await using guest = await booted();
    await hypervisor.plug(order, never);
    await ask('stop'); // so that the unplug waits
    await hypervisor.list(never);
    const outcome = hypervisor.unplug(order, never).then(
      () => 'done',
      (error: unknown) => error,
    );
    expect(await deviceNames()).toEqual([order.deviceName]); // answered after the first try of unplugging
    await guest.kill();
    expect(await outcome).toSatisfy(
      (value) =>
        value === 'done' ||
        (value instanceof Error && 'code' in value && value.code === 'unavailable'),
    );
    await hypervisor.unplug(order, never);
    expect(await hypervisor.list(never)).toMatchObject({ instances: [], unknownCount: 0 });
    await expect(hypervisor.plug(order, never)).rejects.toMatchObject({ code: 'instance-gone' });

    await using again = await booted();
    expect(await deviceNames()).toEqual([]);
    await hypervisor.plug(order, never);
    await again.says(/^CYBORG-HWRNG ok/);
  });
});

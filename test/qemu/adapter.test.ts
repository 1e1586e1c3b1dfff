import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from '@cyborg/testing/processes';
import { afterEach, beforeEach, describe, it } from 'vitest';
import type { Hypervisor } from '@cyborg/agent/hypervisors/hypervisor';
import { openQemuHypervisor } from '@cyborg/agent/hypervisors/qemu/qemu';
import { QmpConnection, QmpError } from '@cyborg/agent/hypervisors/qemu/qmp';
import type { AttachPlan } from '@cyborg/driver-sdk/protocol';
import { systemClock } from '@cyborg/service/clock';
import { guardGuests } from './guest-guard.ts';
import { Guest, patientMs } from './guest.ts';

const problem = guardGuests();
const never = new AbortController().signal;
const uuid = randomUUID();
const random: AttachPlan = { kind: 'virtio-rng', source: '/dev/urandom' };
const crypto: AttachPlan = { kind: 'virtio-crypto', queues: 1 };
const order = { instanceId: uuid, deviceName: 'ua-cyborg-11111111-1', plan: random };
const second = { instanceId: uuid, deviceName: 'ua-cyborg-22222222-1', plan: crypto };

const patient = { clock: systemClock, answerMsMax: patientMs, unplugMsMax: patientMs } as const;
/** Of a guest whose processors stand still. */
const hastyMs = 3_000;

const noAcpiPorts = 'ICH9-LPC.acpi-pci-hotplug-with-bridge-support=off';

let directory: string;
let hypervisor: Hypervisor;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'cyborg-guest-'));
  hypervisor = await openQemuHypervisor({ directory, ...patient });
});
afterEach(async () => {
  await hypervisor[Symbol.asyncDispose]();
  await rm(directory, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
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

async function ask(command: string, args = {}): Promise<unknown> {
  using qmp = await QmpConnection.open({ path: join(directory, 'web.sock'), ...patient });
  return await qmp.execute(command, args);
}

async function backends(): Promise<string> {
  return JSON.stringify(await ask('qom-list', { path: '/objects' }));
}

/** As an agent does that is killed before it hears more; a guest that is busy forgets that it was asked. */
async function askToLetGo(id: string, hasGone: () => boolean): Promise<void> {
  await eventually(
    async () => {
      await ask('device_del', { id }).catch((error: unknown) => {
        const isUnderWay = error instanceof QmpError && error.failure === 'refused';
        if (!isUnderWay) throw error;
      });
      return hasGone();
    },
    { timeoutMs: patientMs, pauseMs: 1_000, what: `the guest lets go of ${id}` },
  );
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
    await guest.says(/^CYBORG-HWRNG none$/); // what is back before it was missed never went, for the guest
    const since = guest.lines.length;
    await hypervisor.plug(order, never);
    await guest.says(/^CYBORG-HWRNG ok/, { since });
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
    let since = 0;
    const isNoticed = async (): Promise<boolean> => {
      since = guest.lines.length;
      guest.type('reboot');
      await guest.says(/^CYBORG-HWRNG ok/, { since });
      await guest.says(/^CYBORG-GUEST READY/, { since });
      return calls > 0;
    };
    // Its socket is left to others for a moment now and then: a reboot may fall into one.
    await eventually(isNoticed, { timeoutMs: 2 * patientMs, what: 'a reboot is noticed' });
    expect(await deviceNames()).toEqual([order.deviceName]);
    await hypervisor.unplug(order, never);
    await guest.says(/^CYBORG-PCI- /, { since });
  });

  it('is asked again to let go when it was still booting', async ({ expect }) => {
    await using guest = boot();
    const isListed = async (): Promise<boolean> =>
      (await hypervisor.list(never)).instances.length === 1;
    await eventually(isListed, { timeoutMs: patientMs, what: 'the guest is listed' });
    await hypervisor.plug(order, never);
    await hypervisor.unplug(order, never);
    expect(await deviceNames()).toEqual([]);
    await guest.says(/^CYBORG-GUEST READY/);
  });

  it('finishes an unplug that a killed agent began', async ({ expect }) => {
    await using guest = await booted();
    await hypervisor.plug(order, never);
    await guest.says(/^CYBORG-HWRNG ok/);
    const hasGone = (): boolean => guest.lines.some((line) => line.startsWith('CYBORG-PCI- '));
    await askToLetGo(order.deviceName, hasGone);
    expect(await backends()).toContain(order.deviceName);
    await hypervisor.unplug(order, never);
    expect(await backends()).not.toContain(order.deviceName);
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
    expect(await backends()).not.toContain('ua-cyborg');
    await hypervisor.plug(order, never); // the others came and went between two of its looks, maybe
    await guest.says(/^CYBORG-HWRNG ok/);
  });

  it('that is paused refuses within the deadline, and lets go when it runs again', async ({
    expect,
  }) => {
    await using guest = await booted();
    await hypervisor.plug(order, never);
    await guest.says(/^CYBORG-HWRNG ok/);
    await ask('stop');
    await using hasty = await openQemuHypervisor({ directory, ...patient, unplugMsMax: hastyMs });
    const started = performance.now();
    await expect(hasty.unplug(order, never)).rejects.toMatchObject({
      code: 'guest-refuses',
      message: expect.stringContaining(`within ${hastyMs} ms`),
    });
    expect(performance.now() - started).toBeLessThan(patientMs / 2);
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
    // Nothing is concluded before its process is seen to be gone.
    const isGone = async (): Promise<boolean> => {
      await hypervisor.unplug(order, never);
      return (await hypervisor.list(never)).unknownCount === 0;
    };
    await eventually(isGone, { timeoutMs: patientMs, what: 'the guest counts as gone' });
    expect(await hypervisor.list(never)).toMatchObject({ instances: [], unknownCount: 0 });
    await expect(hypervisor.plug(order, never)).rejects.toMatchObject({ code: 'instance-gone' });

    await using again = await booted();
    expect(await deviceNames()).toEqual([]);
    await hypervisor.plug(order, never);
    await again.says(/^CYBORG-HWRNG ok/);
  });
});

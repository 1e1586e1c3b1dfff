import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it, vi } from 'vitest';
import type { AttachPlan, PlanKind } from '@cyborg/driver-sdk/protocol';
import { systemClock } from '@cyborg/service/clock';
import type { Hypervisor } from '../hypervisor.ts';
import { simulatedInstanceId } from './instance-id.ts';
import { openSimulatedHypervisor } from './simulated.ts';

const crypto: AttachPlan = { kind: 'virtio-crypto', queues: 1 };
/** All that can be plugged: a `test-pci` has no device. */
const plans: Record<Exclude<PlanKind, 'test-pci'>, AttachPlan> = {
  pci: { kind: 'pci', address: '0000:21:00.0' },
  mdev: { kind: 'mdev', uuid: 'a', parent: '0000:21:00.0', type: 'nvidia-63' },
  usb: { kind: 'usb', bus: 1, port: '2' },
  'virtio-crypto': crypto,
  'virtio-rng': { kind: 'virtio-rng', source: '/dev/urandom' },
  'vhost-user-blk': { kind: 'vhost-user-blk', socket: '/tmp/s', queues: 1 },
};
const never = new AbortController().signal;
const web = simulatedInstanceId('host-1', 'web');

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'cyborg-simulated-'));
});
afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

async function open(): Promise<Hypervisor> {
  return await openSimulatedHypervisor({
    directory,
    clock: systemClock,
    hostName: 'host-1',
    seedInstances: [
      { name: 'web', projectId: 'p1' },
      { name: 'off', state: 'SHUTOFF' },
      { name: 'paused', state: 'PAUSED', projectId: 'p2' },
    ],
  });
}

async function devicesOf(hypervisor: Hypervisor, id: string): Promise<string[]> {
  const { instances } = await hypervisor.list(never);
  return (instances.find((instance) => instance.id === id)?.devices ?? []).map(({ name }) => name);
}

async function fault(name: string, parameter = ''): Promise<void> {
  await writeFile(join(directory, 'faults', name), parameter);
}

describe('the simulated hypervisor', () => {
  it('lists the described instances, the ACTIVE one first, with stable ids', async ({ expect }) => {
    await using hypervisor = await open();
    const { instances, unknownCount } = await hypervisor.list(never);

    expect(instances.map(({ name, state, projectId }) => [name, state, projectId])).toEqual([
      ['web', 'ACTIVE', 'p1'],
      ['off', 'SHUTOFF', null],
      ['paused', 'PAUSED', 'p2'],
    ]);
    expect(unknownCount).toBe(0);
    expect(instances[0]?.id).toBe(web);
    expect(web).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-5[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  });

  it('plugs and unplugs every kind of plan, any number of times', async ({ expect }) => {
    await using hypervisor = await open();
    expect(Object.keys(plans).toSorted()).toEqual([...hypervisor.plugs].toSorted());
    for (const [kind, plan] of Object.entries(plans)) {
      const order = { instanceId: web, deviceName: `ua-cyborg-${kind}-1`, plan };
      await hypervisor.plug(order, never);
      await hypervisor.plug(order, never);
      expect(await devicesOf(hypervisor, web)).toEqual([order.deviceName]);
      await hypervisor.unplug(order, never);
      await hypervisor.unplug(order, never);
      expect(await devicesOf(hypervisor, web)).toEqual([]);
    }
  });

  it('says of a device which function of the host it is, whoever put its file there', async ({
    expect,
  }) => {
    await using hypervisor = await open();
    const named = (name: string) => ({ instanceId: web, deviceName: `ua-cyborg-${name}-1` });
    await hypervisor.plug({ ...named('a'), plan: plans.pci }, never);
    await hypervisor.plug({ ...named('b'), plan: crypto }, never);
    const folder = join(directory, 'devices', web);
    await writeFile(join(folder, 'ua-cyborg-c-1'), '{"plan": {"kind": "pci", "address": "../x"}}');
    const address = '0000:21:00.0';
    const devices = [
      { name: 'ua-cyborg-a-1', address },
      { name: 'ua-cyborg-b-1' },
      { name: 'ua-cyborg-c-1' },
    ];
    const listed = async () =>
      (
        (await hypervisor.list(never)).instances.find(({ id }) => id === web)?.devices ?? []
      ).toSorted((a, b) => a.name.localeCompare(b.name));
    expect(await listed()).toEqual(devices);
    await hypervisor.unplug(named('b'), never);
    expect(await listed()).toEqual([devices[0], devices[2]]);
    await using second = await open();
    expect((await second.list(never)).instances[0]?.devices).toContainEqual(devices[0]);
  });

  it('keeps instances and devices when it is opened again, and does not seed twice', async ({
    expect,
  }) => {
    {
      await using first = await open();
      await first.plug({ instanceId: web, deviceName: 'ua-cyborg-a-1', plan: crypto }, never);
      await rm(join(directory, 'instances', `${simulatedInstanceId('host-1', 'off')}.json`));
    }
    await using second = await open();
    expect(await devicesOf(second, web)).toEqual(['ua-cyborg-a-1']);
    expect((await second.list(never)).instances).toHaveLength(2);
  });

  it('says why it will not plug', async ({ expect }) => {
    await using hypervisor = await open();
    const order = { instanceId: web, deviceName: 'ua-cyborg-a-1', plan: crypto };
    const off = simulatedInstanceId('host-1', 'off');
    await expect(hypervisor.plug({ ...order, instanceId: off }, never)).rejects.toMatchObject({
      code: 'refused',
      message: 'Instance off is SHUTOFF: start it before attaching.',
    });
    const nobody = '00000000-0000-4000-8000-000000000000';
    await expect(hypervisor.plug({ ...order, instanceId: nobody }, never)).rejects.toMatchObject({
      code: 'instance-gone',
    });
    await expect(hypervisor.plug({ ...order, instanceId: '../x' }, never)).rejects.toMatchObject({
      code: 'instance-gone',
    });
    await expect(
      hypervisor.plug({ ...order, deviceName: '../../etc/passwd' }, never),
    ).rejects.toMatchObject({ code: 'refused' });
    await hypervisor.unplug({ instanceId: nobody, deviceName: order.deviceName }, never);
  });

  it('shows what others change in its files: lost devices, gone instances', async ({ expect }) => {
    await using hypervisor = await open();
    await using other = await open();
    const order = { instanceId: web, deviceName: 'ua-cyborg-a-1', plan: crypto };
    for (let round = 0; round < 50; round += 1) {
      await hypervisor.plug(order, never);
      expect(await devicesOf(other, web)).toEqual(['ua-cyborg-a-1']);
      await rm(join(directory, 'devices', web, order.deviceName));
      expect(await devicesOf(hypervisor, web)).toEqual([]);
    }
    await rm(join(directory, 'instances', `${web}.json`));
    expect((await hypervisor.list(never)).instances.map(({ name }) => name)).toEqual(
      ['paused', 'off'].toSorted(),
    );
  });

  it('is unavailable, never empty, when its folder is moved away, emptied or told so', async ({
    expect,
  }) => {
    await using hypervisor = await open();
    const away = `${directory}.away`;
    await rename(directory, away);
    await expect(hypervisor.list(never)).rejects.toMatchObject({ code: 'unavailable' });
    await expect(
      hypervisor.unplug({ instanceId: web, deviceName: 'ua-cyborg-a-1' }, never),
    ).rejects.toMatchObject({ code: 'unavailable' });
    await rename(away, directory);
    await fault('unavailable', 'the daemon is restarting');
    await expect(hypervisor.list(never)).rejects.toMatchObject({
      message: 'the daemon is restarting',
    });
    await rm(join(directory, 'faults', 'unavailable'));
    expect((await hypervisor.list(never)).instances).toHaveLength(3);
  });

  it('simulates silent instances, refusing guests and slow answers', async ({ expect }) => {
    await using hypervisor = await open();
    const order = { instanceId: web, deviceName: 'ua-cyborg-a-1', plan: crypto };
    await hypervisor.plug(order, never);

    await fault(`guest-refuses.${web}`, '10');
    await expect(hypervisor.unplug(order, never)).rejects.toMatchObject({ code: 'guest-refuses' });
    await rm(join(directory, 'faults', `guest-refuses.${web}`));

    await fault(`unknown.${web}`);
    const listing = await hypervisor.list(never);
    expect(listing).toMatchObject({ unknownIds: [web], unknownCount: 1 });
    await expect(hypervisor.unplug(order, never)).rejects.toMatchObject({ code: 'unavailable' });
    await rm(join(directory, 'faults', `unknown.${web}`));

    await fault('slow-unplug', '60000');
    const giveUp = AbortSignal.timeout(50);
    await expect(hypervisor.unplug(order, giveUp)).rejects.toThrow();
    expect(await devicesOf(hypervisor, web)).toEqual([order.deviceName]);

    await writeFile(join(directory, 'instances', `${web}.json`), '{');
    expect(await hypervisor.list(never)).toMatchObject({ unknownIds: [web], unknownCount: 1 });
  });

  it('calls back when another process changes something', async ({ expect }) => {
    await using hypervisor = await open();
    await using other = await open();
    let calls = 0;
    using _watching = hypervisor.watch(() => (calls += 1));
    await other.plug({ instanceId: web, deviceName: 'ua-cyborg-a-1', plan: crypto }, never);
    await vi.waitFor(() => expect(calls).toBeGreaterThan(0), { timeout: 60_000 });
    calls = 0;
    await rm(join(directory, 'instances', `${web}.json`));
    await vi.waitFor(() => expect(calls).toBeGreaterThan(0), { timeout: 60_000 });
  });

  /** What this process computed meanwhile: others may keep it waiting. */
  async function cpuMsOf(work: () => Promise<void>): Promise<number> {
    const before = process.cpuUsage();
    await work();
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1_000;
  }

  it('plugs and unplugs 200 times a second and lists in bounded time with 1,000 held', async ({
    expect,
  }) => {
    await using hypervisor = await open();
    const nth = (n: number) => ({ instanceId: web, deviceName: `ua-cyborg-${n}-1`, plan: crypto });
    for (let n = 0; n < 1_000; n += 1) await hypervisor.plug(nth(n), never);
    const actsMs = await cpuMsOf(async () => {
      for (let n = 1_000; n < 1_100; n += 1) {
        await hypervisor.plug(nth(n), never);
        await hypervisor.unplug(nth(n), never);
      }
    });
    const perSecond = 200 / (actsMs / 1_000);
    const lists: number[] = [];
    for (let n = 0; n < 20; n += 1) {
      lists.push(await cpuMsOf(async () => void (await hypervisor.list(never))));
    }
    const listMs = Math.min(...lists);
    console.log(`${Math.round(perSecond)} acts/s, list ${listMs.toFixed(2)} ms`);
    expect(perSecond).toBeGreaterThan(200);
    expect(listMs).toBeLessThan(20);
  });
});

describe('a process that uses the simulated hypervisor and is killed', () => {
  const script = `
    import { openSimulatedHypervisor } from ${JSON.stringify(new URL('simulated.ts', import.meta.url).href)};
    import { systemClock } from '@cyborg/service/clock';
    const [directory, instanceId] = process.argv.slice(1);
    const hypervisor = await openSimulatedHypervisor({
      directory, clock: systemClock, hostName: 'host-1', seedInstances: [],
    });
    const { signal } = new AbortController();
    for (let n = 0; ; n += 1) {
      const deviceName = \`ua-cyborg-\${process.pid}-\${n}\`;
      await hypervisor.plug({ instanceId, deviceName, plan: { kind: 'usb', bus: 1, port: '1' } }, signal);
      if (n === 0) process.stdout.write('plugging\\n');
    }`;

  async function startPlugger(): Promise<ChildProcess> {
    const child = spawn(process.execPath, ['--input-type=module', '-e', script, directory, web], {
      cwd: import.meta.dirname,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    if (child.stdout === null) throw new Error('no stdout');
    await once(child.stdout, 'data');
    return child;
  }

  it('leaves whole devices and instances behind, whenever it dies', async ({ expect }) => {
    await using hypervisor = await open();
    const before = (await hypervisor.list(never)).instances.map(({ id }) => id);
    let seen = 0;
    for (let round = 0; round < 6; round += 1) {
      const child = await startPlugger();
      await new Promise((resolve) => setTimeout(resolve, 7 * round)); // die at another step each time
      child.kill('SIGKILL');
      await once(child, 'exit');
      const listing = await hypervisor.list(never);
      expect(listing.instances.map(({ id }) => id)).toEqual(before);
      expect(listing.unknownCount).toBe(0);
      const names = await devicesOf(hypervisor, web);
      expect(names.length).toBeGreaterThanOrEqual(seen);
      seen = names.length;
    }
    for (const deviceName of await devicesOf(hypervisor, web)) {
      await hypervisor.unplug({ instanceId: web, deviceName }, never);
    }
    expect(await readdir(join(directory, 'devices', web))).toEqual([]);
  });
});

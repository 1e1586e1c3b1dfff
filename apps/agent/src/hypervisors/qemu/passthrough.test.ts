import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, it, vi } from 'vitest';
import { systemClock } from '@cyborg/service/clock';
import type { Hypervisor } from '../hypervisor.ts';
import { HostNuma } from '../numa.ts';
import { processLooker } from '../processes.ts';
import { GuestFacts } from './facts.ts';
import { openQemuHypervisor } from './qemu.ts';
import { QmpConnection } from './qmp.ts';
import { findSlot } from './slots.ts';

// Real QEMU processes, on a machine that need not have an IOMMU: test/lab has the rest.
const qemu = 'qemu-system-x86_64';
const hasQemu = spawnSync(qemu, ['--version']).status === 0;
const never = new AbortController().signal;
const uuid = randomUUID();
const virtual = ['virtio-crypto', 'virtio-rng'];
const port = (name: string, more = ''): string[] => [
  '-device',
  `pcie-root-port,id=${name},chassis=${name.length}${more}`,
];

const patience = { clock: systemClock, answerMsMax: 20_000 };

let directory: string;
let hypervisor: Hypervisor | undefined;
const started: ChildProcess[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'cyborg-vfio-'));
});
afterEach(async () => {
  await hypervisor?.[Symbol.asyncDispose]();
  hypervisor = undefined;
  for (const child of started.splice(0)) {
    child.kill('SIGKILL');
    if (child.exitCode === null && child.signalCode === null) await once(child, 'exit');
  }
  await rm(directory, { recursive: true, force: true });
});

async function start(args: readonly string[], prefix: readonly string[] = []): Promise<void> {
  const bare = ['-S', '-nographic', '-nodefaults', '-accel', 'tcg,thread=multi', '-m', '64'];
  const socket = ['-qmp', `unix:${join(directory, 'web.sock')},server=on,wait=off`];
  const [program = qemu, ...words] = [...prefix, qemu, ...bare, ...socket, '-uuid', uuid, ...args];
  started.push(spawn(program, words, { stdio: ['ignore', 'ignore', 'inherit'] }));
  const answers = async (): Promise<void> => (await connect())[Symbol.dispose]();
  await vi.waitFor(answers, { timeout: 60_000, interval: 50 });
}

function connect(): Promise<QmpConnection> {
  return QmpConnection.open({ path: join(directory, 'web.sock'), clock: systemClock });
}

async function open(vfioFile: string): Promise<Hypervisor> {
  hypervisor = await openQemuHypervisor({ ...patience, directory, vfioFile });
  return hypervisor;
}

async function announced(vfioFile: string): Promise<readonly string[] | undefined> {
  await using looking = await openQemuHypervisor({ ...patience, directory, vfioFile });
  return (await looking.list(never)).instances[0]?.plugs;
}

/** A host of two nodes with a CPU each, and a function on the second. */
async function makeHost(): Promise<HostNuma> {
  const files = {
    'devices/system/node/node0/cpulist': '0\n',
    'devices/system/node/node1/cpulist': '1\n',
    'bus/pci/devices/0000:21:00.0/numa_node': '1\n',
  };
  for (const [name, text] of Object.entries(files)) {
    await mkdir(join(directory, 'sys', dirname(name)), { recursive: true });
    await writeFile(join(directory, 'sys', name), text);
  }
  return new HostNuma({
    sysfsRoot: join(directory, 'sys'),
    procRoot: '/proc',
    clock: systemClock,
  });
}

describe.skipIf(!hasQemu)('hardware of the host in real QEMU processes', () => {
  it.for([
    ['q35', port('a'), ['pci', 'mdev']],
    ['q35', port('a', ',hotplug=off'), []],
    ['q35', [], []],
    ['pc', [], ['pci', 'mdev']],
  ] as const)('%s with %j announces %j where the host has VFIO', async (given, { expect }) => {
    const [machine, more, kinds] = given;
    await start(['-machine', machine, ...more]);
    expect(await announced('/dev/null')).toEqual([...virtual, ...kinds]);
    expect(await announced('/dev/none/vfio')).toEqual(virtual);
  });

  it('is announced as soon as the module is loaded', async ({ expect }) => {
    await start(['-machine', 'q35', ...port('a')]);
    const file = join(directory, 'vfio');
    const looking = await open(file);
    expect(looking.plugs).toEqual(virtual);
    await writeFile(file, '');
    expect((await looking.list(never)).instances[0]?.plugs).toContain('pci');
    expect(looking.plugs).toEqual([...virtual, 'pci', 'mdev']);
  });

  it('that is not there is refused in a sentence, and leaves nothing in the machine', async ({
    expect,
  }) => {
    await start(['-machine', 'q35', ...port('a')]);
    const plugging = await open('/dev/null');
    const order = { instanceId: uuid, deviceName: 'ua-cyborg-a-1' };
    const address = 'fffe:fe:1f.7';
    await expect(
      plugging.plug({ ...order, plan: { kind: 'pci', address } }, never),
    ).rejects.toMatchObject({
      code: 'refused',
      message: expect.stringContaining(`${address} is not on this host any more`),
    });
    const mdev = { kind: 'mdev', uuid, parent: address, type: 'nvidia-35' } as const;
    await expect(plugging.plug({ ...order, plan: mdev }, never)).rejects.toMatchObject({
      code: 'refused',
      message: expect.stringContaining(`mediated device ${uuid}`),
    });
    expect((await plugging.list(never)).instances[0]).toMatchObject({ devices: [], functions: [] });
    await plugging.unplug(order, never);
    const random = { kind: 'virtio-rng', source: '/dev/urandom' } as const;
    await plugging.plug({ ...order, plan: random }, never); // the port is free still
    const named = { kind: 'pci', address } as const;
    const second = plugging.plug({ ...order, deviceName: 'ua-cyborg-b-1', plan: named }, never);
    await expect(second).rejects.toThrow(/All 1 hot-plug ports .* are in use/);
  });

  it('goes to a port of the expander near the guest’s node, else to any', async ({ expect }) => {
    const cells = [0, 1].map((n) => [
      `-object memory-backend-ram,id=m${n},size=32M`,
      `-numa node,nodeid=${n},memdev=m${n},cpus=${n}`,
      `-device pxb-pcie,id=px${n},bus=pcie.0,bus_nr=${32 * (n + 1)},numa_node=${n}`,
    ]);
    const backends = cells.flat().flatMap((option) => option.split(' '));
    const ports = [...port('p'), ...port('near0', ',bus=px0'), ...port('near1a', ',bus=px1')];
    await start(['-machine', 'q35', '-smp', '2', ...backends, ...ports]);
    using qmp = await connect();
    expect(await findSlot(qmp, new Set([1]))).toEqual({ bus: 'near1a', addr: '0x0' });
    expect(await findSlot(qmp, new Set([0]))).toEqual({ bus: 'near0', addr: '0x0' });
    expect(['p', 'near0', 'near1a']).toContain((await findSlot(qmp, new Set([7]))).bus);
    const { bus, addr } = await findSlot(qmp, new Set([1]));
    await qmp.execute('device_add', { driver: 'virtio-rng-pci', bus, addr });
    expect(['p', 'near0']).toContain((await findSlot(qmp, new Set([1]))).bus);
  });

  it('is near the guest’s CPUs by the threads that run them', async ({ expect, skip }) => {
    skip(spawnSync('taskset', ['-c', '1', 'true']).status !== 0, 'needs taskset and a second CPU');
    const numa = await makeHost();
    const lookAtProcesses = processLooker({ procRoot: '/proc', clock: systemClock });
    const cells = ['-smp', '2', '-numa', 'node,cpus=0,mem=32M', '-numa', 'node,cpus=1,mem=32M'];
    const machine = ['-machine', 'pc-q35-5.0', ...cells];
    await start(machine, ['taskset', '-c', '1']);
    using qmp = await connect();
    const socket = join(directory, 'web.sock');
    const factsOf = async (identity: string): Promise<readonly number[] | undefined> => {
      const facts = new GuestFacts({ clock: systemClock, numa, lookAtProcesses });
      return (await facts.of({ identity, socket, id: uuid }, qmp)).numaNodes;
    };
    expect(await factsOf('pinned')).toEqual([1]);
    const facts = new GuestFacts({ clock: systemClock, numa, lookAtProcesses });
    const plan = { kind: 'pci', address: '0000:21:00.0' } as const;
    expect(await facts.guestNodesNear(qmp, { id: uuid, plan })).toEqual(new Set([0, 1]));
    const cpus = await qmp.execute('query-cpus-fast');
    const [first] = Array.isArray(cpus) ? cpus : [];
    spawnSync('taskset', ['-pc', '0-1', String(first['thread-id'])]);
    expect(await facts.guestNodesNear(qmp, { id: uuid, plan })).toEqual(new Set([1]));
    expect(await factsOf('loose')).toBeUndefined();
  });
});

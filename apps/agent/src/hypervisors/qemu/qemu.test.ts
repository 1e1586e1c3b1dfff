import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { createConnection, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { afterEach, beforeEach, describe, it, vi } from 'vitest';
import type { AttachPlan } from '@cyborg/driver-sdk/protocol';
import { systemClock } from '@cyborg/service/clock';
import type { Hypervisor } from '../hypervisor.ts';
import { openQemuHypervisor, type QemuHypervisorOptions } from './qemu.ts';
import { QmpConnection } from './qmp.ts';

// Real QEMU processes without a guest: they start in a tenth of a second, and nobody in them answers device_del.
const qemu = 'qemu-system-x86_64';
const hasQemu = spawnSync(qemu, ['--version']).status === 0;
const never = new AbortController().signal;
const random: AttachPlan = { kind: 'virtio-rng', source: '/dev/urandom' };
const crypto: AttachPlan = { kind: 'virtio-crypto', queues: 1 };
const bare = ['-S', '-nographic', '-nodefaults', '-accel', 'tcg', '-m', '32'];
const ports = (count: number): string[] =>
  Array.from({ length: count }, (_, n) => [
    '-device',
    `pcie-root-port,id=p${n},chassis=${n}`,
  ]).flat();
const uuidOf = (n: number): string => `00000000-0000-4000-8000-00000000000${n}`;

/** A QEMU that starts or changes, on a machine that has much to do. */
const inTime = { timeout: 60_000, interval: 50 };

let directory: string;
const started: ChildProcess[] = [];
const hypervisors: Hypervisor[] = [];
const servers: Server[] = [];

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'cyborg-qmp-'));
});
afterEach(async () => {
  for (const hypervisor of hypervisors.splice(0)) await hypervisor[Symbol.asyncDispose]();
  for (const server of servers.splice(0)) server.close();
  await Promise.all(started.splice(0).map(end));
  await rm(directory, { recursive: true, force: true });
});

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGKILL');
  await once(child, 'exit');
}

async function startMachine(name: string, args: readonly string[]): Promise<ChildProcess> {
  const child = spawn(
    qemu,
    [
      '-name',
      name,
      ...bare,
      '-qmp',
      `unix:${join(directory, `${name}.sock`)},server=on,wait=off`,
      ...args,
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  started.push(child);
  await vi.waitFor(async () => {
    using _connection = await QmpConnection.open({
      path: join(directory, `${name}.sock`),
      clock: systemClock,
    });
  }, inTime);
  return child;
}

async function open(more: Partial<QemuHypervisorOptions> = {}): Promise<Hypervisor> {
  const hypervisor = await openQemuHypervisor({
    directory,
    clock: systemClock,
    answerMsMax: 20_000,
    unplugMsMax: 4_000,
    ...more,
  });
  hypervisors.push(hypervisor);
  return hypervisor;
}

/** A client of the test's own on the socket. */
async function ask(name: string, command: string, args: Record<string, unknown>): Promise<unknown> {
  using connection = await QmpConnection.open({
    path: join(directory, `${name}.sock`),
    clock: systemClock,
  });
  return await connection.execute(command, args);
}

async function listen(
  name: string,
  onLine: (write: (text: string) => void) => void,
): Promise<void> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    onLine((text) => socket.write(text));
  });
  servers.push(server);
  server.listen(join(directory, name));
  await once(server, 'listening');
}

/** A socket before a QEMU's own, which says one line more after each line of ours that `afterLine` answers. */
async function listenBefore(
  name: string,
  path: string,
  afterLine: (line: string) => string | null,
): Promise<void> {
  const server = createServer((socket) => {
    const machine = createConnection({ path });
    socket.on('error', () => machine.destroy());
    machine.on('error', () => socket.destroy());
    machine.pipe(socket);
    createInterface({ input: socket }).on('line', (line) => {
      machine.write(`${line}\n`);
      const more = afterLine(line);
      if (more !== null) socket.write(`${more}\n`);
    });
    socket.on('close', () => machine.destroy());
  });
  servers.push(server);
  server.listen(join(directory, name));
  await once(server, 'listening');
}

/** What a QEMU says whose guest rejects the request (qapi/qdev.json): some name the device by its path alone. */
function refusalAfter(line: string): string | null {
  const id = /"device_del".*"id":"(ua-cyborg-[^"]+)"/.exec(line)?.[1];
  if (id === undefined) return null;
  const timestamp = { seconds: 1, microseconds: 0 };
  const data = { path: `/machine/peripheral/${id}` };
  return JSON.stringify({ event: 'DEVICE_UNPLUG_GUEST_ERROR', data, timestamp });
}

it.runIf(process.env['CI'] === 'true' && !hasQemu)(
  'finds QEMU, which CI must have',
  ({ expect }) => {
    expect.fail(`${qemu} is not installed: run labs/guest/install-packages.`);
  },
);

if (!hasQemu) console.warn(`skipped: ${qemu} is not installed: run labs/guest/install-packages`);

describe('the QEMU adapter and sockets that are not QEMU', () => {
  it('tells a silent socket from a stale one and from another protocol', async ({ expect }) => {
    await listen('silent.sock', () => {});
    await listen('http.sock', (write) => write('HTTP/1.1 400 Bad Request\r\n\r\n'));
    await listen('flood.sock', (write) => write('x'.repeat(9 * 1024 * 1024)));
    await writeFile(join(directory, 'file.sock'), '');
    await writeFile(join(directory, 'notes.txt'), '');
    const hypervisor = await open({ answerMsMax: 3_000 });
    const listing = await hypervisor.list(never);
    expect(listing).toMatchObject({ instances: [], unknownIds: [], unknownCount: 1 });
    expect(listing.warnings?.toSorted().map((text) => text.replace(directory, ''))).toEqual(
      [
        'A line is longer than 8388608 bytes.',
        '/file.sock is not a socket.',
        '/http.sock does not speak QMP.',
        '/silent.sock did not answer the greeting within 3000 ms (blocked, or another client is connected).',
      ].toSorted(),
    );
    const nobody = { instanceId: uuidOf(9), deviceName: 'ua-cyborg-a-1' };
    await expect(hypervisor.unplug(nobody, never)).rejects.toMatchObject({ code: 'unavailable' });
  });

  it('is unavailable when its folder is not there', async ({ expect }) => {
    const hypervisor = await open({ directory: join(directory, 'none') });
    await expect(hypervisor.list(never)).rejects.toMatchObject({ code: 'unavailable' });
    await mkdir(join(directory, 'none'));
    expect(await hypervisor.list(never)).toMatchObject({ instances: [], unknownCount: 0 });
    await rm(join(directory, 'none'), { recursive: true });
    await expect(hypervisor.list(never)).rejects.toMatchObject({ code: 'unavailable' });
  });

  it('refuses plans that it cannot plug, and host files as a source of random numbers', async ({
    expect,
  }) => {
    const hypervisor = await open();
    const order = { instanceId: uuidOf(1), deviceName: 'ua-cyborg-a-1' };
    for (const plan of [
      { kind: 'pci', address: '0000:01:00.0' },
      { kind: 'virtio-rng', source: '/etc/shadow' },
    ] satisfies AttachPlan[]) {
      await expect(hypervisor.plug({ ...order, plan }, never)).rejects.toMatchObject({
        code: 'unsupported-plan',
      });
    }
    await expect(hypervisor.plug({ ...order, plan: random }, never)).rejects.toMatchObject({
      code: 'instance-gone',
    });
    await hypervisor.unplug(order, never);
  });
});

describe.skipIf(!hasQemu)('the QEMU adapter and real QEMU processes', () => {
  it('lists instances with id, name, project, state and what can be plugged', async ({
    expect,
  }) => {
    await startMachine('web', ['-machine', 'q35', '-uuid', uuidOf(1)]);
    await startMachine('db', ['-machine', 'pc', '-uuid', uuidOf(2)]);
    await startMachine('nobody', ['-machine', 'q35']);
    await writeFile(join(directory, 'web.sock.json'), '{"project_id": "p1"}');
    await writeFile(join(directory, 'db.sock.json'), '{"project_id": 7}');
    const hypervisor = await open();
    const { warnings, ...listing } = await hypervisor.list(never);
    const plugs = ['virtio-crypto', 'virtio-rng'];
    const none = { devices: [], functions: [] };
    expect(listing).toEqual({
      instances: [
        { id: uuidOf(2), name: 'db', projectId: null, state: 'PAUSED', plugs, ...none },
        { id: uuidOf(1), name: 'web', projectId: 'p1', state: 'PAUSED', plugs, ...none },
      ],
      unknownIds: [],
      unknownCount: 0,
    });
    expect(warnings).toHaveLength(2);
    expect(warnings?.join()).toContain('it must be {"project_id": "<id>"}');
    expect(warnings?.join()).toContain('start QEMU with -uuid');
    await ask('web', 'cont', {});
    expect((await hypervisor.list(never)).instances.at(-1)?.state).toBe('ACTIVE');
  });

  it.for(['q35', 'pc'])(
    'plugs into %s, again and again, also what died half-way',
    async (machine, { expect }) => {
      await startMachine('web', [
        '-machine',
        machine,
        '-uuid',
        uuidOf(1),
        ...(machine === 'pc' ? [] : ports(2)),
      ]);
      const hypervisor = await open();
      const order = { instanceId: uuidOf(1), deviceName: 'ua-cyborg-a-1', plan: random };
      // The agent died after object-add.
      await ask('web', 'object-add', {
        'qom-type': 'rng-random',
        id: 'be-ua-cyborg-a-1',
        filename: '/dev/random',
      });
      await hypervisor.plug(order, never);
      await hypervisor.plug(order, never);
      const limits = { max_bytes: 1024, period_ms: 1000 };
      await hypervisor.plug({ ...order, deviceName: 'ua-cyborg-b-1', plan: crypto }, never);
      expect(
        (await hypervisor.list(never)).instances[0]?.devices.map(({ name }) => name).toSorted(),
      ).toEqual(['ua-cyborg-a-1', 'ua-cyborg-b-1']);
      if (machine === 'pc') {
        await hypervisor.plug(
          { ...order, deviceName: 'ua-cyborg-c-1', plan: { ...random, ...limits } },
          never,
        );
      } else {
        await expect(
          hypervisor.plug({ ...order, deviceName: 'ua-cyborg-c-1' }, never),
        ).rejects.toMatchObject({
          code: 'refused',
          message: expect.stringContaining("'-device pcie-root-port,id=port3,chassis=3,slot=3'"),
        });
      }
    },
  );

  it('says what QEMU refused, and leaves no backend behind', async ({ expect }) => {
    await startMachine('web', ['-machine', 'q35', '-uuid', uuidOf(1), ...ports(1)]);
    const hypervisor = await open();
    const order = { instanceId: uuidOf(1), deviceName: 'ua-cyborg-a-1' };
    const plan: AttachPlan = {
      kind: 'virtio-rng',
      source: '/dev/urandom',
      period_ms: 0x7fff_ffff_ffff,
    };
    await expect(hypervisor.plug({ ...order, plan }, never)).rejects.toMatchObject({
      code: 'refused',
    });
    await expect(
      hypervisor.plug({ ...order, plan: { kind: 'virtio-crypto', queues: 9 } }, never),
    ).rejects.toMatchObject({ code: 'refused' });
    const objects = await ask('web', 'qom-list', { path: '/objects' });
    expect(JSON.stringify(objects)).not.toContain('be-ua-cyborg');
    await hypervisor.plug({ ...order, plan: crypto }, never);
  });

  it('gives up on a guest that does not answer, and finishes later what the guest allows', async ({
    expect,
  }) => {
    await startMachine('web', ['-machine', 'q35', '-uuid', uuidOf(1), ...ports(1)]);
    const hypervisor = await open();
    const order = { instanceId: uuidOf(1), deviceName: 'ua-cyborg-a-1', plan: random };
    await hypervisor.plug(order, never);
    await expect(hypervisor.unplug(order, never)).rejects.toMatchObject({ code: 'guest-refuses' });
    expect((await hypervisor.list(never)).instances[0]?.devices).toHaveLength(1);
    await ask('web', 'system_reset', {}); // a reset lets go of what was asked for
    await hypervisor.unplug(order, never);
    await hypervisor.unplug(order, never);
    expect((await hypervisor.list(never)).instances[0]?.devices).toEqual([]);
    expect(JSON.stringify(await ask('web', 'qom-list', { path: '/objects' }))).not.toContain(
      'be-ua-cyborg',
    );
  });

  it('says at once when the guest refuses to let go, and finishes later what it allows', async ({
    expect,
  }) => {
    await mkdir(join(directory, 'behind'));
    await startMachine('behind/web', ['-machine', 'q35', '-uuid', uuidOf(1), ...ports(1)]);
    const guest = { refuses: true };
    await listenBefore('web.sock', join(directory, 'behind', 'web.sock'), (line) =>
      guest.refuses ? refusalAfter(line) : null,
    );
    const hypervisor = await open({ unplugMsMax: 60_000 });
    const order = { instanceId: uuidOf(1), deviceName: 'ua-cyborg-a-1', plan: random };
    await hypervisor.plug(order, never);
    await expect(hypervisor.unplug(order, never)).rejects.toMatchObject({
      code: 'guest-refuses',
      message: expect.stringMatching(/^The guest refused, .* ua-cyborg-a-1 .*; it is asked again/),
    });
    expect((await hypervisor.list(never)).instances[0]?.devices).toHaveLength(1);
    guest.refuses = false;
    await ask('behind/web', 'system_reset', {}); // a reset lets go of what was asked for
    await hypervisor.unplug(order, never);
    expect((await hypervisor.list(never)).instances[0]?.devices).toEqual([]);
  });

  it('knows a killed QEMU for gone, and one that is stopped or whose socket was lost for unknown', async ({
    expect,
  }) => {
    const killed = await startMachine('killed', ['-machine', 'q35', '-uuid', uuidOf(1)]);
    const stopped = await startMachine('stopped', ['-machine', 'q35', '-uuid', uuidOf(2)]);
    await startMachine('lost', ['-machine', 'q35', '-uuid', uuidOf(3)]);
    const hypervisor = await open({ answerMsMax: 3_000 });
    await vi.waitFor(
      async () => expect((await hypervisor.list(never)).instances).toHaveLength(3),
      inTime,
    );
    await end(killed);
    stopped.kill('SIGSTOP');
    await rm(join(directory, 'lost.sock'));
    const listing = await hypervisor.list(never);
    expect(listing.instances).toEqual([]);
    expect(listing.unknownIds.toSorted()).toEqual([uuidOf(2), uuidOf(3)]);
    expect(listing.unknownCount).toBe(2);
    await hypervisor.unplug({ instanceId: uuidOf(1), deviceName: 'ua-cyborg-a-1' }, never);
    for (const instanceId of [uuidOf(2), uuidOf(3)]) {
      await expect(
        hypervisor.unplug({ instanceId, deviceName: 'ua-cyborg-a-1' }, never),
      ).rejects.toMatchObject({
        code: 'unavailable',
      });
    }
    stopped.kill('SIGCONT');
    await vi.waitFor(
      async () => expect((await hypervisor.list(never)).unknownIds).toEqual([uuidOf(3)]),
      inTime,
    );
  });

  it('does not take an empty folder in the place of its own for a host without guests', async ({
    expect,
  }) => {
    const machine = await startMachine('web', ['-machine', 'q35', '-uuid', uuidOf(1)]);
    const memoryFile = `${directory}.memory`;
    const first = await open({ memoryFile });
    await first.list(never);
    await rename(directory, `${directory}.away`);
    await expect(first.list(never)).rejects.toMatchObject({ code: 'unavailable' });
    await mkdir(directory);
    await expect(first.list(never)).rejects.toMatchObject({ code: 'unavailable' });
    const restarted = await open({ memoryFile });
    await expect(restarted.list(never)).rejects.toMatchObject({
      code: 'unavailable',
      message: expect.stringContaining(`remove ${memoryFile}`),
    });
    await rm(directory, { recursive: true });
    await rename(`${directory}.away`, directory);
    expect((await restarted.list(never)).instances).toHaveLength(1);
    await end(machine);
    await rename(directory, `${directory}.away`);
    await mkdir(directory);
    expect(await restarted.list(never)).toMatchObject({ instances: [], unknownCount: 0 });
    await rm(`${directory}.away`, { recursive: true });
    await rm(memoryFile);
  });

  it('lets another client of the socket in, and counts its guest as unknown meanwhile', async ({
    expect,
  }) => {
    await startMachine('web', ['-machine', 'q35', '-uuid', uuidOf(1)]);
    const hypervisor = await open({ answerMsMax: 3_000 });
    using _watching = hypervisor.watch(() => {});
    await vi.waitFor(
      async () => expect((await hypervisor.list(never)).instances).toHaveLength(1),
      inTime,
    );
    {
      // The adapter listens now; it leaves within 2 s.
      const options = {
        path: join(directory, 'web.sock'),
        clock: systemClock,
        answerMsMax: 30_000,
      };
      using operator = await QmpConnection.open(options);
      await operator.execute('query-status');
      expect(await hypervisor.list(never)).toMatchObject({
        unknownIds: [uuidOf(1)],
        unknownCount: 1,
      });
    }
    await vi.waitFor(
      async () => expect((await hypervisor.list(never)).instances).toHaveLength(1),
      inTime,
    );
  });

  it('lets another client in also while a guest that stands still is asked for several devices', async ({
    expect,
  }) => {
    await startMachine('web', ['-machine', 'q35', '-uuid', uuidOf(1), ...ports(2)]);
    const hypervisor = await open({ unplugMsMax: 90_000 });
    using _watching = hypervisor.watch(() => {});
    const orders = ['ua-cyborg-a-1', 'ua-cyborg-b-1'].map((deviceName) => ({
      instanceId: uuidOf(1),
      deviceName,
      plan: random,
    }));
    for (const order of orders) await hypervisor.plug(order, never);
    const state = { hasLetGo: false };
    const letGo = Promise.all(orders.map((order) => hypervisor.unplug(order, never)));
    const ended = letGo.finally(() => (state.hasLetGo = true));
    const options = { path: join(directory, 'web.sock'), clock: systemClock, answerMsMax: 30_000 };
    while (!state.hasLetGo) {
      using operator = await QmpConnection.open(options);
      await operator.execute('system_reset'); // lets go of what was asked for
    }
    await ended;
    expect((await hypervisor.list(never)).instances[0]?.devices).toEqual([]);
  });

  it('calls back when a guest comes, resets and is killed', async ({ expect }) => {
    const hypervisor = await open();
    let calls = 0;
    using _watching = hypervisor.watch(() => (calls += 1));
    const called = async (): Promise<void> => {
      await vi.waitFor(() => expect(calls).toBeGreaterThan(0), inTime);
      calls = 0;
    };
    const second = `unix:${join(directory, 'operator')},server=on,wait=off`;
    const machine = await startMachine('web', [
      '-machine',
      'q35',
      '-uuid',
      uuidOf(1),
      '-qmp',
      second,
    ]);
    await called();
    await hypervisor.list(never);
    calls = 0;
    using operator = await QmpConnection.open({
      path: join(directory, 'operator'),
      clock: systemClock,
    });
    await operator.execute('system_reset');
    await called();
    await end(machine);
    await called();
    expect(await hypervisor.list(never)).toMatchObject({ instances: [], unknownCount: 0 });
  });
});

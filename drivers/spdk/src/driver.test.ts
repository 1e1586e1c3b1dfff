import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BackendContext, PrepareOrder } from '@cyborg/driver-sdk/define-driver';
import { DriverError } from '@cyborg/driver-sdk/errors';
import { SpdkDaemon } from '@cyborg/testing/spdk-daemon';
import { describe, it, onTestFinished } from 'vitest';
import manifest from '../manifest.json' with { type: 'json' };
import { spdkDriver } from './driver.ts';
import { spdkKind } from './kind.ts';

const pools = [
  { kind: 'lvol', name: 'LVS0', count: 4, size_mib: 30 },
  { kind: 'malloc', name: 'ram', count: 1, size_mib: 16 },
];

function openFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'spdk-'));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

function contextOf(folder: string, config: object = { pools, bdev_prefix: 'Malloc' }) {
  return {
    host: { name: 'host', node_name: 'node' },
    roots: { sysfs: '/sys', proc: '/proc', dev: '/dev' },
    simulated: false,
    stateDir: folder,
    log: () => {},
    backend: 'fast',
    config: spdkKind.parseConfig({ socket: join(folder, 'rpc.sock'), ...config }),
    signal: new AbortController().signal,
    ask: () => Promise.reject(new DriverError('unsupported', 'nobody is there')),
    inventoryChanged: () => {},
    healthChanged: () => {},
  } satisfies BackendContext<unknown>;
}

function orderOf(accelerator: string): PrepareOrder {
  return {
    accelerator,
    epoch: 1,
    attachment: 'a',
    instance: 'i',
    plugs: ['pci', 'vhost-user-blk'],
  };
}

async function openBench() {
  const folder = openFolder();
  const daemon = await SpdkDaemon.open(join(folder, 'rpc.sock'));
  onTestFinished(async () => await daemon[Symbol.asyncDispose]());
  return { folder, daemon, context: contextOf(folder) };
}

async function accelerators(context: BackendContext<unknown>) {
  const { devices } = await spdkKind.discover(context);
  return devices.flatMap(({ deployables }) => deployables).flatMap((one) => one.accelerators);
}

describe('the spdk driver', () => {
  it('lists the volumes of its pools, and bdevs by their prefix with who uses them', async ({
    expect,
  }) => {
    const { context } = await openBench();
    const all = await accelerators(context);
    expect(Object.fromEntries(all.map(({ key, reason }) => [key, reason]))).toEqual({
      'lvol:LVS0/0': null,
      'lvol:LVS0/1': null,
      'lvol:LVS0/2': null,
      'lvol:LVS0/3': 'logical volume store LVS0 has no room for 30 MiB more',
      'malloc:ram/0': null,
      'bdev:Malloc0': 'not approved',
      'bdev:Malloc1': "in use: SPDK's vhost controller VhostScsi0",
      'bdev:Malloc2': 'in use: claimed by another module of SPDK',
    });
    const { services } = await spdkKind.discover(context);
    expect(services[0]).toEqual({
      name: 'spdk',
      kind: 'daemon',
      state: 'up',
      reason: null,
      accelerators_total: 8,
      accelerators_offered: 4,
    });
  });

  it('makes a volume and its controller, once, and takes both away, once', async ({ expect }) => {
    const { context, daemon } = await openBench();
    const before = daemon.bdevNames;
    for (const key of ['lvol:LVS0/2', 'malloc:ram/0']) {
      const plan = await spdkKind.prepare(context, orderOf(key));
      expect(await spdkKind.prepare(context, orderOf(key))).toEqual(plan);
      const [, controller] = daemon.controllerNames;
      expect(plan).toEqual({
        kind: 'vhost-user-blk',
        socket: `/var/tmp/${String(controller)}`,
        queues: 1,
      });
      await expect(spdkKind.clean(context, orderOf(key))).rejects.toMatchObject({
        code: 'transient',
      });
      await spdkKind.release(context, orderOf(key));
      await spdkKind.release(context, orderOf(key));
      expect(daemon.controllerNames).toEqual(['VhostScsi0']);
      expect((await spdkKind.clean(context, orderOf(key)))[1]).toMatch(/^deleted/);
      expect((await spdkKind.clean(context, orderOf(key)))[1]).toMatch(/never made$/);
      expect(daemon.bdevNames).toEqual(before);
    }
    const made = daemon.asked.filter(({ method }) => method.includes('_create'));
    expect(made.map(({ method }) => method)).toEqual([
      'bdev_lvol_create',
      'vhost_create_blk_controller',
      'bdev_malloc_create',
      'vhost_create_blk_controller',
    ]);
    expect(made[0]?.params).toMatchObject({
      lvs_name: 'LVS0',
      size_in_mib: 30,
      clear_method: 'write_zeroes',
    });
  });

  it('goes on where SPDK was cut off, before or after it did what was asked', async ({
    expect,
  }) => {
    const { context, daemon } = await openBench();
    const order = orderOf('lvol:LVS0/0');
    const prepare = async (): Promise<unknown> => await spdkKind.prepare(context, order);
    const release = async (): Promise<unknown> => await spdkKind.release(context, order);
    const clean = async (): Promise<unknown> => await spdkKind.clean(context, order);
    const acts: [string, () => Promise<unknown>][] = [
      ['bdev_lvol_create', prepare],
      ['vhost_delete_controller', release],
      ['vhost_create_blk_controller', prepare],
      ['vhost_delete_controller', release],
      ['bdev_lvol_delete', clean],
    ];
    for (const fault of ['close', 'close-after'] as const) {
      for (const [method, act] of acts) {
        daemon.faults.set(method, fault);
        await expect(act()).rejects.toMatchObject({ code: 'transient' });
        await act();
      }
      expect(daemon.controllerNames).toEqual(['VhostScsi0']);
      expect(daemon.bdevNames).toEqual(['Malloc0', 'Malloc1', 'Malloc2']);
    }
  });

  it('gives nothing that is used, gone, of another plan or beyond the room', async ({ expect }) => {
    const { context, daemon } = await openBench();
    const refused = async (key: string, order: Partial<PrepareOrder> = {}): Promise<unknown> =>
      await Promise.resolve()
        .then(() => spdkKind.prepare(context, { ...orderOf(key), ...order }))
        .then(
          () => 'given',
          (error: unknown) => (error instanceof DriverError ? error.code : error),
        );
    expect(await refused('bdev:Malloc2')).toBe('host-use');
    expect(await refused('bdev:Malloc1')).toBe('host-use');
    expect(await refused('bdev:Malloc9')).toBe('gone');
    expect(await refused('bdev:Nvme0n1')).toBe('gone');
    expect(await refused('lvol:LVS0/4')).toBe('gone');
    expect(await refused('lvol:LVS0/0', { plugs: ['pci'] })).toBe('unsupported');
    for (const index of [0, 1, 2]) await spdkKind.prepare(context, orderOf(`lvol:LVS0/${index}`));
    expect(await refused('lvol:LVS0/3')).toBe('transient');
    expect(daemon.controllerNames).toHaveLength(4);
  });

  it('wipes no whole bdev, and says so unless an operator accepts it', async ({ expect }) => {
    const { context, daemon } = await openBench();
    const order = orderOf('bdev:Malloc0');
    await spdkKind.prepare(context, order);
    await spdkKind.release(context, order);
    const clean = async (): Promise<unknown> => await spdkKind.clean(context, order);
    await expect(clean()).rejects.toMatchObject({ code: 'unsupported' });
    const { accelerator, epoch } = order;
    const accepted = { accelerator, epoch, resetless_reason: 'one tenant' };
    expect((await spdkKind.clean(context, accepted))[1]).toMatch(/accepts: one tenant$/);
    expect(daemon.bdevNames).toContain('Malloc0');
  });

  it('says health and figures of each', async ({ expect }) => {
    const { context, daemon } = await openBench();
    await spdkKind.prepare(context, orderOf('malloc:ram/0'));
    await spdkKind.prepare(context, orderOf('bdev:Malloc0'));
    daemon.ioErrors.set('Malloc0', { nomem: 7, failed: 2 });
    daemon.ioErrors.set('Malloc1', { nomem: 7 });
    const own = daemon.bdevNames.find((name) => name.startsWith('cyborg-')) ?? '';
    daemon.pull(own);
    expect(await spdkKind.health?.(context)).toMatchObject({
      'lvol:LVS0/0': { status: 'healthy' },
      'malloc:ram/0': { status: 'failed' },
      'bdev:Malloc0': { status: 'degraded', reason: '2 requests failed since SPDK started' },
      'bdev:Malloc1': { status: 'healthy' },
    });
    expect(await spdkKind.stats?.(context)).toMatchObject({
      bytes_read: 3 * 36864,
      accelerators: { 'bdev:Malloc0': { num_read_ops: 2 } },
    });
    // A bdev of that name is made anew, and the controller that lost its own with it.
    await spdkKind.prepare(context, orderOf('malloc:ram/0'));
    expect(await spdkKind.health?.(context)).toMatchObject({
      'malloc:ram/0': { status: 'healthy' },
    });
  });

  it('loses nothing without a daemon, and says that it is down', async ({ expect }) => {
    const { context, daemon, folder } = await openBench();
    const keys = (await accelerators(context)).map(({ key }) => key);
    await daemon[Symbol.asyncDispose]();
    const { devices, services } = await spdkKind.discover(context);
    const now = devices.flatMap(({ deployables }) => deployables.flatMap((o) => o.accelerators));
    expect(now.map(({ key }) => key)).toEqual(keys);
    expect(now.filter(({ offered }) => offered)).toEqual([]);
    expect(services[0]).toMatchObject({ kind: 'daemon', state: 'down' });
    expect(services[0]?.reason).toMatch(/SPDK does not answer at .*rpc\.sock/);
    expect(await spdkKind.health?.(context)).toMatchObject({
      'bdev:Malloc0': { status: 'unknown' },
    });
    const prepare = async (): Promise<unknown> =>
      await spdkKind.prepare(context, orderOf('lvol:LVS0/0'));
    await expect(prepare()).rejects.toMatchObject({ code: 'transient' });
    const never = { ...contextOf(folder), backend: 'never-seen' };
    await expect(accelerators(never)).rejects.toMatchObject({ code: 'transient' });
  });

  it('waits for no daemon that hangs', async ({ expect }) => {
    const { context, daemon } = await openBench();
    daemon.faults.set('bdev_get_bdevs', 'hang');
    const stats = async (): Promise<unknown> => await spdkKind.stats?.(context);
    await expect(stats()).rejects.toThrow('no answer to bdev_get_bdevs within 4 s');
    const cancelled = { ...context, signal: AbortSignal.abort() };
    await expect(accelerators(cancelled)).rejects.toMatchObject({ code: 'transient' });
  });

  it('refuses what is no configuration', ({ expect }) => {
    expect(() => contextOf('/tmp', { pools: [{ kind: 'raid' }] })).toThrow(/pools/);
    const twice = contextOf('/tmp', { pools: [pools[0], pools[0]] });
    expect(() => spdkKind.install?.(twice, { dryRun: false })).toThrow(/"LVS0" is there twice/);
  });

  it('is said in manifest.json as the driver says it', ({ expect }) => {
    const said = Object.entries(spdkDriver.kinds).map(([kind, { title, config, delegable }]) => ({
      kind,
      title,
      config_schema: config,
      delegable,
    }));
    expect(manifest.kinds).toEqual(said);
    expect(manifest).toMatchObject({ id: 'spdk', version: spdkDriver.version });
  });
});

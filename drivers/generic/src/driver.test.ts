import { spawn, type ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, it } from 'vitest';
import {
  CancellationTokenSource,
  createMessageConnection,
  StreamMessageReader,
  StreamMessageWriter,
  type MessageConnection,
} from 'vscode-jsonrpc/node';
import { Check } from 'typebox/value';
import { cryptoAndFpgaHost, eightGpuServer } from '@cyborg/driver-sdk/example-trees';
import {
  driverErrorCodes,
  driverRequests,
  type DriverMethod,
  type DriverParams,
  type DriverResult,
} from '@cyborg/driver-sdk/protocol';
import { buildTree } from '@cyborg/driver-sdk/tree-builder';
import manifest from '../package.json' with { type: 'json' };

const entry = fileURLToPath(new URL('./main.ts', import.meta.url));

interface Running {
  readonly child: ChildProcessWithoutNullStreams;
  readonly connection: MessageConnection;
  /** Asks, and checks the answer against the protocol. */
  ask<M extends DriverMethod>(method: M, params: DriverParams<M>): Promise<DriverResult<M>>;
}

let folder = '';
let driver: Running;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cyborg-driver-'));
  driver = start();
});
afterEach(async () => {
  driver.connection.dispose();
  if (driver.child.exitCode === null && driver.child.signalCode === null) {
    const exit = once(driver.child, 'exit');
    driver.child.kill('SIGKILL');
    await exit;
  }
  rmSync(folder, { recursive: true, force: true });
});

function start(): Running {
  const child = spawn(process.execPath, [entry], { stdio: 'pipe', env: {} });
  const connection = createMessageConnection(
    new StreamMessageReader(child.stdout),
    new StreamMessageWriter(child.stdin),
  );
  connection.listen();
  return {
    child,
    connection,
    ask: async (method, params) => {
      const result: unknown = await connection.sendRequest(method, params);
      const schema = driverRequests[method].result;
      if (!Check(schema, result)) throw new Error(`${method}: ${JSON.stringify(result)}`);
      return result as DriverResult<typeof method>;
    },
  };
}

function initialize(
  options: Partial<DriverParams<'initialize'>> = {},
): Promise<DriverResult<'initialize'>> {
  return driver.ask('initialize', {
    protocol_versions: ['1'],
    agent_version: 'test',
    host: { name: 'host', node_name: 'node' },
    roots: { sysfs: join(folder, 'sys'), proc: join(folder, 'proc'), dev: join(folder, 'dev') },
    simulated: true,
    state_dir: null,
    backends: [],
    ...options,
  });
}

const target = { backend: 'b', epoch: 1, attachment: 'at', instance: 'in' };
const plugs: DriverParams<'prepare'>['plugs'] = ['pci', 'virtio-crypto', 'virtio-rng'];

describe('the generic driver as a process', () => {
  it('says who it is, its kinds, and which keys a manager may set', async ({ expect }) => {
    const answer = await initialize();
    expect(answer.driver).toEqual({ id: 'generic', version: manifest.version });
    expect(answer.kinds.map(({ kind, delegable }) => [kind, delegable])).toEqual([
      ['pci', []],
      ['virtual', ['crypto', 'entropy', 'additional']],
      ['static', []],
    ]);
    await expect(initialize({ protocol_versions: ['99'] })).rejects.toMatchObject({
      code: driverErrorCodes.unsupported,
    });
  });

  it('gives 4 crypto and 4 entropy accelerators unless told, and a plan for each', async ({
    expect,
  }) => {
    await initialize({ backends: [{ name: 'b', kind: 'virtual', config: {} }] });
    const { devices, services } = await driver.ask('discover', { backend: 'b' });
    expect(
      devices.map(({ type, offered, deployables }) => [
        type,
        offered,
        deployables[0]?.accelerators.length,
      ]),
    ).toEqual([
      ['CRYPTO', true, 4],
      ['ENTROPY', true, 4],
    ]);
    expect(services.map(({ name, accelerators_total: total }) => [name, total])).toEqual([
      ['crypto.symmetric', 4],
      ['random.entropy', 4],
    ]);
    const prepare = { ...target, plugs };
    const crypto = await driver.ask('prepare', { ...prepare, accelerator: 'crypto-0' });
    expect(crypto).toEqual({ plan: { kind: 'virtio-crypto', queues: 1 } });
    expect(await driver.ask('prepare', { ...prepare, accelerator: 'crypto-0' })).toEqual(crypto);
    expect(await driver.ask('prepare', { ...prepare, accelerator: 'entropy-3' })).toEqual({
      plan: { kind: 'virtio-rng', source: '/dev/urandom' },
    });
    const { instance: _instance, ...release } = { ...target, accelerator: 'crypto-0' };
    expect(await driver.ask('release', release)).toEqual({});
    expect(await driver.ask('release', release)).toEqual({});
    const { attachment: _attachment, ...clean } = release;
    expect((await driver.ask('clean', clean)).evidence).toHaveLength(1);
  });

  it('takes a new configuration, and refuses what is wrong with the place and the way out', async ({
    expect,
  }) => {
    await initialize();
    const backend = { name: 'b', kind: 'virtual', config: {} };
    const install = async (config: Record<string, unknown>): Promise<unknown> =>
      await driver.ask('install', { backend: { ...backend, config }, dry_run: false });
    expect(await install({ crypto: 0, entropy: 1 })).toEqual({ status: 'ready' });
    const additional = [{ key: 'mine', function: 'crypto', name: 'My own' }];
    await install({ crypto: 0, entropy: 1, additional });
    const { devices } = await driver.ask('discover', { backend: 'b' });
    expect(
      devices.flatMap((device) => device.deployables[0]?.accelerators.map(({ name }) => name)),
    ).toEqual(['My own', 'entropy-0']);
    await expect(install({ entropy_source: '/dev/../etc/shadow' })).rejects.toThrow(
      'config.entropy_source is "/dev/../etc/shadow"; it must be one of "auto", "/dev/hwrng"',
    );
    await expect(install({ crypto: -1 })).rejects.toMatchObject({
      code: driverErrorCodes.invalid,
      message: 'config.crypto is -1; it must be between 0 and 256',
    });
    await expect(install({ additional: [...additional, ...additional] })).rejects.toThrow(
      /"mine" is taken/u,
    );
    await driver.ask('install', { backend: { ...backend, config: { crypto: 9 } }, dry_run: true });
    expect((await driver.ask('discover', { backend: 'b' })).devices).toEqual(devices);
    await driver.ask('uninstall', { backend: 'b', dry_run: false });
    expect(await driver.ask('uninstall', { backend: 'b', dry_run: false })).toEqual({
      status: 'ready',
    });
    await expect(driver.ask('discover', { backend: 'b' })).rejects.toMatchObject({
      code: driverErrorCodes.invalid,
    });
  });

  it('says why, of a backend whose configuration was wrong from the start', async ({ expect }) => {
    await initialize({
      backends: [
        { name: 'b', kind: 'virtual', config: { crypto: 'many' } },
        { name: 'good', kind: 'static', config: {} },
      ],
    });
    await expect(driver.ask('discover', { backend: 'b' })).rejects.toThrow(
      /config\.crypto is "many"/u,
    );
    expect(await driver.ask('discover', { backend: 'good' })).toEqual({
      devices: [],
      services: [],
    });
  });

  it('offers what is declared, and plugs it as declared', async ({ expect }) => {
    const uuid = '8fe851a5-00ea-4465-80f4-e5f9002cd774';
    const plan = { kind: 'mdev', uuid, parent: '0000:00:02.0', type: 'i915-GVTg' };
    const accelerators = [
      { key: 'vgpu', type: 'GPU', plan, traits: ['CUSTOM_X'] },
      { key: 'box', type: 'OTHER', name: 'A box' },
    ];
    await initialize({ backends: [{ name: 'b', kind: 'static', config: { accelerators } }] });
    const { devices } = await driver.ask('discover', { backend: 'b' });
    expect(devices.map(({ key, type, offered }) => [key, type, offered])).toEqual([
      ['vgpu', 'GPU', true],
      ['box', 'OTHER', false],
    ]);
    const order = { ...target, plugs: ['mdev' as const] };
    expect(await driver.ask('prepare', { ...order, accelerator: 'vgpu' })).toEqual({ plan });
    await expect(driver.ask('prepare', { ...order, accelerator: 'box' })).rejects.toMatchObject({
      code: driverErrorCodes.unsupported,
    });
    await expect(driver.ask('prepare', { ...order, accelerator: 'x' })).rejects.toMatchObject({
      code: driverErrorCodes.gone,
    });
  });

  it('prepares PCI functions of a simulated host, again after a restart, and of no other', async ({
    expect,
  }) => {
    buildTree(folder, eightGpuServer());
    const backends = [{ name: 'b', kind: 'pci', config: { offer: 'all' } }];
    await initialize({ backends });
    const { devices } = await driver.ask('discover', { backend: 'b' });
    const accelerator = devices.find(({ offered }) => offered)?.deployables[0]?.accelerators[0];
    const order = { ...target, plugs, accelerator: accelerator?.key ?? '' };
    const plan = { kind: 'pci', address: '0000:18:00.0' };
    expect(await driver.ask('prepare', order)).toEqual({ plan });
    const display = devices[0]?.deployables[0]?.accelerators[0]?.key ?? '';
    await expect(driver.ask('prepare', { ...order, accelerator: display })).rejects.toMatchObject({
      code: driverErrorCodes['host-use'],
    });
    driver.child.kill('SIGKILL');
    await once(driver.child, 'exit');
    driver = start();
    await initialize({ backends });
    expect(await driver.ask('prepare', order)).toEqual({ plan });
    const { plugs: _plugs, instance: _instance, attachment: _attachment, ...clean } = order;
    expect(await driver.ask('clean', clean)).toEqual({ evidence: ['simulated'] });
    await initialize({ backends, simulated: false });
    await expect(driver.ask('prepare', order)).rejects.toMatchObject({
      code: driverErrorCodes.unsupported,
    });
  });

  it('offers all on a simulated host unless told, and nothing on a real one', async ({
    expect,
  }) => {
    buildTree(folder, eightGpuServer());
    const offered = async (config: object, simulated: boolean): Promise<number> => {
      await initialize({
        backends: [{ name: 'b', kind: 'pci', config: { ...config } }],
        simulated,
      });
      const { devices } = await driver.ask('discover', { backend: 'b' });
      return devices.filter((device) => device.offered).length;
    };
    expect(await offered({}, true)).toBe(8);
    expect(await offered({ offer: 'rules' }, true)).toBe(0);
    expect(await offered({}, false)).toBe(0);
  });

  it('answers several backends, and nonsense with an error', async ({ expect }) => {
    buildTree(folder, cryptoAndFpgaHost());
    await initialize({
      backends: [
        { name: 'crypto', kind: 'pci', config: { classes: ['0b40', '10'] } },
        { name: 'fpga', kind: 'pci', config: { classes: ['12'] } },
      ],
    });
    const [crypto, fpga] = await Promise.all(
      ['crypto', 'fpga'].map((backend) => driver.ask('discover', { backend })),
    );
    expect(crypto?.devices).toHaveLength(2);
    expect(fpga?.devices).toHaveLength(2);
    await expect(driver.connection.sendRequest('discover', { backend: 7 })).rejects.toThrow(
      /params\.backend is 7; it must be of type string/u,
    );
    await expect(driver.connection.sendRequest('nonsense', {})).rejects.toThrow(/nonsense/u);
  });

  it('ends a discovery that is cancelled', async ({ expect }) => {
    buildTree(folder, eightGpuServer());
    await initialize({ backends: [{ name: 'b', kind: 'pci', config: {} }] });
    const source = new CancellationTokenSource();
    const asked = driver.connection.sendRequest('discover', { backend: 'b' }, source.token);
    source.cancel();
    await expect(asked).rejects.toThrow(/cancelled/u);
    expect((await driver.ask('discover', { backend: 'b' })).devices).toHaveLength(9);
  });

  it('ends in good order when stdin closes, and after shutdown', async ({ expect }) => {
    await initialize();
    const exit = once(driver.child, 'exit');
    driver.child.stdin.end();
    expect(await exit).toEqual([0, null]);
    driver = start();
    await initialize();
    const secondExit = once(driver.child, 'exit');
    expect(await driver.ask('shutdown', {})).toEqual({});
    expect(await secondExit).toEqual([0, null]);
  });

  it('is small at rest', async ({ expect }) => {
    buildTree(folder, eightGpuServer());
    await initialize({ backends: [{ name: 'b', kind: 'pci', config: {} }] });
    await driver.ask('discover', { backend: 'b' });
    const text = readFileSync(`/proc/${driver.child.pid}/smaps_rollup`, 'utf8');
    const kib = Number(/^Pss:\s+(\d+) kB$/mu.exec(text)?.[1]);
    expect(kib).toBeLessThan(70 * 1024);
  });
});

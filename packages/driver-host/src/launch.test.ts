import { cp, mkdir, mkdtemp, readFile, rm, symlink } from 'node:fs/promises';
import { execFileSync, spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, it } from 'vitest';
import { buildTree } from '@cyborg/driver-sdk/tree-builder';
import { systemClock } from '@cyborg/service/clock';
import { makeLogger } from '@cyborg/service/logging';
import { readPackage } from './catalogue.ts';
import { DriverProcess } from './driver-process.ts';
import { launchDriver } from './launch.ts';
import { driverLimits } from './limits.ts';
import { probeWall, type Wall } from './wall.ts';

const isRoot = process.getuid?.() === 0;
/** Not where the machine is a container that may not mount. */
const canMount = isRoot && spawnSync('unshare', ['-m', 'true']).status === 0;
const checkout = fileURLToPath(new URL('../../..', import.meta.url));
const log = makeLogger({ name: 'test', level: 'silent', clock: systemClock });

/** What a driver needs of a checkout, in a folder of mode 0700. */
async function makeClosedCheckout(): Promise<{ root: string } & AsyncDisposable> {
  const root = await mkdtemp(join(tmpdir(), 'closed-checkout-'));
  await mkdir(join(root, 'node_modules', '@cyborg'), { recursive: true });
  for (const name of ['vscode-jsonrpc', 'typebox', 'yaml']) {
    await cp(join(checkout, 'node_modules', name), join(root, 'node_modules', name), {
      recursive: true,
    });
  }
  const parts = ['packages/driver-sdk', 'drivers/generic'];
  // What another test builds there meanwhile comes and goes.
  const filter = (path: string): boolean => !basename(path).startsWith('dist');
  for (const part of parts) {
    await cp(join(checkout, part), join(root, part), { recursive: true, filter });
  }
  await symlink('../../packages/driver-sdk', join(root, 'node_modules', '@cyborg', 'driver-sdk'));
  const gpu = { address: '0000:21:00.0', vendor: 0x10de, device: 0x2330, class: 0x030200 };
  buildTree(join(root, 'tree'), { functions: [gpu] });
  return { root, [Symbol.asyncDispose]: async () => rm(root, { recursive: true, force: true }) };
}

interface Greeted {
  readonly driver: string;
  readonly devices: number;
  readonly functions: number;
}

interface GreetOptions {
  /** In place of what this machine allows. */
  readonly wall?: Wall;
  /** With the process's id, while it runs. */
  readonly meanwhile?: (pid: number) => Promise<void>;
}

async function greet(root: string, options: GreetOptions = {}): Promise<Greeted> {
  const pkg = await readPackage(join(root, 'drivers', 'generic'));
  const tree = join(root, 'tree', 'sys');
  const launched = await launchDriver(pkg, {
    wall: options.wall ?? (await probeWall(0, log)),
    execPath: process.execPath,
    roots: { sysfs: tree, proc: tree, dev: tree },
    stateDir: join(root, 'state'),
  });
  const driver = new DriverProcess({
    child: launched.child,
    label: 'generic',
    clock: systemClock,
    limits: driverLimits,
    onNotification: () => undefined,
    onRequest: async () => ({}),
  });
  const { driver: who } = await driver.call('initialize', {
    protocol_versions: ['1'],
    agent_version: '0',
    host: { name: 'h', node_name: 'h' },
    roots: launched.roots,
    simulated: true,
    state_dir: launched.stateDir,
    backends: [
      { name: 'v', kind: 'virtual', config: {} },
      { name: 'p', kind: 'pci', config: {} },
    ],
  });
  const { devices } = await driver.call('discover', { backend: 'v' });
  // Read by a process of the driver's, behind the same wall.
  const { devices: functions } = await driver.call('discover', { backend: 'p' });
  try {
    if (launched.child.pid !== undefined) await options.meanwhile?.(launched.child.pid);
  } finally {
    await driver.stop();
  }
  return { driver: who.id, devices: devices.length, functions: functions.length };
}

describe.runIf(isRoot)('a driver in a checkout closed to others', () => {
  it('is reached when only the way to it is closed', async ({ expect }) => {
    await using closed = await makeClosedCheckout();
    expect(await greet(closed.root)).toEqual({ driver: 'generic', devices: 2, functions: 1 });
  });

  it('is reached when every file in it is closed', async ({ expect }) => {
    await using closed = await makeClosedCheckout();
    execFileSync('chmod', ['-R', 'go-rwx', closed.root]);
    expect(await greet(closed.root)).toEqual({ driver: 'generic', devices: 2, functions: 1 });
  });
});

/** Mounts whose comings and goings are told to other namespaces, as systemd sets up a host's; two of them. */
async function makeSharedMounts(): Promise<{ top: string; data: string } & AsyncDisposable> {
  const top = await mkdtemp(join(tmpdir(), 'shared-mounts-'));
  const data = join(top, 'data');
  const remove = async (): Promise<void> => {
    spawnSync('umount', ['-R', '-l', top]);
    await rm(top, { recursive: true, force: true });
  };
  try {
    execFileSync('mount', ['-t', 'tmpfs', 'cyborg-test', top]);
    execFileSync('mount', ['--make-shared', top]);
    await mkdir(data);
    await mkdir(join(top, 'drivers'));
    execFileSync('mount', ['-t', 'tmpfs', 'cyborg-test', data]);
  } catch (error) {
    await remove();
    throw error;
  }
  return { top, data, [Symbol.asyncDispose]: remove };
}

async function mountsOf(who: number | 'self'): Promise<string[]> {
  const table = await readFile(`/proc/${who}/mountinfo`, 'utf8');
  return table.split('\n').flatMap((line) => line.split(' ')[4] ?? []);
}

describe.runIf(canMount)('a driver with mounts of its own (root that may mount)', () => {
  it('keeps no file system of the host that is unmounted, and shows the host none of its own', async ({
    expect,
  }) => {
    await using closed = await makeClosedCheckout();
    await using host = await makeSharedMounts();
    const mountPoint = join(host.top, 'drivers');
    const wall = { ...(await probeWall(0, log)), mountPoint };
    const meanwhile = async (pid: number): Promise<void> => {
      const before = await mountsOf(pid);
      expect(before).toEqual(expect.arrayContaining([host.data, mountPoint]));
      expect(await mountsOf('self')).not.toContain(mountPoint);
      execFileSync('umount', [host.data]);
      expect(await mountsOf(pid)).not.toContain(host.data);
    };
    await greet(closed.root, { wall, meanwhile });
    expect.assertions(3);
  });
});

describe('a driver', () => {
  it('starts from this checkout', async ({ expect }) => {
    const pkg = await readPackage(join(checkout, 'drivers', 'generic'));
    expect(pkg).toMatchObject({ id: 'generic', codeRoot: checkout.replace(/\/$/, '') });
  });
});

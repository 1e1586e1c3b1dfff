import { cp, mkdir, mkdtemp, rm, symlink } from 'node:fs/promises';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, it } from 'vitest';
import { buildTree } from '@cyborg/driver-sdk/tree-builder';
import { systemClock } from '@cyborg/service/clock';
import { makeLogger } from '@cyborg/service/logging';
import { readPackage } from './catalogue.ts';
import { DriverProcess } from './driver-process.ts';
import { launchDriver } from './launch.ts';
import { driverLimits } from './limits.ts';
import { probeWall } from './wall.ts';

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
  for (const part of parts) await cp(join(checkout, part), join(root, part), { recursive: true });
  await symlink('../../packages/driver-sdk', join(root, 'node_modules', '@cyborg', 'driver-sdk'));
  const gpu = { address: '0000:21:00.0', vendor: 0x10de, device: 0x2330, class: 0x030200 };
  buildTree(join(root, 'tree'), { functions: [gpu] });
  return { root, [Symbol.asyncDispose]: async () => rm(root, { recursive: true, force: true }) };
}

async function greet(
  root: string,
): Promise<{ driver: string; devices: number; functions: number }> {
  const pkg = await readPackage(join(root, 'drivers', 'generic'));
  const tree = join(root, 'tree', 'sys');
  const launched = await launchDriver(pkg, {
    wall: await probeWall(process.getuid?.() ?? 0, log),
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
  await driver.stop();
  return { driver: who.id, devices: devices.length, functions: functions.length };
}

describe.runIf(process.getuid?.() === 0)('a driver in a checkout closed to others', () => {
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

describe('a driver', () => {
  it('starts from this checkout', async ({ expect }) => {
    const pkg = await readPackage(join(checkout, 'drivers', 'generic'));
    expect(pkg).toMatchObject({ id: 'generic', codeRoot: checkout.replace(/\/$/, '') });
  });
});

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { toJson } from '@cyborg/store/json';
import { makeTestClock } from '@cyborg/testing/clock';
import { openTestDatabase } from '@cyborg/testing/database';
import { addAccelerators, addBackend, addHost, callerOf } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { makeAcceleratorCreationHandlers } from '../accelerators/creation-handlers.ts';
import { registerBuiltinDrivers, type BuiltinManifest } from '../ledger/builtin-drivers.ts';
import { makeTestDeps } from '../test-deps.ts';
import { makeDeploymentHandlers } from './handlers.ts';

const manifestFile = join(import.meta.dirname, '../../../../drivers/generic/manifest.json');
const generic: BuiltinManifest = JSON.parse(readFileSync(manifestFile, 'utf8'));
const admin = callerOf('admin', 'ops');
const params = { driver_id: 'generic' };

async function setUp() {
  const database = await openTestDatabase();
  const { db } = database;
  const deps = makeTestDeps({ db, clock: makeTestClock() });
  await registerBuiltinDrivers(deps, [{ ...generic, version: '1.0.0' }]);
  const host = await addHost(db, { name: 'h' });
  const handlers = makeDeploymentHandlers(deps);
  const install = (name: string, kind: string, config?: Record<string, unknown>) =>
    handlers.installDriver(admin, {
      params,
      query: {},
      body: { backends: [{ name, kind, config }] },
    });
  const update = (name: string, config: Record<string, unknown>) =>
    handlers.updateDriver(admin, { params, query: {}, body: { backends: [{ name, config }] } });
  const { createAccelerator } = makeAcceleratorCreationHandlers(deps);
  const create = (backend: string, item: Record<string, unknown>) =>
    createAccelerator(admin, { params: {}, query: {}, body: { backend, item } });
  return { database, db, host, install, update, create };
}

const gpu = (address: string, key = address) => ({
  key,
  type: 'GPU',
  plan: { kind: 'pci', address },
});
const overlap = (...backends: string[]) => ({ code: 'backend-overlap', extra: { backends } });

describe('declared accelerators', () => {
  it('are refused when a backend has them already, at install and at update', async ({
    expect,
  }) => {
    const { database, db, host, install, update } = await setUp();
    await using _ = database;
    await install('one', 'static', { accelerators: [gpu('0000:21:00.0')] });
    const again = { accelerators: [gpu('00000000:21:00.0', 'x')] };
    await expect(install('two', 'static', again)).rejects.toMatchObject(overlap('one', 'two'));
    await expect(install('two', 'static', again)).rejects.toThrow('PCI function 0000:21:00.0');
    await install('two', 'static', { accelerators: [] });
    await expect(update('two', again)).rejects.toMatchObject(overlap('one', 'two'));
    const rules = { classes: [], rules: [{ address: '0000:21:*' }] };
    await expect(install('pci', 'pci', rules)).rejects.toMatchObject(overlap('one', 'pci'));
    await install('pci', 'pci', { classes: ['03'], rules: [] });
    // A virtual function, which only the ledger knows.
    const pci = await addBackend(db, host, { name: 'pci', kind: 'pci' });
    await addAccelerators(db, pci, {
      count: 1,
      attach_info: toJson({ domain: '0000', bus: '3b', device: '00', function: '1' }),
    });
    await expect(update('two', { accelerators: [gpu('0000:3b:00.1')] })).rejects.toMatchObject(
      overlap('pci', 'two'),
    );
    await update('two', { accelerators: [gpu('0000:3b:00.2')] });
  });

  it('twice in one backend are refused', async ({ expect }) => {
    const { database, install } = await setUp();
    await using _ = database;
    const accelerators = [gpu('0000:21:00.0', 'a'), gpu('0000:21:00.0', 'b')];
    await expect(install('one', 'static', { accelerators })).rejects.toThrow(
      'backend one: config.accelerators: "a" and "b" both declare PCI function 0000:21:00.0',
    );
  });

  it('are compared when they are created by request, too', async ({ expect }) => {
    const { database, db, host, install, create } = await setUp();
    await using _ = database;
    await install('one', 'static', { accelerators: [gpu('0000:21:00.0')] });
    await install('two', 'static', {});
    const config = toJson({ accelerators: [gpu('0000:21:00.0')] });
    await addBackend(db, host, { name: 'one', kind: 'static', config });
    await addBackend(db, host, { name: 'two', kind: 'static' });
    await expect(create('h@two', gpu('0000:21:00.0', 'x'))).rejects.toMatchObject(
      overlap('one', 'two'),
    );
    await create('h@two', gpu('0000:22:00.0', 'x'));
    await expect(create('h@two', gpu('0000:22:00.0', 'y'))).rejects.toThrow(/"x" and "y" both/);
    await expect(
      install('three', 'static', { accelerators: [gpu('0000:22:00.0')] }),
    ).rejects.toMatchObject(overlap('two', 'three'));
  });

  it.for([
    [{ kind: 'pci', address: '21:00.0' }, /accelerators\.0\.plan\.address is "21:00\.0".*PCI addr/],
    [{ kind: 'mdev', uuid: 'u', parent: 'mtty', type: 't' }, /plan\.uuid is "u".*the UUID/],
    [{ kind: 'virtio-rng', source: '/etc/shadow' }, /plan\.source is .*\/dev\/hwrng, \/dev\/ur/],
    [{ kind: 'pcie' }, /plan is \{"kind":"pcie"\}.*pci, mdev, usb/],
  ] as const)('of a wrong form name what is wrong: %j', async ([plan, message], { expect }) => {
    const { database, install } = await setUp();
    await using _ = database;
    const accelerators = [{ key: 'a', type: 'GPU', plan }];
    await expect(install('one', 'static', { accelerators })).rejects.toThrow(message);
  });
});

describe('an installed backend', () => {
  it('asked for with another kind is refused with both kinds and the way out', async ({
    expect,
  }) => {
    const { database, install } = await setUp();
    await using _ = database;
    await install('one', 'pci', { classes: ['03'] });
    const asked = install('one', 'virtual');
    await expect(asked).rejects.toMatchObject({ code: 'already-exists' });
    await expect(asked).rejects.toThrow(
      /backend one: is installed with kind pci, and this asks for kind virtual: .*uninstall-driver generic --backend one/,
    );
  });

  it('takes entropy from a random device alone', async ({ expect }) => {
    const { database, install, update } = await setUp();
    await using _ = database;
    const config = { entropy_source: '/dev/../etc/shadow' };
    const message =
      'config.entropy_source is "/dev/../etc/shadow": it must be one of auto, /dev/hwrng, /dev/urandom, /dev/random.';
    await expect(install('soft', 'virtual', config)).rejects.toThrow(message);
    await install('soft', 'virtual');
    await expect(update('soft', config)).rejects.toThrow(message);
  });
});

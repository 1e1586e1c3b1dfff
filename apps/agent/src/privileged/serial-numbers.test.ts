import { randomUUID } from 'node:crypto';
import { existsSync } from 'node:fs';
import { chmod, mkdtemp, rename, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { buildTree, pathOf, type FunctionDescription } from '@cyborg/driver-sdk/tree-builder';
import { systemClock } from '@cyborg/service/clock';
import { makeLogger } from '@cyborg/service/logging';
import { afterEach, beforeEach, describe, it } from 'vitest';

import { TestHost, makeBackend, makeInstallation } from '../../test/agent-under-test.ts';
import { FakeServer } from '../../test/fake-server.ts';
import { Looks } from './looks.ts';
import { SerialNumbers } from './serial-numbers.ts';

const isRoot = process.getuid?.() === 0;
const builtInDrivers = fileURLToPath(new URL('../../../../drivers', import.meta.url));
const log = makeLogger({ name: 'test', level: 'silent', clock: systemClock });

const gpu = { vendor: 0x10de, device: 0x2330, class: 0x030200 };
const slot = '0000:21:00.0';
const otherSlot = '0000:41:00.0';
/** `SN` is 4711. */
const vpd = Buffer.from([0x90, 7, 0, 0x53, 0x4e, 4, 0x34, 0x37, 0x31, 0x31, 0x78]);

let folder = '';
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cyborg-numbers-'));
  await chmod(folder, 0o755);
});
afterEach(async () => await rm(folder, { recursive: true, force: true }));

const host = (): string => join(folder, 'host');

/** Cards whose numbers are root's to read, as the kernel has it. */
async function put(...functions: FunctionDescription[]): Promise<string> {
  // Not removed: what comes next has folders of its own, with other numbers than these.
  if (existsSync(host())) await rename(host(), join(folder, randomUUID()));
  const { sysfs } = buildTree(host(), { functions });
  for (const fn of functions) await chmod(join(host(), pathOf(fn), 'config'), 0o600);
  return sysfs;
}

describe('numbers of cards', () => {
  const numbers = (sysfs: string, simulated = false): SerialNumbers =>
    new SerialNumbers({
      looks: new Looks({ clock: systemClock, log }),
      simulated,
      roots: { sysfs },
    });

  it('are those of the configuration space and of the VPD, of what is there', async ({
    expect,
  }) => {
    const withSerial = { ...gpu, address: slot, serial: 0x0011223344556677n };
    const sysfs = await put(withSerial, { ...gpu, address: otherSlot });
    await writeFile(join(host(), pathOf({ ...gpu, address: otherSlot }), 'vpd'), vpd);
    const { functions } = await numbers(sysfs).read('b', [slot, otherSlot, '0000:99:00.0']);
    expect(functions).toEqual([
      { address: slot, dsn: '00-11-22-33-44-55-66-77', vpd: {} },
      { address: otherSlot, dsn: null, vpd: { SN: '4711' } },
    ]);
  });

  it('are read once for as long as the card is there', async ({ expect }) => {
    const card = { ...gpu, address: slot, serial: 0x0011223344556677n };
    const told = numbers(await put(card));
    const [first] = (await told.read('b', [slot])).functions;
    await writeFile(join(host(), pathOf(card), 'config'), Buffer.alloc(4096));
    expect((await told.read('b', [slot])).functions).toEqual([first]);
    await put({ ...card, serial: 0x0011223344556688n });
    expect((await told.read('b', [slot])).functions).toMatchObject([
      { dsn: '00-11-22-33-44-55-66-88' },
    ]);
  });

  it('of a recorded machine are what its recording shows to everybody', async ({ expect }) => {
    const sysfs = await put({ ...gpu, address: slot, serial: 0x0011223344556677n });
    expect(await numbers(sysfs, true).read('b', [slot])).toEqual({ functions: [] });
  });
});

describe.runIf(isRoot)('a card with a serial number that only root may read', () => {
  it('is the same accelerator in another slot to a driver that is nobody', async ({ expect }) => {
    const card = { ...gpu, serial: 0x0011223344556677n };
    const sysfs = await put({ ...card, address: slot });
    await using server = await FakeServer.start();
    await using agent = await TestHost.make(server);
    const backend = makeBackend({ name: 'gpus', kind: 'pci', config: { offer: 'all' } });
    const installation = makeInstallation([backend], { driver_id: 'generic', version: '0.1.0' });
    server.installations = [installation];
    const roots = { sysfs, proc: '/proc', dev: '/dev' };
    await agent.start({ roots, simulated: false, driversDirs: [builtInDrivers] });
    const found = (): unknown => server.inventories.get(backend.id)?.devices[0];
    await server.until('listed', () => found() !== undefined);
    const known = {
      key: 'pci-10de-2330-00-11-22-33-44-55-66-77-f0',
      serial: '00-11-22-33-44-55-66-77',
    };
    expect(found()).toMatchObject({ ...known, address: slot });

    await put({ ...card, address: otherSlot });
    server.installations = [{ ...installation, backends: [{ ...backend, discovery: 1 }] }];
    server.changed();
    await server.until('moved', () => JSON.stringify(found()).includes(otherSlot));
    expect(found()).toMatchObject({ ...known, address: otherSlot });
    expect(server.violations).toEqual([]);
  });
});

import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildTree } from '@cyborg/driver-sdk/tree-builder';
import { describe, it } from 'vitest';
import { TestHost, makeBackend, makeInstallation } from '../../test/agent-under-test.ts';
import { FakeServer } from '../../test/fake-server.ts';

const builtInDrivers = fileURLToPath(new URL('../../../../drivers', import.meta.url));
const address = '0000:23:00.0';
/** A drive that a guest has; its number is its kernel driver's to read. */
const given = {
  address,
  vendor: 0x1b36,
  device: 0x0010,
  class: 0x010802,
  driver: 'vfio-pci',
  iommuGroup: 9,
  attributes: { driver_override: 'vfio-pci\n' },
};
const key = 'pci-1b36-0010-CARD7-f0';

describe('a drive that a guest has', () => {
  it.for([
    ['of which an agent without notes knows what the ledger says', []],
    [
      'bound again when its host was started anew, of which the notes say it',
      [{ accelerator: key }],
    ],
  ] as const)('%s, has its key and is not used by the host', async ([, notes], { expect }) => {
    const folder = await mkdtemp(join(tmpdir(), 'cyborg-replaced-'));
    await using tree = new AsyncDisposableStack();
    tree.defer(async () => rm(folder, { recursive: true, force: true }));
    await chmod(folder, 0o755);
    const { sysfs } = buildTree(folder, { functions: [given] });
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server);
    const config = { classes: ['0108'], offer: 'all', unbind: 'idle' };
    const backend = makeBackend({ name: 'drives', kind: 'pci', config });
    server.installations = [
      makeInstallation([backend], { driver_id: 'generic', version: '0.1.0' }),
    ];
    server.taken = [{ backend_id: backend.id, accelerator_key: key, address }];
    const bound = { address, backend: backend.id, ids: '0x1b36:0x0010', boundTo: 'vfio-pci' };
    const before = { driver: 'nvme', override: null, heldFor: [address] };
    const functions = notes.map((note) => ({ ...bound, ...before, ...note }));
    if (functions.length > 0) {
      await writeFile(join(host.folder, 'bindings.json'), JSON.stringify({ functions }));
    }
    const roots = { sysfs, proc: '/proc', dev: '/dev' };
    await host.start({ roots, simulated: false, driversDirs: [builtInDrivers] });
    await server.until('ready', () => server.backendState(backend.id) === 'ready');
    const devices = server.inventories.get(backend.id)?.devices;
    expect(devices).toMatchObject([{ key, serial: 'CARD7', address }]);
    expect(JSON.stringify(devices)).not.toContain('not by this agent');
    expect(server.violations).toEqual([]);
  });
});

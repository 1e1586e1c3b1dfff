import { chmod, mkdtemp, rm } from 'node:fs/promises';
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

describe('an agent that was put in place of another, without its state', () => {
  it('lists what guests have as the ledger knows it, not used by the host', async ({ expect }) => {
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
    const roots = { sysfs, proc: '/proc', dev: '/dev' };
    await host.start({ roots, simulated: false, driversDirs: [builtInDrivers] });
    await server.until('ready', () => server.backendState(backend.id) === 'ready');
    const devices = server.inventories.get(backend.id)?.devices;
    expect(devices).toMatchObject([{ key, serial: 'CARD7', address }]);
    expect(JSON.stringify(devices)).not.toContain('not by this agent');
    expect(server.violations).toEqual([]);
  });
});

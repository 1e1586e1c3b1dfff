import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, it } from 'vitest';
import { buildTree, type FunctionDescription } from '@cyborg/driver-sdk/tree-builder';
import {
  TestHost,
  makeBackend,
  makeInstallation,
  testDrivers,
} from '../../test/agent-under-test.ts';
import { blockFile, whyNoBlockedFile } from '../../test/blocked-file.ts';
import { FakeServer } from '../../test/fake-server.ts';

const builtInDrivers = fileURLToPath(new URL('../../../../drivers', import.meta.url));
const reason = whyNoBlockedFile();

const gpu = (address: string): FunctionDescription => ({
  address,
  vendor: 0x10de,
  device: 0x2330,
  class: 0x030200,
  numaNode: 1,
});

async function makeTree(): Promise<{ folder: string } & AsyncDisposable> {
  const folder = await mkdtemp(join(tmpdir(), 'cyborg-blocked-'));
  await chmod(folder, 0o755); // as /sys is: the driver sees the tree itself
  buildTree(folder, { functions: [gpu('0000:21:00.0'), gpu('0000:22:00.0')] });
  return {
    folder,
    [Symbol.asyncDispose]: async () => rm(folder, { recursive: true, force: true }),
  };
}

describe.skipIf(reason !== undefined)(`a sysfs file that blocks (${reason ?? 'by FUSE'})`, () => {
  it('costs its backend that file alone, and other backends nothing', async ({ expect }) => {
    await using tree = await makeTree();
    const { folder } = tree;
    const path = join(folder, 'sys/devices/pci0000:21/0000:21:00.0/numa_node');
    using _blocked = blockFile(path);
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server);
    const pci = makeBackend({ name: 'gpus', kind: 'pci' });
    const virtual = makeBackend({ name: 'virtual', kind: 'virtual' });
    const other = makeBackend({ name: 'other' });
    server.installations = [
      makeInstallation([pci, virtual], { driver_id: 'generic', version: '0.1.0' }),
      makeInstallation([other]),
    ];
    const roots = { sysfs: `${folder}/sys`, proc: `${folder}/proc`, dev: `${folder}/dev` };
    await host.start({ roots, driversDirs: [builtInDrivers, testDrivers] });

    await server.until('the others', () =>
      [virtual, other].every(({ id }) => server.backendState(id) === 'ready'),
    );
    await server.until('ready', () => server.backendState(pci.id) === 'ready');
    const devices = server.inventories.get(pci.id)?.devices ?? [];
    expect(devices.map(({ address, numa_node: node }) => [address, node])).toEqual([
      ['0000:21:00.0', null],
      ['0000:22:00.0', 1],
    ]);
    expect(devices[0]).toMatchObject({ info: { unreadable: `${path} does not answer` } });
    expect(devices[1]).not.toHaveProperty('info.unreadable');
    expect(server.violations).toEqual([]);
  });
});

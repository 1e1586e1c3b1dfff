import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'vitest';
import type { AgentMethod } from '@cyborg/driver-sdk/protocol';
import { buildTree, type FunctionDescription, type Leaf } from '@cyborg/driver-sdk/tree-builder';
import { systemClock } from '@cyborg/service/clock';
import { makeLogger } from '@cyborg/service/logging';
import { makeBackend } from '../../test/agent-under-test.ts';
import { Backend } from '../driver-host/backend.ts';
import { hostCommands } from '../host-needs/commands.ts';
import { HostPreparation } from '../host-needs/host-preparation.ts';
import { PrivilegedActs } from './acts.ts';
import type { Binding, Unprobed } from './bindings.ts';
import { Permits } from './permits.ts';

const address = '0000:21:00.0';
const other = '0000:21:00.1';
const gpu: FunctionDescription = {
  address,
  vendor: 0x10de,
  device: 0x1eb8,
  class: 0x030200,
  iommuGroup: 7,
};

/** One process, in the namespace in which every process is seen. */
const quietProc = {
  '/proc/self/ns/pid': { linkText: 'pid:[4026531836]' },
  '/proc/self/mountinfo': '22 1 0:5 / / rw - tmpfs tmpfs rw\n',
  '/proc/swaps': 'Filename Type Size Used Priority\n',
  '/proc/crypto': 'name : sha256\nmodule : kernel\nrefcnt : 1\n',
  '/proc/77/fd/0': { linkText: '/dev/null' },
  '/proc/77/comm': 'sh\n',
};

interface Host extends AsyncDisposable {
  readonly act: (method: AgentMethod, params?: object) => Promise<object>;
  readonly read: (path: string) => Promise<string>;
  readonly root: string;
}

/** A host in whose inventory the first of these functions is, and an order about it is being carried out. */
async function makeHost({
  functions,
  files = {},
  bindings = [],
  unprobed = [],
}: {
  readonly functions: readonly FunctionDescription[];
  readonly files?: Readonly<Record<string, Leaf>>;
  readonly bindings?: readonly Omit<Binding, 'backend'>[];
  readonly unprobed?: readonly Unprobed[];
}): Promise<Host> {
  const root = await mkdtemp(join(tmpdir(), 'cyborg-acts-'));
  const { sysfs } = buildTree(root, { functions, files: { ...quietProc, ...files } });
  await mkdir(join(root, 'state'));
  const backend = new Backend(makeBackend({ id: randomUUID() }), () => undefined);
  const { id } = backend.wanted;
  const notes = bindings.map((note) => ({ ...note, backend: id }));
  await writeFile(
    join(root, 'state', 'bindings.json'),
    JSON.stringify({ functions: notes, unprobed }),
  );
  backend.setInventory(inventoryOf(functions[0]?.address ?? address));
  const permits = new Permits();
  permits.grant(id, 'fn');
  const world = {
    clock: systemClock,
    log: makeLogger({ name: 'test', level: 'silent', clock: systemClock }),
    simulated: false,
    roots: { sysfs, proc: join(root, 'proc'), dev: '/dev' },
    stateDir: join(root, 'state'),
  };
  const policy = { hostRoot: root, allowedModules: [], commands: hostCommands };
  const acts = new PrivilegedActs({
    ...world,
    timeoutMs: 30_000,
    permits,
    lease: { isHeld: () => true },
    preparation: new HostPreparation({ ...world, ...policy }),
  });
  return {
    act: async (method, params = {}) =>
      await acts.do(
        method,
        { backend: 'demo', address: functions[0]?.address, ...params },
        backend,
      ),
    read: async (path) => await readFile(join(root, path), 'utf8'),
    root,
    [Symbol.asyncDispose]: async () => await rm(root, { recursive: true, force: true }),
  };
}

function inventoryOf(at: string): Parameters<Backend['setInventory']>[0] {
  const [domain = '', bus = '', slot = '', fn = ''] = at.split(/[:.]/u);
  const accelerator = {
    key: 'fn',
    name: 'fn',
    type: 'GPU' as const,
    plans: ['pci' as const],
    offered: true,
    reason: null,
    host_use: null,
    attach_info: { domain, bus, device: slot, function: fn },
  };
  const deployable = { key: 'd', name: 'd', resource_class: 'PGPU', traits: [] };
  const device = {
    key: 'card',
    address: at,
    vendor_id: '0x10de',
    device_id: '0x1eb8',
    class: '0x030200',
    type: 'GPU' as const,
    vendor: null,
    model: null,
    serial: null,
    numa_node: null,
    iommu_group: null,
    kernel_driver: null,
    offered: true,
    reason: null,
    health: { status: 'healthy' as const, reason: null },
    info: {},
    deployables: [{ ...deployable, accelerators: [accelerator] }],
  };
  return { devices: [device], services: [] };
}

function boundFor(heldFor: readonly string[], at: string): Omit<Binding, 'backend'> {
  const found = { driver: null, override: null };
  return {
    address: at,
    ids: '0x10de:0x1eb8',
    ...found,
    boundTo: 'vfio-pci',
    heldFor: [...heldFor],
  };
}

describe('a reset', () => {
  it('of a physical function is refused while it has virtual ones, which a guest may have', async ({
    expect,
  }) => {
    const virtual = '0000:21:00.4';
    const vfs = { device: 0x1eb8, addresses: [virtual], driver: 'vfio-pci', iommuGroup: 8 };
    await using host = await makeHost({
      functions: [{ ...gpu, resetMethods: 'flr', vfs, attributes: { reset: '' } }],
      bindings: [boundFor([virtual], virtual)],
    });
    await expect(host.act('reset')).rejects.toMatchObject({
      failure: 'host-use',
      message: expect.stringMatching(/its 1 virtual functions would be reset with it/u),
    });
    expect(await host.read(`sys/bus/pci/devices/${address}/reset`)).toBe('');
  });

  it('waits while a program has the function open through VFIO, which is named', async ({
    expect,
  }) => {
    // The number of /dev/null, which the process of the tree has open.
    const below = { 'vfio-dev/vfio0/dev': '1:3\n' };
    const attributes = { reset: '' };
    await using host = await makeHost({
      functions: [{ ...gpu, driver: 'vfio-pci', resetMethods: 'flr', below, attributes }],
      bindings: [boundFor([address], address)],
    });
    await expect(host.act('reset')).rejects.toMatchObject({
      failure: 'transient',
      message: `${address} is not reset: sh (pid 77) has c1:3 open.`,
    });
    expect(await host.read(`sys/bus/pci/devices/${address}/reset`)).toBe('');
  });
});

describe('a reset of a bus', () => {
  const port = '0000:20:00.0';
  const behind = [port];
  const given = { ...gpu, behind, driver: 'vfio-pci', resetMethods: 'bus' };
  const bridge = { ...gpu, address: port, class: 0x060400, driver: 'pcieport' };
  const subordinate = `sys/bus/pci/devices/${port}/reset_subordinate`;
  const withReset = { ...bridge, attributes: { reset_subordinate: '' } };
  const bus = { scope: 'bus' };

  it('is done when all behind the bridge was bound for the one that asks', async ({ expect }) => {
    await using host = await makeHost({
      functions: [given, { ...given, address: other }, withReset],
      bindings: [boundFor([address], address), boundFor([address], other)],
    });
    expect(await host.act('reset', bus)).toEqual({ method: 'bus' });
    expect(await host.read(subordinate)).toBe('1');
  });

  it.for([
    ['another attachment', 'vfio-pci', [boundFor([other], other)]],
    ['the host', 'nouveau', []],
  ] as const)(
    'is refused with the name of what belongs to %s',
    async ([, driver, bindings], { expect }) => {
      await using host = await makeHost({
        functions: [given, { ...given, address: other, iommuGroup: 8, driver }, withReset],
        bindings: [boundFor([address], address), ...bindings],
      });
      await expect(host.act('reset', bus)).rejects.toMatchObject({
        failure: 'host-use',
        message: `A bus reset of ${address} would reset what was not bound for it alone: ${other} (${driver}).`,
      });
      expect(await host.read(subordinate)).toBe('');
    },
  );

  it('is not what a function is reset by while others are behind its bridge', async ({
    expect,
  }) => {
    await using host = await makeHost({
      functions: [{ ...given, attributes: { reset: '' } }, { ...given, address: other }, bridge],
      bindings: [boundFor([address], address), boundFor([address], other)],
    });
    await expect(host.act('reset')).rejects.toMatchObject({
      failure: 'unsupported',
      message: `${address} cannot be reset by itself: its methods are bus, and a bus reset would reset others.`,
    });
    expect(await host.read(`sys/bus/pci/devices/${address}/reset`)).toBe('');
  });
});

describe('virtual functions', () => {
  const virtual = '0000:21:00.4';
  const card = { ...gpu, attributes: { sriov_drivers_autoprobe: '1\n' } };
  const numvfs = `sys/bus/pci/devices/${address}/sriov_numvfs`;

  it('are made without a driver, and those that the host makes later get theirs', async ({
    expect,
  }) => {
    await using host = await makeHost({ functions: [{ ...card, totalVfs: 4 }] });
    await host.act('setVfCount', { count: 2 });
    expect(await host.read(numvfs)).toMatch(/^2/u);
    expect(await host.read(`sys/bus/pci/devices/${address}/sriov_drivers_autoprobe`)).toMatch(
      /^1/u,
    );
  });

  it('made half-way by an agent before: those of the host get their drivers again with the next look', async ({
    expect,
  }) => {
    const off = { ...gpu, attributes: { sriov_drivers_autoprobe: '0\n' } };
    const second = { ...off, address: other };
    const third = { ...off, address: '0000:22:00.0', device: 0x2330 };
    const note = (at: string): Unprobed => ({ address: at, ids: '0x10de:0x1eb8' });
    await using host = await makeHost({
      functions: [off, second, third],
      // Another card is where one was, and one is gone.
      unprobed: [note(address), note(third.address), note('0000:23:00.0')],
    });
    expect(await host.act('listBound')).toEqual({ functions: [] });
    const autoprobe = (at: string): Promise<string> =>
      host.read(`sys/bus/pci/devices/${at}/sriov_drivers_autoprobe`);
    expect((await autoprobe(address))[0]).toBe('1');
    expect(await autoprobe(other)).toBe('0\n');
    expect(await autoprobe(third.address)).toBe('0\n');
    expect(JSON.parse(await host.read('state/bindings.json'))).toMatchObject({ unprobed: [] });
  });

  it('are made for guests, and the host’s get their drivers again, also after a death half-way', async ({
    expect,
  }) => {
    const off = { ...gpu, totalVfs: 4, attributes: { sriov_drivers_autoprobe: '0\n' } };
    await using host = await makeHost({
      functions: [off],
      unprobed: [{ address, ids: '0x10de:0x1eb8' }],
    });
    await host.act('setVfCount', { count: 3 });
    expect(await host.read(numvfs)).toMatch(/^3/u);
    expect((await host.read(`sys/bus/pci/devices/${address}/sriov_drivers_autoprobe`))[0]).toBe(
      '1',
    );
  });

  it('are not made when it cannot be noted before that the host’s get no drivers', async ({
    expect,
  }) => {
    await using host = await makeHost({ functions: [{ ...card, totalVfs: 4 }] });
    await host.act('listBound');
    const notes = join(host.root, 'state/bindings.json');
    await rm(notes);
    await mkdir(notes);
    await expect(host.act('setVfCount', { count: 2 })).rejects.toThrow(/EISDIR/u);
    expect(await host.read(numvfs)).toBe('0\n');
    expect(await host.read(`sys/bus/pci/devices/${address}/sriov_drivers_autoprobe`)).toBe('1\n');
  });

  it('keep their number while one of them is in use, which is named', async ({ expect }) => {
    const vfs = { device: 0x1eb8, addresses: [virtual], driver: 'vfio-pci', iommuGroup: 8 };
    await using host = await makeHost({
      functions: [{ ...card, totalVfs: 4, vfs }],
      bindings: [boundFor([virtual], virtual)],
    });
    await expect(host.act('setVfCount', { count: 0 })).rejects.toMatchObject({
      failure: 'host-use',
      message: `Virtual function 0 (${virtual}) is bound to vfio-pci.`,
    });
    expect(await host.read(numvfs)).toBe('1\n');
  });

  it('are not made of a card that is given whole', async ({ expect }) => {
    await using host = await makeHost({
      functions: [{ ...card, totalVfs: 4, driver: 'vfio-pci' }],
      bindings: [boundFor([address], address)],
    });
    await expect(host.act('setVfCount', { count: 2 })).rejects.toThrow(/is given whole/u);
    expect(await host.read(numvfs)).toBe('0\n');
  });
});

describe('what is given back', () => {
  it('is not kept for a function of its group that has gone', async ({ expect }) => {
    const given = { ...gpu, address: other, driver: 'vfio-pci' };
    await using host = await makeHost({
      functions: [{ ...given, attributes: { driver_override: 'vfio-pci\n' } }],
      files: { '/sys/bus/pci/drivers/vfio-pci/unbind': '' },
      bindings: [boundFor([address], address), boundFor([address, other], other)],
    });
    expect(await host.act('restore')).toEqual({});
    expect(await host.read('sys/bus/pci/drivers/vfio-pci/unbind')).toBe(other);
  });

  it('is kept for a function of its group that is there', async ({ expect }) => {
    const given = { ...gpu, driver: 'vfio-pci' };
    await using host = await makeHost({
      functions: [{ ...given, address: other }, given],
      files: { '/sys/bus/pci/drivers/vfio-pci/unbind': '' },
      bindings: [boundFor([address, other], address), boundFor([address, other], other)],
    });
    expect(await host.act('restore')).toEqual({ kept_for: [address] });
    expect(await host.read('sys/bus/pci/drivers/vfio-pci/unbind')).toBe('');
  });
});

describe('mediated devices', () => {
  const uuid = '6a5b1d0c-0d2b-4d0e-8f21-9d3c0f1e2a3b';
  const type = 'nvidia-35';
  const card = {
    ...gpu,
    driver: 'nvidia',
    below: {
      [`mdev_supported_types/${type}/available_instances`]: '2\n',
      [`mdev_supported_types/${type}/create`]: '',
    },
  };
  const made = {
    [`${uuid}/mdev_type`]: {
      link: `/sys/devices/pci0000:21/${address}/mdev_supported_types/${type}`,
    },
    [`${uuid}/remove`]: '',
  };

  it('are made of a card that the host does not use, by a look just before', async ({ expect }) => {
    await using idle = await makeHost({ functions: [card] });
    const create = `sys/bus/pci/devices/${address}/mdev_supported_types/${type}/create`;
    await idle.act('makeMdev', { type, uuid });
    expect(await idle.read(create)).toBe(uuid);
    await using used = await makeHost({
      functions: [{ ...card, attributes: { boot_vga: '1\n' } }],
    });
    await expect(used.act('makeMdev', { type, uuid })).rejects.toThrow(/boot display/u);
    expect(await used.read(create)).toBe('');
  });

  it('are not removed while a program has their own node open', async ({ expect }) => {
    const remove = `sys/bus/pci/devices/${address}/${uuid}/remove`;
    // The number of /dev/null, which the process of the tree has open.
    const node = { [`${uuid}/vfio-dev/vfio3/dev`]: '1:3\n' };
    await using held = await makeHost({
      functions: [{ ...card, below: { ...card.below, ...made, ...node } }],
    });
    await expect(held.act('removeMdev', { uuid })).rejects.toThrow(
      /is not removed: sh \(pid 77\) has c1:3 open/u,
    );
    expect(await held.read(remove)).toBe('');
    await using free = await makeHost({
      functions: [{ ...card, below: { ...card.below, ...made } }],
    });
    await free.act('removeMdev', { uuid });
    expect(await free.read(remove)).toBe('1');
  });

  it('keep their card from being given whole', async ({ expect }) => {
    await using host = await makeHost({
      functions: [{ ...card, below: { ...card.below, ...made } }],
      files: { '/sys/bus/pci/drivers/vfio-pci/unbind': '' },
    });
    const idle = { kernel_driver: 'vfio-pci', unbind: [address] };
    await expect(host.act('bind', idle)).rejects.toThrow(
      new RegExp(`${address} has mediated devices: ${uuid}`, 'u'),
    );
  });
});

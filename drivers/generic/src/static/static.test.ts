import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'vitest';
import type { BackendContext, Kind } from '@cyborg/driver-sdk/define-driver';
import { DriverError } from '@cyborg/driver-sdk/errors';
import type { DriverAccelerator, DriverDevice } from '@cyborg/driver-sdk/protocol';
import { buildTree, type TreeDescription } from '@cyborg/driver-sdk/tree-builder';
import { PciScanner } from '../pci/scanner.ts';
import { openStaticKind } from './kind.ts';

let folder = '';
let scanner = new PciScanner();
let kind: Kind = openStaticKind(scanner);
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cyborg-static-'));
  scanner = new PciScanner();
  kind = openStaticKind(scanner);
});
afterEach(() => {
  scanner.close();
  rmSync(folder, { recursive: true, force: true });
});

const display = {
  address: '10000:e1:00.0',
  vendor: 0x10de,
  device: 0x2330,
  class: 0x030000,
  iommuGroup: 1,
};
const tree: TreeDescription = {
  functions: [
    { ...display, attributes: { boot_vga: '1' } },
    { ...display, address: '0000:22:00.0', class: 0x030200, iommuGroup: 2 },
    {
      ...display,
      address: '0000:23:00.0',
      class: 0x030200,
      iommuGroup: 3,
      driver: 'nouveau',
      below: {
        'drm/renderD128/dev': '226:128\n',
        'drm/renderD128/uevent': 'DEVNAME=dri/renderD128\n',
      },
    },
  ],
  files: { '/proc/77/comm': 'other\n', '/proc/77/cmdline': 'other\n' },
};

function contextOf(accelerators: unknown, simulated = false): BackendContext<unknown> {
  return {
    backend: 'b',
    config: kind.parseConfig({ accelerators }),
    host: { name: 'host', node_name: 'host' },
    roots: { ...buildTree(folder, tree), dev: '/dev' },
    simulated,
    stateDir: null,
    signal: new AbortController().signal,
    log: () => undefined,
    ask: async () => Promise.reject(new DriverError('unsupported', 'nobody')),
    inventoryChanged: () => undefined,
    healthChanged: () => undefined,
  };
}

const pci = (address: string): object => ({
  key: address,
  type: 'GPU',
  plan: { kind: 'pci', address },
});
const mdev = {
  kind: 'mdev',
  uuid: '8fe851a5-00ea-4465-80f4-e5f9002cd774',
  parent: '0000:22:00.0',
  type: 'nvidia-35',
};

type Found = DriverAccelerator & { readonly device: DriverDevice };

async function discover(accelerators: unknown, simulated = false): Promise<Found[]> {
  const { devices } = await kind.discover(contextOf(accelerators, simulated));
  return devices.flatMap((device) =>
    device.deployables.flatMap((part) => part.accelerators.map((one) => ({ ...one, device }))),
  );
}

describe('a declared function of a real host', () => {
  it('that the host uses is withheld, naming the holder, also just before it is plugged', async ({
    expect,
  }) => {
    const declared = [pci('10000:E1:00.0')];
    const [found] = await discover(declared);
    expect(found).toMatchObject({ offered: false, attach_info: { domain: '10000', bus: 'e1' } });
    expect(found?.host_use).toMatch(/display/u);
    expect(found?.device).toMatchObject({ address: '10000:e1:00.0', vendor_id: '0x10de' });
    const order = {
      accelerator: '10000:E1:00.0',
      epoch: 1,
      attachment: 'a',
      instance: 'i',
      plugs: ['pci' as const],
    };
    await expect(kind.prepare(contextOf(declared), order)).rejects.toMatchObject({
      code: 'host-use',
    });
  });

  it('that is idle is offered, and one that is not there is not', async ({ expect }) => {
    const [idle, absent] = await discover([pci('00000000:22:00.0'), pci('0000:99:00.0')]);
    expect(idle).toMatchObject({ offered: true, reason: null, host_use: null });
    expect(idle?.attach_info).toEqual({ domain: '0000', bus: '22', device: '00', function: '0' });
    const reason = '0000:99:00.0 is no function of this host, or a bridge';
    expect(absent).toMatchObject({ offered: false, reason });
    expect(absent?.device.health).toEqual({ status: 'unknown', reason });
  });

  it('is withheld when the evidence is missing', async ({ expect }) => {
    const context = contextOf([pci('0000:23:00.0')]);
    const blind = { ...context, roots: { ...context.roots, proc: join(folder, 'nothing') } };
    const { devices } = await kind.discover(blind);
    const found = devices[0]?.deployables[0]?.accelerators[0];
    expect(found).toMatchObject({ offered: false });
    expect(found?.host_use).toMatch(/unknown/u);
  });
});

describe('what is declared', () => {
  it('without a plan is not offered, and says why', async ({ expect }) => {
    const [box] = await discover([{ key: 'box', type: 'OTHER' }]);
    expect(box).toMatchObject({ plans: [], offered: false });
    expect(box?.reason).toMatch(/without a plan/u);
  });

  it('is taken at its word on a simulated host, but for what its tree shows in use', async ({
    expect,
  }) => {
    const [absent, used] = await discover([pci('0000:99:00.0'), pci('10000:e1:00.0')], true);
    expect(absent).toMatchObject({ offered: true });
    expect(used).toMatchObject({ offered: false });
  });

  it.for([
    [[{ key: 'a', type: 'GPU', plan: { kind: 'pci', address: '21:00.0' } }], 'plan.address'],
    [[{ key: 'a', type: 'GPU', plan: { kind: 'pci', address: '0000:21:20.0' } }], 'plan.address'],
    [[{ key: 'a', type: 'GPU', plan: { ...mdev, uuid: 'u' } }], 'plan.uuid is "u"'],
    [[{ key: 'a', type: 'GPU', plan: { ...mdev, parent: '../x' } }], 'plan.parent is "../x"'],
    [
      [{ key: 'a', type: 'ENTROPY', plan: { kind: 'virtio-rng', source: '/dev/../etc/shadow' } }],
      'one of "/dev/hwrng", "/dev/urandom", "/dev/random"',
    ],
  ] as const)('of a wrong form is refused: %j', ([accelerators, message], { expect }) => {
    expect(() => contextOf(accelerators)).toThrow(message);
  });

  it('twice is refused, naming both, also as a part of the same function', async ({ expect }) => {
    const install = async (accelerators: unknown): Promise<unknown> =>
      await kind.install?.(contextOf(accelerators), { dryRun: false });
    await expect(install([pci('0000:21:00.0'), pci('00000000:21:00.0')])).rejects.toThrow(
      '"0000:21:00.0" and "00000000:21:00.0" both declare PCI function 0000:21:00.0',
    );
    await expect(
      install([{ key: 'part', type: 'GPU', plan: mdev }, pci('0000:22:00.0')]),
    ).rejects.toThrow('"0000:22:00.0" and "part" both declare PCI function 0000:22:00.0');
  });

  it('as hardware and taken away since is not called clean', ({ expect }) => {
    const order = { accelerator: 'gone', epoch: 1 };
    expect(() => kind.clean(contextOf([]), order)).toThrow(/not declared .* any more/u);
  });
});

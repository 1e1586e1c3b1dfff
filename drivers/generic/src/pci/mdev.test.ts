import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'vitest';
import { findProblem } from '@cyborg/driver-sdk/json-schema';
import { InventorySchema, type DriverDevice } from '@cyborg/driver-sdk/protocol';
import { TreeReader } from '@cyborg/driver-sdk/sysfs';
import { buildTree, pathOf, type FunctionDescription } from '@cyborg/driver-sdk/tree-builder';
import { Definitions } from '../definitions/load.ts';
import { mdevUuid } from './mdev.ts';
import { scan } from './scan.ts';

const definitions = await new Definitions().shipped();
let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cyborg-mdev-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const address = '0000:3b:00.0';
const type = 'nvidia-222';
const other = 'nvidia-223';
const description =
  'num_heads=4, frl_config=60, framebuffer=2048M, max_resolution=5120x2880, max_instance=2';

/** What its kernel driver shows of the types of a function. */
function types(free: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(free).flatMap(([id, count]) => [
      [`mdev_supported_types/${id}/available_instances`, count],
      [`mdev_supported_types/${id}/create`, ''],
      [`mdev_supported_types/${id}/name`, `GRID T4-${id.slice(-1)}B\n`],
      [`mdev_supported_types/${id}/description`, `${description}\n`],
    ]),
  );
}

const t4: FunctionDescription = {
  address,
  vendor: 0x10de,
  device: 0x1eb8,
  class: 0x030000,
  driver: 'nvidia',
  iommuGroup: 7,
  behind: ['0000:3a:00.0'],
  attributes: { boot_vga: '0\n' },
  below: types({ [type]: '2\n', [other]: '1\n' }),
};

/** As the kernel shows one that was made of the function. */
function made(uuid: string, as: string, at = address): Record<string, string | { link: string }> {
  return {
    [`${uuid}/mdev_type`]: { link: `${pathOf({ ...t4, address: at })}/mdev_supported_types/${as}` },
    [`${uuid}/remove`]: '',
  };
}

const quietProc = {
  '/proc/self/mountinfo': '22 1 0:5 / /proc rw - proc proc rw\n',
  '/proc/swaps': 'Filename Type Size Used Priority\n',
  '/proc/crypto': 'name : sha256\nmodule : kernel\nrefcnt : 1\n',
  '/proc/77/fd/0': { linkText: '/dev/null' },
  '/proc/77/comm': 'sh\n',
};

/** The first card of a real host with a rule that wants this type of them; null: whole. */
function look(
  functions: readonly FunctionDescription[],
  { wanted = type, files = {} }: { wanted?: string | null; files?: object } = {},
): DriverDevice {
  const roots = buildTree(folder, { functions, files: { ...quietProc, ...files } });
  return lookAgain(roots, wanted);
}

function lookAgain(
  roots: { readonly sysfs: string; readonly proc: string },
  wanted: string | null,
): DriverDevice {
  const rule = { vendor: '10de', offer: true, ...(wanted !== null && { mdev_type: wanted }) };
  const config = { classes: [], rules: [rule], exclude: [], offer: 'rules' as const };
  const input = { isSimulated: false, hostName: 'host', boundByUs: [], known: {}, config };
  const { inventory } = scan({ ...input, roots, pciIdsPaths: [], definitions }, new TreeReader());
  const problem = findProblem(InventorySchema, inventory, 'inventory');
  if (problem !== undefined) throw new Error(problem);
  const [device] = inventory.devices;
  if (device === undefined) throw new Error('nothing is listed');
  return device;
}

const acceleratorsOf = ({
  deployables,
}: DriverDevice): DriverDevice['deployables'][0]['accelerators'] =>
  deployables.flatMap((part) => part.accelerators);
const keysOf = (device: DriverDevice): string[] =>
  acceleratorsOf(device).map(({ key }) => key.slice(device.key.length));
const uuidOf = (device: DriverDevice, key: string): string =>
  mdevUuid('host', `${device.key}${key}`);

const strangers = ['83b8f4f2-509f-382f-3c1e-e6bfe0fa1001', '83b8f4f2-509f-382f-3c1e-e6bfe0fa1002'];

describe('mediated devices of a card', () => {
  it('are offered beside what the host does with the card: boot display, programs, guests', ({
    expect,
  }) => {
    const [uuid = ''] = strangers;
    const below = {
      ...t4.below,
      ...made(uuid, other),
      [`${uuid}/vfio-dev/vfio3/dev`]: '511:3\n',
      'drm/card0/dev': '226:0\n',
      'drm/card0/card0-DP-1/enabled': 'enabled\n',
    };
    const files = {
      '/proc/77/fd/1': { linkText: '/dev/nvidia0' },
      '/proc/77/fd/2': { linkText: '/dev/vfio/devices/vfio3' },
      '/proc/driver/nvidia/gpus/0000:3b:00.0/information': 'Device Minor: \t 0\n',
    };
    const used = [{ ...t4, attributes: { boot_vga: '1\n' }, below }];
    for (const one of acceleratorsOf(look(used, { files }))) {
      expect(one).toMatchObject({
        plans: ['mdev'],
        offered: true,
        reason: null,
        host_use: null,
        pcie_root: '0000:3a:00.0',
      });
    }
    // The whole is another matter.
    const [whole] = acceleratorsOf(look(used, { files, wanted: null }));
    expect(whole).toMatchObject({ plans: ['pci'], offered: false });
    expect(whole?.host_use).toMatch(/boot display/u);
  });

  it('are withheld while another program than ours has the whole card', ({ expect }) => {
    const [one] = acceleratorsOf(look([{ ...t4, driver: 'vfio-pci' }]));
    expect(one).toMatchObject({ plans: ['mdev'], offered: false });
    expect(one?.host_use).toBe('bound to vfio-pci, and not by this agent');
  });

  it('are those of ours and as many as are free: what others made is told, and not ours to give', ({
    expect,
  }) => {
    const empty = look([t4]);
    expect(keysOf(empty)).toEqual(['/mdev0', '/mdev1']);
    const below = Object.assign(
      {},
      types({ [type]: '1\n', [other]: '0\n' }),
      ...strangers.map((uuid) => made(uuid, type)),
      made(uuidOf(empty, '/mdev2'), type),
    );
    const device = look([{ ...t4, below }]);
    // The third of ours is attached, and one more can be made.
    expect(keysOf(device)).toEqual(['/mdev0', '/mdev2']);
    expect(device.info['mdev_others']).toBe(
      strangers.map((uuid) => `${uuid} (${type})`).join(', '),
    );
    expect(empty.info['mdev_others']).toBeUndefined();
  });

  it('that are attached stay what they are when the rule says another type', ({ expect }) => {
    const uuid = uuidOf(look([t4]), '/mdev0');
    const below = { ...types({ [type]: '0\n', [other]: '0\n' }), ...made(uuid, type) };
    const [one, ...more] = acceleratorsOf(look([{ ...t4, below }], { wanted: other }));
    expect(more).toEqual([]);
    expect(one).toMatchObject({
      offered: false,
      obstacle: null,
      reason: 'made as nvidia-222; its rule says nvidia-223 now',
      attach_info: { asked_type: type },
    });
  });

  it('have their types told with what is free, whether or not a rule names one', ({ expect }) => {
    for (const wanted of [type, null]) {
      const { info } = look([t4], { wanted });
      expect(info).toMatchObject({
        mdev_types: 'nvidia-222=2 nvidia-223=1',
        'mdev_type_nvidia-222': `GRID T4-2B: ${description}`,
      });
    }
    expect(look([{ ...t4, below: {} }], { wanted: null }).info['mdev_types']).toBeUndefined();
  });

  it('are read of drivers that say less, or say it in lines', ({ expect }) => {
    const gvt = 'mdev_supported_types/i915-GVTg_V5_4';
    const below = {
      'mdev_supported_types/silent/create': '',
      [`${gvt}/available_instances`]: '1\n',
      [`${gvt}/description`]: 'low_gm_size: 128MB\nhigh_gm_size: 512MB\nfence: 4\n',
    };
    const device = look([{ ...t4, below }], { wanted: 'silent' });
    expect(device.info).toMatchObject({
      mdev_types: 'i915-GVTg_V5_4=1 silent=?',
      'mdev_type_i915-GVTg_V5_4':
        'i915-GVTg_V5_4: low_gm_size: 128MB, high_gm_size: 512MB, fence: 4',
    });
    expect(device.info['mdev_type_silent']).toBeUndefined();
    // How many there can be is found by trying.
    expect(keysOf(device)).toEqual(['/mdev0']);
    const once = { ...below, ...made(uuidOf(device, '/mdev0'), 'silent') };
    expect(keysOf(look([{ ...t4, below: once }], { wanted: 'silent' }))).toEqual([
      '/mdev0',
      '/mdev1',
    ]);
  });

  it('keep the card from being given whole', ({ expect }) => {
    const [uuid = ''] = strangers;
    const idle = { ...t4, class: 0x030200, below: { ...t4.below, ...made(uuid, type) } };
    const { driver: _driver, ...loose } = idle;
    const [whole] = acceleratorsOf(look([loose], { wanted: null }));
    expect(whole).toMatchObject({
      offered: false,
      obstacle: `divided into mediated devices: ${uuid}`,
    });
  });
});

describe('mediated devices of a card’s virtual functions', () => {
  const vfs = ['0000:3b:00.4', '0000:3b:00.5', '0000:3b:00.6'];
  const a10: FunctionDescription = {
    ...t4,
    device: 0x2236,
    class: 0x030200,
    below: {},
    vfs: { device: 0x2236, addresses: vfs, driver: 'nvidia', iommuGroup: 20 },
  };

  /** The kernel's part: the driver shows its types below each virtual function. */
  function withTypes(at: readonly string[], entries: Readonly<Record<string, string>>): void {
    for (const vf of at) {
      const path = join(folder, pathOf({ ...t4, address: vf }));
      for (const [file, text] of Object.entries(entries)) {
        mkdirSync(join(path, file, '..'), { recursive: true });
        rmSync(join(path, file), { force: true });
        writeFileSync(join(path, file), text);
      }
    }
  }

  it('are one deployable, as many as the card has room for, named after where they are', ({
    expect,
  }) => {
    const roots = buildTree(folder, { functions: [a10], files: quietProc });
    withTypes(vfs, types({ [type]: '1\n' }));
    const device = lookAgain(roots, type);
    const [whole, vgpus, ...more] = device.deployables;
    expect(more).toEqual([]);
    expect(whole?.accelerators).toMatchObject([{ plans: ['pci'], offered: false }]);
    // max_instance is 2, and each of the three says 1.
    expect(vgpus).toMatchObject({
      name: 'host_0000:3b:00.4',
      resource_class: 'VGPU',
      accelerators: [
        { key: `${device.key}/vf0/mdev0`, plans: ['mdev'], offered: true },
        {
          key: `${device.key}/vf1/mdev0`,
          attach_info: { bus: '3b', device: '00', function: '5', asked_type: type },
        },
      ],
    });
    expect(device.info['mdev_types']).toBe('nvidia-222=3');
  });

  it('that are made are listed wherever they are, and leave the less room', ({ expect }) => {
    const roots = buildTree(folder, { functions: [a10], files: quietProc });
    withTypes(vfs, types({ [type]: '1\n' }));
    const { key } = lookAgain(roots, type);
    const [, , last = ''] = vfs;
    withTypes([last], types({ [type]: '0\n' }));
    const path = join(folder, pathOf({ ...t4, address: last }));
    const uuid = mdevUuid('host', `${key}/vf2/mdev0`);
    mkdirSync(join(path, uuid));
    symlinkSync(`../mdev_supported_types/${type}`, join(path, uuid, 'mdev_type'));
    expect(keysOf(lookAgain(roots, type)).slice(1)).toEqual(['/vf0/mdev0', '/vf2/mdev0']);
  });

  it('are not given as functions where their driver does not divide them', ({ expect }) => {
    const roots = buildTree(folder, { functions: [a10], files: quietProc });
    withTypes(vfs.slice(0, 1), types({ [type]: '1\n' }));
    const [, functions, vgpus] = lookAgain(roots, type).deployables;
    expect(vgpus?.accelerators).toHaveLength(1);
    expect(functions?.accelerators.map(({ offered, obstacle }) => [offered, obstacle])).toEqual(
      vfs.slice(1).map(() => [false, `mediated type ${type} is not the card's; it has none`]),
    );
  });
});

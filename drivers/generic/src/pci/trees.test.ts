import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, it } from 'vitest';
import { cryptoAndFpgaHost, eightGpuServer } from '@cyborg/driver-sdk/example-trees';
import { findProblem } from '@cyborg/driver-sdk/json-schema';
import { InventorySchema, type DriverDevice, type Inventory } from '@cyborg/driver-sdk/protocol';
import { layOutRecording } from '@cyborg/driver-sdk/recording';
import { TreeReader } from '@cyborg/driver-sdk/sysfs';
import { buildTree } from '@cyborg/driver-sdk/tree-builder';
import type { PciConfig } from './config.ts';
import { scan } from './scan.ts';

const checkout = fileURLToPath(new URL('../../../..', import.meta.url));
const fixtures = join(checkout, '../shared/fixtures/sysfs');
const recordings = join(checkout, 'labs/pci/fixtures');

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cyborg-trees-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const defaults: PciConfig = {
  classes: ['03', '12', '0b40', '10'],
  rules: [],
  exclude: [],
  offer: 'rules',
};

function look(root: string, config: Partial<PciConfig> = {}, isSimulated = true): Inventory {
  const { inventory } = scan(
    {
      roots: { sysfs: join(root, 'sys'), proc: join(root, 'proc') },
      isSimulated,
      hostName: 'host',
      boundByUs: [],
      known: {},
      pciIdsPaths: [],
      config: { ...defaults, ...config },
    },
    new TreeReader(),
  );
  const problem = findProblem(InventorySchema, inventory, 'inventory');
  if (problem !== undefined) throw new Error(problem);
  return inventory;
}

const addresses = (inventory: Inventory): (string | null)[] =>
  inventory.devices.map((device) => device.address);
const acceleratorsOf = (
  device: DriverDevice | undefined,
): DriverDevice['deployables'][number]['accelerators'] =>
  device?.deployables.flatMap((part) => part.accelerators) ?? [];

/** What the fixtures' README says. */
const expected: readonly [string, string[], Partial<PciConfig>][] = [
  ['ghw-accel.tar.gz', ['0000:00:01.0', '0000:00:04.0'], {}],
  ['ghw-workstation.tar.gz', ['0000:07:03.0'], {}],
  ['hwloc-mic-nvme.tar.bz2', ['0000:05:00.0', '0000:83:00.0'], {}],
  ['hwloc-mic-nvme.tar.bz2', ['0000:00:02.0'], { classes: ['0108'] }],
  ['hwloc-dgx-gb10.tar.bz2', [], {}],
];

describe('recorded trees of real machines', () => {
  it.skipIf(!existsSync(fixtures)).for(expected)(
    '%s has %j with %j (skipped where ../shared/fixtures is not there)',
    ([file, wanted, config], { expect }) => {
      execFileSync('tar', ['-xf', join(fixtures, file), '-C', folder]);
      const [top = ''] = readdirSync(folder);
      const root = existsSync(join(folder, 'sys')) ? folder : join(folder, top);
      const inventory = look(root, config, false);
      expect(addresses(inventory)).toEqual(wanted);
      expect(acceleratorsOf(inventory.devices[0]).every(({ offered }) => !offered)).toBe(true);
    },
  );
});

interface RecordedDevice {
  readonly address: string;
  readonly id: string;
  readonly class: string;
  readonly numa: number;
  readonly group: string;
  readonly driver: string | null;
  readonly physfn: string | null;
}

describe('recordings of the PCI lab', () => {
  it.for(['fresh', 'vfs-vfio'])('%s: everything is what its table says', (name, { expect }) => {
    const file = join(recordings, `${name}.json.gz`);
    layOutRecording(file, folder);
    const { meta } = JSON.parse(gunzipSync(readFileSync(file)).toString()) as {
      meta: { devices: RecordedDevice[] };
    };
    const all = look(folder, { classes: [], rules: [{ address: '*', offer: false }] }).devices;
    const wanted = meta.devices.filter((device) => !device.class.startsWith('0x06'));
    expect(all.map((device) => device.address)).toEqual(
      wanted.filter((device) => device.physfn === null).map((device) => device.address),
    );
    for (const device of all) {
      const row = wanted.find(({ address }) => address === device.address);
      expect({
        id: `${device.vendor_id?.slice(2)}:${device.device_id?.slice(2)}`,
        class: device.class,
        numa: device.numa_node ?? -1,
        group: String(device.iommu_group),
        driver: device.kernel_driver,
      }).toEqual({
        id: row?.id,
        class: row?.class,
        numa: row?.numa,
        group: row?.group,
        driver: row?.driver,
      });
      const virtual = wanted.filter(({ physfn }) => physfn === device.address);
      expect(acceleratorsOf(device)).toHaveLength(1 + virtual.length);
    }
  });

  it('finds the two displays, and keeps one that is on vfio-pci', ({ expect }) => {
    layOutRecording(join(recordings, 'vfs-vfio.json.gz'), folder);
    const { devices, services } = look(folder, { offer: 'all' });
    expect(devices.map(({ address, offered }) => [address, offered])).toEqual([
      ['0000:42:00.0', false],
      ['0000:45:00.0', true],
    ]);
    expect(devices[0]?.reason).toMatch(/vfio-pci/u);
    expect(services).toMatchObject([
      { name: 'gpu.compute', accelerators_total: 2, accelerators_offered: 1 },
    ]);
  });
});

describe('the demo machines', () => {
  it('have eight GPUs with serial numbers, and a boot display that is withheld', ({ expect }) => {
    buildTree(folder, eightGpuServer());
    const { devices } = look(folder, { offer: 'all' });
    expect(devices.filter(({ offered }) => offered)).toHaveLength(8);
    expect(new Set(devices.map(({ key }) => key)).size).toBe(9);
    expect(devices[1]).toMatchObject({ serial: '48-b0-2d-00-00-00-01-00', numa_node: 0 });
    expect(devices[0]?.reason).toMatch(/boot display/u);
  });

  it('have virtual functions as a deployable of their own, and FPGAs', ({ expect }) => {
    buildTree(folder, cryptoAndFpgaHost());
    const { devices } = look(folder, { offer: 'all' });
    expect(devices.map(({ type }) => type)).toEqual(['COPROCESSOR', 'CRYPTO', 'FPGA', 'FPGA']);
    expect(devices[0]?.deployables.map(({ name }) => name)).toEqual([
      'host_0000:3d:00.0',
      'host_0000:3d:00.0_vfs',
    ]);
    expect(devices[0]?.deployables[1]?.accelerators).toHaveLength(8);
  });
});

const gpu = { vendor: 0x10de, device: 0x2330, class: 0x030200 } as const;
const pathOf = (address: string): string => join(folder, 'sys/bus/pci/devices', address);

describe('damaged and odd trees', () => {
  it('give an answer with a FIFO, garbage, and dangling links in place of what should be there', ({
    expect,
  }) => {
    buildTree(folder, {
      functions: ['0000:01:00.0', '0000:02:00.0', '10000:e1:00.0'].map((address) => ({
        ...gpu,
        address,
      })),
    });
    for (const name of ['numa_node', 'vendor']) {
      rmSync(join(pathOf('0000:01:00.0'), name));
      execFileSync('mkfifo', [join(pathOf('0000:01:00.0'), name)]);
    }
    writeFileSync(join(pathOf('0000:02:00.0'), 'device'), Buffer.from([0xff, 0, 0x1b]));
    writeFileSync(join(pathOf('0000:02:00.0'), 'current_link_speed'), 'x'.repeat(10_000));
    symlinkSync('../../../../bus/pci/drivers/gone', join(pathOf('0000:02:00.0'), 'driver'));
    symlinkSync('../../../devices/nowhere', join(folder, 'sys/bus/pci/devices/0000:03:00.0'));
    writeFileSync(join(folder, 'sys/bus/pci/devices/not-an-address'), '');
    const { devices } = look(folder);
    expect(
      devices.map(({ address, vendor_id: vendor, device_id: device }) => [address, vendor, device]),
    ).toEqual([
      ['0000:01:00.0', '0x10de', '0x2330'], // out of the configuration space
      ['0000:02:00.0', '0x10de', '0x2330'],
      ['10000:e1:00.0', '0x10de', '0x2330'],
    ]);
    expect(devices[0]?.numa_node).toBeNull();
    expect(devices[1]).toMatchObject({ kernel_driver: 'gone', info: { revision: '0x01' } });
    expect(acceleratorsOf(devices[2])[0]?.attach_info['domain']).toBe('10000');
  });

  it('are read without /sys/bus, also behind many bridges', ({ expect }) => {
    const behind = Array.from(
      { length: 12 },
      (_, index) => `0000:${(index + 16).toString(16)}:00.0`,
    );
    buildTree(folder, { functions: [{ ...gpu, address: '0000:40:00.0', behind }] });
    rmSync(join(folder, 'sys/bus'), { recursive: true });
    expect(addresses(look(folder))).toEqual(['0000:40:00.0']);
  });

  it('that are empty, or no trees at all, have nothing', ({ expect }) => {
    mkdirSync(join(folder, 'sys'));
    expect(look(folder)).toEqual({ devices: [], services: [] });
    expect(look(join(folder, 'nowhere'))).toEqual({ devices: [], services: [] });
  });

  it('never make the scan throw, whatever bytes the attributes hold', ({ expect }) => {
    const names = [
      'class',
      'vendor',
      'device',
      'numa_node',
      'config',
      'vpd',
      'sriov_numvfs',
      'uevent',
      'boot_vga',
    ];
    buildTree(folder, { functions: [{ ...gpu, address: '0000:01:00.0', iommuGroup: 1 }] });
    fc.assert(
      fc.property(
        fc.dictionary(fc.constantFrom(...names), fc.uint8Array({ maxLength: 300 })),
        (files) => {
          for (const [name, bytes] of Object.entries(files))
            writeFileSync(join(pathOf('0000:01:00.0'), name), bytes);
          const { devices } = look(folder, { classes: [], rules: [{ address: '*', offer: true }] });
          expect(devices.length).toBeLessThanOrEqual(1); // none where the bytes make it a bridge
        },
      ),
      { numRuns: 100 },
    );
  });

  it('keep a device’s key when its address changes, and tell cards with one serial number apart', ({
    expect,
  }) => {
    const key = (functions: Parameters<typeof buildTree>[1]['functions']): string[] => {
      buildTree(folder, { functions });
      return look(folder).devices.map((device) => device.key);
    };
    const card = { ...gpu, serial: 77n };
    expect(key([{ ...card, address: '0000:01:00.0' }])).toEqual(
      key([{ ...card, address: '0000:09:00.0' }]),
    );
    const twins = key([
      { ...card, address: '0000:01:00.0' },
      { ...card, address: '0000:02:00.0' },
    ]);
    expect(twins).toEqual(['pci-0000:01:00.0-10de-2330', 'pci-0000:02:00.0-10de-2330']);
  });
});

describe('rules', () => {
  it('list by vendor, device, driver and address, offer, name a type, and give way to exclude', ({
    expect,
  }) => {
    buildTree(folder, {
      functions: [
        { ...gpu, address: '0000:01:00.0', iommuGroup: 1 },
        { ...gpu, address: '0000:02:00.0', class: 0x010802, vendor: 0x144d, iommuGroup: 2 },
        { ...gpu, address: '0000:03:00.0', class: 0x010802, vendor: 0x8086, iommuGroup: 3 },
      ],
    });
    const config: Partial<PciConfig> = {
      rules: [
        { vendor: '0x144D', class: '0108', offer: true, type: 'OTHER', traits: ['CUSTOM_FAST'] },
      ],
      exclude: [{ address: '0000:01:*' }],
    };
    const { devices } = look(folder, config);
    expect(devices).toMatchObject([
      { address: '0000:02:00.0', type: 'OTHER', offered: true, reason: null },
    ]);
    expect(devices[0]?.deployables[0]?.traits).toContain('CUSTOM_FAST');
    expect(
      addresses(look(folder, { rules: [{ kernel_driver: 'none', offer: false }] })),
    ).toHaveLength(3);
    expect(addresses(look(folder, { classes: [], rules: [{ offer: true }] }))).toEqual([]);
    expect(look(folder).devices[0]).toMatchObject({ offered: false, reason: 'not approved' });
  });
});

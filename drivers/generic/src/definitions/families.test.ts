import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, it } from 'vitest';
import { cryptoAndFpgaHost } from '@cyborg/driver-sdk/example-trees';
import { findProblem } from '@cyborg/driver-sdk/json-schema';
import { InventorySchema, type DriverDevice, type Inventory } from '@cyborg/driver-sdk/protocol';
import { layOutRecording } from '@cyborg/driver-sdk/recording';
import { TreeReader } from '@cyborg/driver-sdk/sysfs';
import { buildTree, type FunctionDescription } from '@cyborg/driver-sdk/tree-builder';
import type { PciConfig } from '../pci/config.ts';
import { scan } from '../pci/scan.ts';
import { Definitions } from './load.ts';

const checkout = fileURLToPath(new URL('../../../..', import.meta.url));
const fixtures = join(checkout, '../shared/fixtures/sysfs');
const definitions = await new Definitions().shipped();

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cyborg-families-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

type Rules = PciConfig['rules'];
const offered = { offer: true } as const;

/** What no rule offers is not approved. */
function look(root: string, rules: Rules = [], classes = ['03', '12', '0b40', '10']): Inventory {
  const { inventory } = scan(
    {
      roots: { sysfs: join(root, 'sys'), proc: join(root, 'proc') },
      isSimulated: true,
      hostName: 'host',
      boundByUs: [],
      known: {},
      pciIdsPaths: [],
      config: { classes, rules, exclude: [], offer: 'rules' },
      definitions,
    },
    new TreeReader(),
  );
  const problem = findProblem(InventorySchema, inventory, 'inventory');
  if (problem !== undefined) throw new Error(problem);
  return inventory;
}

function build(...functions: FunctionDescription[]): string {
  buildTree(folder, { functions });
  return folder;
}

/** What upstream's clients see of a device; the ids that every function carries are left out. */
function partsOf(device: DriverDevice | undefined): (readonly [string, string, string[]])[] {
  return (device?.deployables ?? []).map((part) => [
    part.name,
    part.resource_class,
    part.traits.filter(
      (trait) => !/^(OWNER_CYBORG|CUSTOM_PCI_(VENDOR|PRODUCT)_ID_.{4})$/u.test(trait),
    ),
  ]);
}

const address = '0000:3b:00.0';
const name = `host_${address}`;
const card = (vendor: number, device: number, code: number): FunctionDescription => ({
  address,
  vendor,
  device,
  class: code,
  iommuGroup: 7,
});
const withVfs = (fn: FunctionDescription, device: number): FunctionDescription => ({
  ...fn,
  totalVfs: 8,
  vfs: { device, addresses: ['0000:3b:01.0', '0000:3b:01.1'], iommuGroup: 20 },
});
const onlyListed = (id: string): Rules => [{ definition: id, ...offered }];

describe('cards of upstream’s drivers have its names, classes and traits', () => {
  const cases: readonly [
    string,
    FunctionDescription,
    Rules,
    string,
    [string, string, string[]][],
  ][] = [
    [
      'an NVIDIA GPU',
      card(0x10de, 0x1eb8, 0x030200),
      [],
      'GPU',
      [[name, 'PGPU', ['CUSTOM_NVIDIA_1EB8']]],
    ],
    [
      'any PCI function of a known maker',
      card(0x102b, 0x0532, 0x030000),
      [{ definition: 'pci', vendor: '102b', ...offered }],
      'GPU',
      [[name, 'CUSTOM_PCI', ['CUSTOM_PCI_MATROX']]],
    ],
    [
      'any PCI function of another maker',
      card(0x1234, 0x0001, 0xff0000),
      [{ definition: 'pci', vendor: '1234', ...offered }],
      'OTHER',
      [[name, 'CUSTOM_PCI', []]],
    ],
    [
      'a QuickAssist card',
      card(0x8086, 0x37c8, 0x0b4000),
      [],
      'COPROCESSOR',
      [[name, 'CUSTOM_QAT', []]],
    ],
    [
      'an X710',
      card(0x8086, 0x1572, 0x020000),
      [
        {
          definition: 'intel-x710',
          physical_network: 'physnet1',
          network_function: 'sriov',
          ...offered,
        },
      ],
      'NIC',
      [[name, 'CUSTOM_NIC', ['CUSTOM_PF', 'CUSTOM_SRIOV', 'CUSTOM_PHYSNET1']]],
    ],
    [
      'an Inspur NVMe drive',
      card(0x1bd4, 0x1003, 0x010802),
      onlyListed('nvme-ssd'),
      'SSD',
      [[name, 'CUSTOM_SSD', ['CUSTOM_SSD_INSPUR', 'CUSTOM_SSD_PRODUCT_ID_1003']]],
    ],
    [
      'an NVMe drive of a maker without a word',
      card(0x144d, 0xa80a, 0x010802),
      onlyListed('nvme-ssd'),
      'SSD',
      [[name, 'CUSTOM_SSD', ['CUSTOM_SSD_PRODUCT_ID_A80A']]],
    ],
    [
      'an Inspur FPGA',
      card(0x1bd4, 0xa115, 0x120000),
      [],
      'FPGA',
      [[name, 'FPGA', ['CUSTOM_FPGA_INSPUR', 'CUSTOM_FPGA_PRODUCT_ID_A115']]],
    ],
    ['a Huawei Ascend', card(0x19e5, 0xd100, 0x120000), [], 'AICHIP', [[name, 'CUSTOM_PCI', []]]],
    [
      'a NEC Vector Engine',
      card(0x1bcf, 0x001c, 0x0b4000),
      [],
      'COPROCESSOR',
      [[name, 'CUSTOM_NEC_VE', ['CUSTOM_NEC_VECTOR_ENGINE']]],
    ],
  ];

  it.for(cases)('%s', ([, fn, rules, type, parts], { expect }) => {
    const { devices } = look(build(fn), rules);
    expect(devices).toHaveLength(1);
    expect(devices[0]?.type).toBe(type);
    expect(partsOf(devices[0])).toEqual(parts);
    const [accelerator] = devices[0]?.deployables[0]?.accelerators ?? [];
    expect(accelerator).toMatchObject({ plans: ['pci'], offered: rules.length > 0 });
    expect(accelerator?.attach_info).toMatchObject({
      domain: '0000',
      bus: '3b',
      device: '00',
      function: '0',
    });
  });

  it('an Intel FPGA, with what it holds', ({ expect }) => {
    const below = {
      'fpga/intel-fpga-dev.0/intel-fpga-port.0/afu_id': 'd8424dc4a4a3c413f89e433683f9040b\n',
      'fpga/intel-fpga-dev.0/intel-fpga-fme.0/pr/interface_id':
        '9926ab6d6c925a68aabca7d84c545738\n',
    };
    const [device] = look(build({ ...card(0x8086, 0x09c4, 0x120000), below })).devices;
    expect(partsOf(device)).toEqual([
      [
        name,
        'FPGA',
        [
          'CUSTOM_FPGA_INTEL',
          'CUSTOM_FPGA_INTEL_PAC_ARRIA10',
          'CUSTOM_FPGA_FUNCTION_ID_INTEL_D8424DC4A4A3C413F89E433683F9040B',
          'CUSTOM_FPGA_REGION_INTEL_9926AB6D6C925A68AABCA7D84C545738',
        ],
      ],
    ]);
  });

  it('an Alveo card, whose management and user function are handles of one deployable', ({
    expect,
  }) => {
    const mgmt = card(0x10ee, 0x5000, 0x120000);
    const user = { ...mgmt, address: '0000:3b:00.1', device: 0x5001, iommuGroup: 8 };
    const other = { ...mgmt, address: '0000:5e:00.0', iommuGroup: 9 };
    const { devices, services } = look(build(mgmt, user, other));
    expect(devices.map((device) => device.address)).toEqual([address, '0000:5e:00.0']);
    expect(partsOf(devices[0])).toEqual([
      [name, 'FPGA', ['CUSTOM_FPGA_XILINX', 'CUSTOM_FPGA_PRODUCT_ID_5000']],
    ]);
    const handles = devices[0]?.deployables[0]?.accelerators ?? [];
    expect(handles.map(({ attach_info: info }) => info['function'])).toEqual(['0', '1']);
    expect(new Set(handles.map(({ key }) => key)).size).toBe(2);
    expect(services).toMatchObject([{ name: 'fpga.compute', accelerators_total: 3 }]);
  });
});

describe('virtual functions', () => {
  const cases: readonly [string, FunctionDescription, Rules, string, string[]][] = [
    [
      'QuickAssist',
      withVfs(card(0x8086, 0x37c8, 0x0b4000), 0x37c9),
      [],
      'CUSTOM_QAT',
      ['CUSTOM_VF'],
    ],
    [
      'X710',
      withVfs(card(0x8086, 0x1572, 0x020000), 0x154c),
      [{ definition: 'intel-x710', physical_network: 'physnet1', ...offered }],
      'CUSTOM_NIC',
      ['CUSTOM_VF', 'CUSTOM_PHYSNET1'],
    ],
  ];

  it.for(cases)(
    'of %s are a deployable each, and the card is not given whole',
    ([, fn, rules, rc, traits], { expect }) => {
      const [device, ...more] = look(build(fn), rules).devices;
      expect(more).toEqual([]);
      expect(partsOf(device).slice(1)).toEqual([
        ['host_0000:3b:01.0', rc, traits],
        ['host_0000:3b:01.1', rc, traits],
      ]);
      const [whole, first] = device?.deployables ?? [];
      expect(whole?.accelerators[0]?.obstacle).toMatch(/divided into 2 virtual functions/u);
      expect(first?.accelerators).toHaveLength(1);
      const network = rules[0]?.physical_network;
      expect(first?.accelerators[0]?.attach_info['physical_network']).toBe(network);
    },
  );

  it('of other cards are one deployable together', ({ expect }) => {
    const fn = withVfs(card(0x1234, 0x0001, 0x120000), 0x0002);
    expect(partsOf(look(build(fn)).devices[0])).toEqual([
      [name, 'CUSTOM_PCI', []],
      [`${name}_vfs`, 'CUSTOM_PCI', ['CUSTOM_VF']],
    ]);
  });
});

describe('mediated devices', () => {
  const types = 'mdev_supported_types/nvidia-222';
  const gpu: FunctionDescription = {
    ...card(0x10de, 0x1eb8, 0x030200),
    below: {
      [`${types}/name`]: 'GRID T4-2B\n',
      [`${types}/available_instances`]: '7\n',
    },
  };
  const rule = (type: string): Rules => [{ vendor: '10de', mdev_type: type, ...offered }];

  it('are the handles of a vGPU deployable', ({ expect }) => {
    const [device] = look(build(gpu), rule('nvidia-222')).devices;
    expect(partsOf(device)).toEqual([[name, 'VGPU', ['CUSTOM_NVIDIA_1EB8_T4_2B']]]);
    const handles = device?.deployables[0]?.accelerators ?? [];
    expect(handles).toHaveLength(7);
    expect(handles[3]).toMatchObject({
      plans: ['mdev'],
      offered: true,
      reason: null,
      attach_info: { bus: '3b', asked_type: 'nvidia-222', vgpu_mark: 'nvidia-222_3' },
    });
  });

  it('of Intel’s graphics are offered beside the display that the host has on them', ({
    expect,
  }) => {
    const gvt = 'mdev_supported_types/i915-GVTg_V5_4';
    const display: FunctionDescription = {
      ...card(0x8086, 0x3e92, 0x030000),
      driver: 'i915',
      attributes: { boot_vga: '1\n' },
      below: { [`${gvt}/available_instances`]: '1\n', [`${gvt}/create`]: '' },
    };
    const named = { definition: 'intel-gvt', vendor: '8086', class: '0300' };
    const rules: Rules = [{ ...named, mdev_type: 'i915-GVTg_V5_4', ...offered }];
    const [device] = look(build(display), rules).devices;
    expect(partsOf(device)).toEqual([[name, 'VGPU', ['CUSTOM_INTEL_I915_GVTG_V5_4']]]);
    expect(device?.deployables[0]?.accelerators).toMatchObject([
      { plans: ['mdev'], offered: true },
    ]);
    const [whole] = look(build(display), [{ vendor: '8086', ...offered }]).devices;
    expect(whole).toMatchObject({ offered: false, reason: expect.stringMatching(/boot display/u) });
  });

  it('of a type that the card lacks leave it whole, and withheld with what it has', ({
    expect,
  }) => {
    const [device] = look(build(gpu), rule('nvidia-35')).devices;
    expect(partsOf(device)).toEqual([[name, 'PGPU', ['CUSTOM_NVIDIA_1EB8']]]);
    expect(device?.reason).toBe("mediated type nvidia-35 is not the card's; it has nvidia-222");
  });
});

describe('virtio devices', () => {
  it.for([
    [0x1050, 0x030000, 'GPU', 'PGPU', 'gpu.compute'],
    [0x1054, 0x100000, 'CRYPTO', 'CUSTOM_PCI', 'crypto.symmetric'],
    [0x1044, 0x00ff00, 'ENTROPY', 'CUSTOM_PCI', 'random.entropy'],
    [0x1041, 0x020000, 'NIC', 'CUSTOM_NIC', 'network.interface'],
    [0x1042, 0x010000, 'SSD', 'CUSTOM_SSD', 'storage.virtio'],
  ] as const)('%i is known', ([device, code, type, rc, service], { expect }) => {
    const rules = [{ vendor: '1af4', ...offered }];
    const { devices, services } = look(build(card(0x1af4, device, code)), rules);
    expect(devices).toMatchObject([{ type, deployables: [{ name, resource_class: rc }] }]);
    expect(services).toMatchObject([{ name: service, accelerators_offered: 1 }]);
  });
});

describe('what is listed and offered', () => {
  it('is not changed by definitions: classes and rules say that', ({ expect }) => {
    const nic = { ...card(0x8086, 0x1572, 0x020000), address: '0000:01:00.0' };
    const drive = { ...card(0x144d, 0xa80a, 0x010802), address: '0000:02:00.0' };
    const gpu = card(0x10de, 0x2330, 0x030200);
    const { devices } = look(build(nic, drive, gpu));
    expect(devices).toMatchObject([{ address, offered: false, reason: 'not approved' }]);
    expect(look(folder, [{ definition: 'pci', ...offered }], []).devices).toEqual([]);
    expect(look(folder, onlyListed('intel-x710'), []).devices).toMatchObject([
      { address: '0000:01:00.0', offered: true },
    ]);
  });

  it('gives way to a rule in type, class and traits', ({ expect }) => {
    const rules: Rules = [
      {
        vendor: '10de',
        type: 'AICHIP',
        resource_class: 'CUSTOM_MINE',
        traits: ['CUSTOM_X'],
        ...offered,
      },
    ];
    const [device] = look(build(card(0x10de, 0x2330, 0x030200)), rules).devices;
    expect(device?.type).toBe('AICHIP');
    expect(partsOf(device)).toEqual([[name, 'CUSTOM_MINE', ['CUSTOM_NVIDIA_2330', 'CUSTOM_X']]]);
  });
});

describe('trees of whole machines', () => {
  it('the demo’s crypto and FPGA host', ({ expect }) => {
    buildTree(folder, cryptoAndFpgaHost());
    const { devices } = look(folder);
    expect(devices.map(({ type, info }) => [type, info['definition']])).toEqual([
      ['COPROCESSOR', 'intel-qat'],
      ['CRYPTO', undefined],
      ['FPGA', 'intel-fpga'],
      ['FPGA', 'intel-fpga'],
    ]);
    expect(devices[0]?.deployables).toHaveLength(9);
    expect(partsOf(devices[2])[0]?.[2]).toEqual([
      'CUSTOM_FPGA_INTEL',
      'CUSTOM_FPGA_INTEL_PAC_N3000',
      'CUSTOM_FPGA_REGION_INTEL_3A00972E7AAC41DE',
    ]);
  });

  it('the PCI lab, whose NVMe drives have virtual functions', ({ expect }) => {
    layOutRecording(join(checkout, 'labs/pci/fixtures/vfs-vfio.json.gz'), folder);
    const { devices } = look(folder, onlyListed('nvme-ssd'), []);
    const divided = devices.find(({ deployables }) => deployables.length > 1);
    expect(divided?.deployables[1]?.name).toBe(`host_${divided?.address}_vfs`);
    expect(divided?.deployables[1]).toMatchObject({ resource_class: 'CUSTOM_SSD' });
    expect(divided?.deployables[1]?.accelerators).toHaveLength(4);
  });

  const recorded: readonly [string, string, string, string, string[]][] = [
    [
      'hwloc-mic-nvme.tar.bz2',
      'nvme-ssd',
      '0000:00:02.0',
      'CUSTOM_SSD',
      ['CUSTOM_SSD_INTEL', 'CUSTOM_SSD_PRODUCT_ID_0953'],
    ],
    ['ghw-accel.tar.gz', 'virtio-gpu', '0000:00:01.0', 'PGPU', []],
    ['ghw-accel.tar.gz', 'virtio-rng', '0000:06:00.0', 'CUSTOM_PCI', []],
    ['ghw-accel.tar.gz', 'virtio-net', '0000:01:00.0', 'CUSTOM_NIC', []],
    ['ghw-accel.tar.gz', 'virtio-blk', '0000:04:00.0', 'CUSTOM_SSD', []],
  ];

  it.skipIf(!existsSync(fixtures)).for(recorded)(
    '%s: %s at %s (skipped where ../shared/fixtures is not there)',
    ([file, id, at, rc, traits], { expect }) => {
      execFileSync('tar', ['-xf', join(fixtures, file), '-C', folder]);
      const [top = ''] = readdirSync(folder);
      const root = existsSync(join(folder, 'sys')) ? folder : join(folder, top);
      const { devices } = look(root, onlyListed(id), []);
      expect(devices.map((device) => device.address)).toContain(at);
      const device = devices.find((item) => item.address === at);
      expect(partsOf(device)).toEqual([[`host_${at}`, rc, traits]]);
    },
  );
});

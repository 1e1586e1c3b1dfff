import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'vitest';
import type { DriverAccelerator } from '@cyborg/driver-sdk/protocol';
import { TreeReader } from '@cyborg/driver-sdk/sysfs';
import {
  buildTree,
  emptyFolder,
  type FunctionDescription,
  type TreeDescription,
} from '@cyborg/driver-sdk/tree-builder';
import { scan } from './scan.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cyborg-holders-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const address = '0000:21:00.0';

const gpu: FunctionDescription = {
  address,
  vendor: 0x10de,
  device: 0x2330,
  class: 0x030200,
  iommuGroup: 7,
};
const nvme: FunctionDescription = { ...gpu, class: 0x010802, driver: 'nvme' };
const nic: FunctionDescription = { ...gpu, class: 0x020000, driver: 'mlx5_core' };

/** A /proc on which nothing is mounted, swapped to, open or used. */
const quietProc = {
  '/proc/self/mountinfo': '22 1 0:5 / /proc rw - proc proc rw\n',
  '/proc/swaps': 'Filename Type Size Used Priority\n',
  '/proc/crypto': 'name : sha256\nmodule : kernel\nrefcnt : 1\n',
  '/proc/77/fd/0': { linkText: '/dev/null' },
  '/proc/77/comm': 'sh\n',
};

interface Options {
  readonly files?: TreeDescription['files'];
  readonly others?: readonly FunctionDescription[];
  readonly isSimulated?: boolean;
  readonly at?: string;
}

/** The function's accelerator, on a host that offers everything. */
function look(fn: FunctionDescription, options: Options = {}): DriverAccelerator {
  const { files = quietProc, others = [], isSimulated = false, at = fn.address } = options;
  const roots = buildTree(folder, { functions: [fn, ...others], files });
  const input = {
    roots,
    isSimulated,
    hostName: 'host',
    boundByUs: [],
    known: {},
    config: {
      classes: ['01', '02', '03', '0b', '10'],
      rules: [],
      exclude: [],
      offer: 'all',
      unbind: 'idle',
    },
  } as const;
  const config = { ...input.config, classes: [...input.config.classes], rules: [], exclude: [] };
  const { inventory } = scan({ ...input, boundByUs: [], config }, new TreeReader());
  const all = inventory.devices
    .flatMap((device) => device.deployables)
    .flatMap((part) => part.accelerators);
  const found = all.find(({ name }) => name.endsWith(at));
  if (found === undefined) throw new Error(`${at} is not listed`);
  return found;
}

/** A disk nvme0n1 with one partition, as the kernel shows it below the controller. */
const disk = {
  'nvme/nvme0/nvme0n1/dev': '259:0\n',
  'nvme/nvme0/nvme0n1/holders': emptyFolder,
  'nvme/nvme0/nvme0n1/nvme0n1p1/dev': '259:1\n',
  'nvme/nvme0/nvme0n1/nvme0n1p1/partition': '1\n',
  'nvme/nvme0/nvme0n1/nvme0n1p1/holders': emptyFolder,
};
const p1 = 'nvme/nvme0/nvme0n1/nvme0n1p1';

/** A disk with one partition of a controller with several ports: the function shows one path to it, without a node. */
const multipath: FunctionDescription = {
  ...nvme,
  below: {
    'nvme/nvme0/dev': '238:0\n',
    'nvme/nvme0/nvme0c0n1/hidden': '1\n',
    'nvme/nvme0/nvme0c0n1/holders': emptyFolder,
  },
};
const subsystem = '/sys/devices/virtual/nvme-subsystem/nvme-subsys0';
const multipathProc = {
  ...quietProc,
  [`${subsystem}/nvme0`]: { link: `/sys/devices/pci0000:21/${address}/nvme/nvme0` },
  [`${subsystem}/ng0n1/dev`]: '237:0\n',
  [`${subsystem}/nvme0n1/dev`]: '259:2\n',
  [`${subsystem}/nvme0n1/hidden`]: '0\n',
  [`${subsystem}/nvme0n1/holders`]: emptyFolder,
  [`${subsystem}/nvme0n1/nvme0n1p1/dev`]: '259:3\n',
  [`${subsystem}/nvme0n1/nvme0n1p1/holders`]: emptyFolder,
  '/sys/class/block/nvme0n1': { link: `${subsystem}/nvme0n1` },
  '/sys/class/block/nvme0c0n1': {
    link: `/sys/devices/pci0000:21/${address}/nvme/nvme0/nvme0c0n1`,
  },
};

const ccp: FunctionDescription = { ...gpu, class: 0x108000, driver: 'ccp' };
const qat: FunctionDescription = { ...gpu, class: 0x0b4000, driver: 'c6xx' };
const qatModules = {
  '/sys/bus/pci/drivers/c6xx/module': { link: '/sys/module/qat_c62x' },
  '/sys/module/qat_c62x/refcnt': '0\n',
  '/sys/module/intel_qat/holders/qat_c62x': { link: '/sys/module/qat_c62x' },
  '/sys/module/authenc/holders/qat_c62x': { link: '/sys/module/qat_c62x' },
};

/** An algorithm of the module in use, as dm-crypt uses it. */
function cryptoOf(module: string): Record<string, string> {
  return { '/proc/crypto': `name : cbc(aes)\nmodule : ${module}\nrefcnt : 3\n` };
}

describe('what nobody uses', () => {
  it('is offered: an unbound function, an idle disk, an interface that is down', ({ expect }) => {
    const downNic = { 'net/eth0/flags': '0x1002\n', 'net/eth0/operstate': 'down\n' };
    for (const fn of [gpu, { ...nvme, below: disk }, { ...nic, below: downNic }]) {
      expect(look(fn)).toMatchObject({ offered: true, reason: null, host_use: null });
    }
    expect(look(multipath, { files: multipathProc })).toMatchObject({ offered: true });
  });

  it('is offered while the kernel’s own algorithms, or another card’s, are in use', ({
    expect,
  }) => {
    for (const module of ['authenc', 'aesni_intel', 'ccp_crypto']) {
      const files = { ...quietProc, ...qatModules, ...cryptoOf(module) };
      expect(look(qat, { files })).toMatchObject({ offered: true });
    }
  });
});

describe('what the host uses is withheld, and the holder named', () => {
  const cases: readonly [string, FunctionDescription, Options, RegExp][] = [
    [
      'the boot display',
      { ...gpu, class: 0x030000, attributes: { boot_vga: '1\n' } },
      {},
      /boot display/u,
    ],
    [
      'a framebuffer console',
      { ...gpu, driver: 'bochs-drm', below: { 'graphics/fb0/dev': '29:0\n' } },
      {},
      /console framebuffer fb0/u,
    ],
    [
      'an output that is on',
      { ...gpu, driver: 'i915', below: { 'drm/card0/card0-DP-1/enabled': 'enabled\n' } },
      {},
      /display output card0-DP-1 is on/u,
    ],
    [
      'a mounted disk',
      { ...nvme, below: disk },
      {
        files: {
          ...quietProc,
          '/proc/self/mountinfo': '22 1 259:0 / /srv/my\\040data rw - ext4 /dev/nvme0n1 rw\n',
        },
      },
      /nvme0n1 is mounted at \/srv\/my data/u,
    ],
    [
      'a mounted partition, by the older table',
      { ...nvme, below: disk },
      { files: { ...quietProc, '/proc/mounts': '/dev/nvme0n1p1 / ext4 rw 0 0\n' } },
      /nvme0n1p1 is mounted at \//u,
    ],
    [
      'one disk of a btrfs of several',
      { ...nvme, below: disk },
      { files: { ...quietProc, '/sys/fs/btrfs/1234/devices/nvme0n1': emptyFolder } },
      /nvme0n1 is mounted at btrfs 1234/u,
    ],
    [
      'swap',
      { ...nvme, below: disk },
      {
        files: { ...quietProc, '/proc/swaps': 'Filename Type\n/dev/nvme0n1p1 partition 1 0 -2\n' },
      },
      /nvme0n1p1 is swap/u,
    ],
    [
      'LVM',
      { ...nvme, below: { ...disk, [`${p1}/holders/dm-0`]: emptyFolder } },
      {
        files: {
          ...quietProc,
          '/sys/class/block/dm-0/dm/uuid': 'LVM-abc\n',
          '/sys/class/block/dm-0/dm/name': 'vg-root\n',
        },
      },
      /nvme0n1p1 is part of LVM volume vg-root/u,
    ],
    [
      'MD',
      { ...nvme, below: { ...disk, [`${p1}/holders/md0`]: emptyFolder } },
      {},
      /part of MD array md0/u,
    ],
    [
      'device mapper',
      { ...nvme, below: { ...disk, 'nvme/nvme0/nvme0n1/holders/dm-3': emptyFolder } },
      {},
      /part of device-mapper device dm-3/u,
    ],
    [
      'ZFS',
      { ...nvme, below: { ...disk, [`${p1}/uevent`]: 'DEVNAME=nvme0n1p1\nPARTNAME=zfs-12ab\n' } },
      { files: { ...quietProc, '/proc/spl/kstat/zfs/tank': emptyFolder } },
      /ZFS pool.*tank/u,
    ],
    [
      'a disk that multipath shows elsewhere',
      { ...nvme, below: { 'nvme/nvme0/nvme0c0n1/uevent': '' } },
      {
        files: {
          ...quietProc,
          '/sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0': emptyFolder,
          '/sys/devices/virtual/nvme-subsystem/nvme-subsys0/nvme0n1': emptyFolder,
          '/sys/class/block/nvme0n1/dev': '259:0\n',
          '/sys/class/block/nvme0n1/holders/dm-1': emptyFolder,
        },
      },
      /nvme0n1 is part of device-mapper device dm-1/u,
    ],
    [
      'an interface that is up',
      { ...nic, below: { 'net/eth0/flags': '0x1003\n' } },
      {},
      /interface eth0 is up/u,
    ],
    [
      'a bond',
      {
        ...nic,
        below: {
          'net/eth0/flags': '0x1002\n',
          'net/eth0/master': { link: '/sys/class/net/bond0' },
        },
      },
      { files: { ...quietProc, '/sys/class/net/bond0/bonding/mode': 'x' } },
      /eth0 belongs to bond bond0/u,
    ],
    [
      'a bridge',
      {
        ...nic,
        below: { 'net/eth0/flags': '0x1002\n', 'net/eth0/master': { link: '/sys/class/net/br0' } },
      },
      { files: { ...quietProc, '/sys/class/net/br0/bridge/bridge_id': 'x' } },
      /eth0 belongs to bridge br0/u,
    ],
    [
      'Open vSwitch',
      {
        ...nic,
        below: {
          'net/eth0/flags': '0x1002\n',
          'net/eth0/master': { link: '/sys/class/net/ovs-system' },
        },
      },
      {},
      /eth0 belongs to Open vSwitch/u,
    ],
    [
      'a VLAN on top',
      { ...nic, below: { 'net/eth0/flags': '0x1002\n', 'net/eth0/upper_eth0.7': emptyFolder } },
      {},
      /eth0 carries eth0\.7/u,
    ],
    [
      'vfio-pci that somebody else bound',
      { ...gpu, driver: 'vfio-pci' },
      {},
      /bound to vfio-pci, and not by this agent/u,
    ],
    [
      'an open device node',
      {
        ...gpu,
        driver: 'amdgpu',
        below: {
          'drm/renderD128/dev': '226:128\n',
          'drm/renderD128/uevent': 'DEVNAME=dri/renderD128\n',
        },
      },
      {
        files: {
          ...quietProc,
          '/proc/99/fd/5': { linkText: '/dev/dri/renderD128' },
          '/proc/99/comm': 'trainer\n',
        },
      },
      /\/dev\/dri\/renderD128 is open in trainer \(pid 99\)/u,
    ],
    [
      'a disk that multipath shows elsewhere, open in a program',
      multipath,
      {
        files: {
          ...multipathProc,
          '/proc/99/fd/5': { linkText: '/dev/nvme0n1p1' },
          '/proc/99/comm': 'mysqld\n',
        },
      },
      /\/dev\/nvme0n1p1 is open in mysqld \(pid 99\)/u,
    ],
    [
      'the character device of such a disk, open in a program',
      multipath,
      {
        files: {
          ...multipathProc,
          '/proc/99/fd/5': { linkText: '/dev/ng0n1' },
          '/proc/99/comm': 'spdk\n',
        },
      },
      /\/dev\/ng0n1 is open in spdk \(pid 99\)/u,
    ],
    [
      'guests that it encrypts',
      ccp,
      {
        files: { ...quietProc, '/proc/9/fd/5': { linkText: '/dev/sev' }, '/proc/9/comm': 'kvm\n' },
      },
      /\/dev\/sev is open in kvm \(pid 9\)/u,
    ],
    [
      'kernel crypto',
      { ...gpu, class: 0x100000, driver: 'hisi_sec2' },
      { files: { ...quietProc, ...cryptoOf('hisi_sec2') } },
      /kernel crypto uses cbc\(aes\) of hisi_sec2/u,
    ],
    [
      'kernel crypto, by a module that uses the driver’s',
      ccp,
      {
        files: {
          ...quietProc,
          ...cryptoOf('ccp_crypto'),
          '/sys/module/ccp/holders/ccp_crypto': { link: '/sys/module/ccp_crypto' },
        },
      },
      /kernel crypto uses cbc\(aes\) of ccp_crypto/u,
    ],
    [
      'kernel crypto, by a module that the driver’s uses',
      qat,
      { files: { ...quietProc, ...qatModules, ...cryptoOf('intel_qat') } },
      /kernel crypto uses cbc\(aes\) of intel_qat/u,
    ],
  ];

  it.for(cases)('%s', ([, fn, options, reason], { expect }) => {
    const found = look(fn, options);
    expect(found).toMatchObject({ offered: false });
    expect(found.reason).toMatch(reason);
    expect(found.host_use).toMatch(reason);
  });

  it('a physical function with a virtual function in use', ({ expect }) => {
    const vfs = {
      device: 1,
      addresses: ['0000:21:00.1', '0000:21:00.2'],
      driver: 'vfio-pci',
      iommuGroup: 8,
    };
    const found = look({ ...nic, driver: 'ice', below: { 'net/eth0/flags': '0x1002\n' }, vfs });
    expect(found.reason).toMatch(/virtual function 0000:21:00\.1: bound to vfio-pci/u);
  });

  it('a neighbour in the IOMMU group', ({ expect }) => {
    const others = [{ ...nic, address: '0000:21:00.1', below: { 'net/eth1/flags': '0x1003\n' } }];
    expect(look(gpu, { others }).host_use).toMatch(
      /neighbour 0000:21:00\.1 in IOMMU group 7: interface eth1 is up/u,
    );
    const usb = [{ ...gpu, address: '0000:21:00.2', class: 0x0c0330, driver: 'xhci_hcd' }];
    expect(look(gpu, { others: usb }).host_use).toMatch(/0000:21:00\.2.*driven by xhci_hcd/u);
    const bridge = [{ ...gpu, address: '0000:20:00.0', class: 0x060400, driver: 'pcieport' }];
    expect(look(gpu, { others: bridge }).host_use).toBeNull();
  });

  it('a driver of the chipset in the IOMMU group, and not what no driver has', ({ expect }) => {
    const isa = { ...gpu, address: '0000:00:1f.0', class: 0x060100 };
    expect(look(gpu, { others: [{ ...isa, driver: 'lpc_ich' }] }).host_use).toMatch(
      /0000:00:1f\.0.*driven by lpc_ich/u,
    );
    const free = { offered: true, obstacle: null, group_members: [] };
    expect(look(gpu, { others: [isa, { ...isa, address: '0000:00:00.0' }] })).toMatchObject(free);
    const nvswitch = { ...isa, class: 0x068000, driver: 'nvidia-nvswitch' };
    expect(look(gpu, { others: [nvswitch] }).host_use).toMatch(/driven by nvidia-nvswitch/u);
  });
});

describe('missing evidence counts as use', () => {
  const cases: readonly [string, FunctionDescription, Options, RegExp][] = [
    [
      'no boot_vga on a VGA controller',
      { ...gpu, class: 0x030000, attributes: { boot_vga: null } },
      {},
      /boot_vga is missing/u,
    ],
    ['no block devices anywhere', nvme, {}, /no block devices/u],
    ['no network interfaces anywhere', nic, {}, /no network interfaces|cannot be listed|unknown/u],
    [
      'no holders folder',
      { ...nvme, below: { 'nvme/nvme0/nvme0n1/dev': '259:0\n' } },
      {},
      /holders cannot be listed/u,
    ],
    [
      'an interface that was moved to a container',
      { ...nic, below: { net: emptyFolder } },
      {},
      /its interface is in another network namespace/u,
    ],
    [
      'the same of virtio',
      { ...nic, driver: 'virtio-pci', below: { 'virtio0/net': emptyFolder } },
      {},
      /its interface is in another network namespace/u,
    ],
    [
      'no flags of an interface',
      { ...nic, below: { 'net/eth0/address': 'x' } },
      {},
      /flags are missing/u,
    ],
    [
      'no count of virtual functions',
      { ...gpu, totalVfs: 4, attributes: { sriov_numvfs: null } },
      {},
      /sriov_numvfs is missing/u,
    ],
    [
      'a virtual function that is not in the tree',
      { ...gpu, totalVfs: 4, attributes: { sriov_numvfs: '2\n' } },
      {},
      /not all of them are in the tree/u,
    ],
    [
      'no table of mounts',
      { ...nvme, below: disk },
      { files: { '/proc/77/fd/0': { linkText: '/dev/null' } } },
      /mounts and swap cannot be read/u,
    ],
    [
      'no process table',
      { ...gpu, driver: 'amdgpu', below: { 'drm/card0/dev': '226:0\n' } },
      { files: {} },
      /no process table/u,
    ],
    [
      'imported ZFS pools and a disk that does not say',
      { ...nvme, below: disk },
      { files: { ...quietProc, '/proc/spl/kstat/zfs/tank': emptyFolder } },
      /ZFS pools are imported \(tank\)/u,
    ],
  ];
  it.for(cases)('%s', ([, fn, options, reason], { expect }) => {
    const found = look(fn, options);
    expect(found).toMatchObject({ offered: false });
    expect(found.reason).toMatch(/^may be in use by the host: /u);
    expect(found.reason).toMatch(reason);
  });

  it('but not what is not part of a recorded tree: its processes', ({ expect }) => {
    const card = { ...gpu, driver: 'amdgpu', below: { 'drm/card0/dev': '226:0\n' } };
    expect(look(card, { files: {}, isSimulated: true })).toMatchObject({ offered: true });
  });
});

describe('virtual functions', () => {
  it('are offered in place of the physical function that is divided into them', ({ expect }) => {
    const vfs = { device: 1, addresses: ['0000:21:00.1', '0000:21:00.2'], iommuGroup: 8 };
    const down = { 'net/eth0/flags': '0x1002\n' };
    const options = { files: quietProc };
    const card: FunctionDescription = { ...nic, below: down, vfs };
    expect(look(card, options)).toMatchObject({ offered: false, host_use: null });
    expect(look(card, options).reason).toMatch(/divided into 2 virtual functions/u);
    // Also for who would approve it by hand: what is divided is not to be had whole.
    expect(look(card, options).obstacle).toMatch(/divided into 2 virtual functions/u);
    expect(look(card, { ...options, at: '0000:21:00.2' })).toMatchObject({ offered: true });
  });
});

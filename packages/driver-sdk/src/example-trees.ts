/** Machines that nobody has at hand, as descriptions for {@link buildTree}: the demo fleet and tests use them. */
import { emptyFolder, type FunctionDescription, type TreeDescription } from './tree-builder.ts';

const nvidia = 0x10de;
const h100 = 0x2330;

/** Two sockets with four H100 each; a display of the management controller; a mounted system disk and a network card. */
export function eightGpuServer(): TreeDescription {
  return {
    functions: [
      managementDisplay,
      ...Array.from({ length: 8 }, (_, index) => gpu(index)),
      systemDisk,
      networkCard,
    ],
    files: {
      '/sys/class/block/nvme0n1': {
        link: '/sys/devices/pci0000:b0/0000:b0:01.0/nvme/nvme0/nvme0n1',
      },
      '/sys/class/net/eth0': { link: '/sys/devices/pci0000:c0/0000:c0:01.0/net/eth0' },
      '/proc/self/mountinfo': '22 1 259:1 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p1 rw\n',
      '/proc/swaps': 'Filename\tType\tSize\tUsed\tPriority\n',
    },
  };
}

function gpu(index: number): FunctionDescription {
  const bus = (0x18 + index * 0x10).toString(16);
  return {
    address: `0000:${bus}:00.0`,
    behind: [`0000:${(0x17 + index * 0x10).toString(16)}:01.0`],
    vendor: nvidia,
    device: h100,
    class: 0x030200,
    subsystem: { vendor: nvidia, device: 0x16c1 },
    numaNode: index < 4 ? 0 : 1,
    iommuGroup: 40 + index,
    serial: 0x48b02d0000000100n + BigInt(index),
    link: { speed: '32.0 GT/s PCIe', width: 16 },
    resetMethods: 'flr bus',
  };
}

const managementDisplay: FunctionDescription = {
  address: '0000:03:00.0',
  vendor: 0x1a03,
  device: 0x2000,
  class: 0x030000,
  driver: 'ast',
  numaNode: 0,
  iommuGroup: 12,
  attributes: { boot_vga: '1\n' },
};

const systemDisk: FunctionDescription = {
  address: '0000:b0:01.0',
  vendor: 0x144d,
  device: 0xa80a,
  class: 0x010802,
  driver: 'nvme',
  numaNode: 1,
  iommuGroup: 60,
  below: {
    'nvme/nvme0/serial': 'S5GXNX0R500001\n',
    'nvme/nvme0/nvme0n1/dev': '259:0\n',
    'nvme/nvme0/nvme0n1/holders': emptyFolder,
    'nvme/nvme0/nvme0n1/nvme0n1p1/dev': '259:1\n',
    'nvme/nvme0/nvme0n1/nvme0n1p1/partition': '1\n',
    'nvme/nvme0/nvme0n1/nvme0n1p1/holders': emptyFolder,
  },
};

const networkCard: FunctionDescription = {
  address: '0000:c0:01.0',
  vendor: 0x15b3,
  device: 0x1021,
  class: 0x020000,
  driver: 'mlx5_core',
  numaNode: 1,
  iommuGroup: 61,
  below: { 'net/eth0/flags': '0x1003\n', 'net/eth0/operstate': 'up\n' },
};

/** A QuickAssist card divided into eight virtual functions, another crypto card, and two FPGA cards. */
export function cryptoAndFpgaHost(): TreeDescription {
  return {
    functions: [
      {
        address: '0000:3d:00.0',
        vendor: 0x8086,
        device: 0x37c8,
        class: 0x0b4000,
        driver: 'c6xx',
        numaNode: 0,
        iommuGroup: 20,
        totalVfs: 16,
        link: { speed: '8.0 GT/s PCIe', width: 16 },
        resetMethods: 'flr',
        vfs: {
          device: 0x37c9,
          addresses: Array.from({ length: 8 }, (_, index) => `0000:3d:01.${index}`),
          iommuGroup: 21,
        },
      },
      {
        address: '0000:5e:00.0',
        vendor: 0x177d,
        device: 0x0010,
        class: 0x100000,
        numaNode: 0,
        iommuGroup: 30,
        serial: 0x000fb7fffe010203n,
        resetMethods: 'flr bus',
      },
      ...['0000:86:00.0', '0000:af:00.0'].map((address, index) => fpga(address, index)),
    ],
    files: { '/proc/crypto': 'name         : sha256\nmodule       : kernel\nrefcnt       : 1\n' },
  };
}

function fpga(address: string, index: number): FunctionDescription {
  return {
    address,
    vendor: 0x8086,
    device: 0x0b30,
    class: 0x120000,
    driver: 'dfl-pci',
    numaNode: 1,
    iommuGroup: 50 + index,
    serial: 0x6805ca0000a10000n + BigInt(index),
    link: { speed: '8.0 GT/s PCIe', width: 8 },
    resetMethods: 'flr bus',
    below: { [`fpga_region/region${index}/compat_id`]: '3a00972e7aac41de\n' },
  };
}

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
  type Leaf,
} from '@cyborg/driver-sdk/tree-builder';
import { scan } from './scan.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cyborg-virtual-drives-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const physical = '0000:21:00.0';
const addresses = ['0000:21:00.1', '0000:21:00.2', '0000:21:00.3', '0000:21:00.4'];
const card: FunctionDescription = {
  address: physical,
  vendor: 0x1b36,
  device: 0x0010,
  class: 0x010802,
  driver: 'nvme',
  iommuGroup: 7,
  totalVfs: 8,
  below: {
    'nvme/nvme0/serial': 'CARD7\n',
    'nvme/nvme0/nvme0n1/dev': '259:0\n',
    'nvme/nvme0/nvme0n1/holders': emptyFolder,
  },
};
const divided = (count: number): FunctionDescription => ({
  ...card,
  vfs: { device: 0x0010, addresses: addresses.slice(0, count), iommuGroup: 8 },
});
const quietProc = {
  '/proc/self/mountinfo': '22 1 0:5 / /proc rw - proc proc rw\n',
  '/proc/swaps': 'Filename Type Size Used Priority\n',
  '/proc/crypto': 'name : sha256\nmodule : kernel\nrefcnt : 1\n',
  '/proc/77/fd/0': { linkText: '/dev/null' },
  '/proc/77/comm': 'sh\n',
};
const mounted = {
  '/proc/self/mountinfo': '22 1 259:0 / /srv rw - ext4 /dev/nvme0n1 rw\n',
};

interface Options {
  readonly files?: Readonly<Record<string, Leaf>>;
  readonly classes?: readonly string[];
}

function look(
  functions: readonly FunctionDescription[],
  { files = {}, classes = ['01'] }: Options = {},
): readonly DriverAccelerator[] {
  const roots = buildTree(folder, { functions, files: { ...quietProc, ...files } });
  const { inventory } = scan(
    {
      roots,
      isSimulated: false,
      hostName: 'host',
      boundByUs: [],
      known: {},
      config: { classes: [...classes], rules: [], exclude: [], offer: 'all', unbind: 'idle' },
    },
    new TreeReader(),
  );
  return inventory.devices.flatMap(({ deployables }) =>
    deployables.flatMap((part) => part.accelerators),
  );
}

const virtualOf = (all: readonly DriverAccelerator[]): DriverAccelerator[] =>
  all.filter(({ name }) => !name.endsWith(physical));

describe('the virtual functions of a drive', () => {
  it('are withheld while the host uses a disk of their physical function, which they may share', ({
    expect,
  }) => {
    const virtual = virtualOf(look([divided(2)], { files: mounted }));
    const use = `it may share the namespaces of ${physical}: disk nvme0n1 is mounted at /srv`;
    expect(virtual).toMatchObject([
      { offered: false, host_use: use, reason: `may be in use by the host: ${use}` },
      { offered: false, host_use: use },
    ]);
    const swap = { '/proc/swaps': 'Filename Type\n/dev/nvme0n1 partition 1 0 -2\n' };
    const [swapped] = virtualOf(look([divided(1)], { files: swap }));
    expect(swapped?.host_use).toMatch(/may share the namespaces.*nvme0n1 is swap/u);
  });

  it('are withheld where what the host does with their physical function is not known', ({
    expect,
  }) => {
    const [virtual] = virtualOf(
      look([{ ...divided(1), below: { 'nvme/nvme0/nvme0n1/dev': '259:0\n' } }]),
    );
    expect(virtual?.host_use).toMatch(/may share the namespaces.*holders cannot be listed/u);
  });

  it('are given while nobody uses a disk of it, or it has no driver that would make disks', ({
    expect,
  }) => {
    const idle = virtualOf(look([divided(2)]));
    const { driver: _driver, below: _below, ...bare } = divided(2);
    for (const virtual of [...idle, ...virtualOf(look([bare]))]) {
      expect(virtual).toMatchObject({ offered: true, host_use: null });
    }
    expect(idle).toHaveLength(2);
  });

  it('are given of what is no drive, whatever its physical function does', ({ expect }) => {
    const nic = {
      ...divided(1),
      class: 0x020000,
      driver: 'ice',
      below: { 'net/eth0/flags': '0x1003\n' },
    };
    const all = look([nic], { classes: ['02'] });
    expect(all.find(({ name }) => name.endsWith(physical))?.host_use).toMatch(/eth0 is up/u);
    expect(virtualOf(all)).toMatchObject([{ offered: true, host_use: null }]);
  });

  it('have the same keys and names when they are made anew, also as a part of more', ({
    expect,
  }) => {
    const namesOf = (count: number): readonly (readonly string[])[] =>
      virtualOf(look([count === 0 ? card : divided(count)])).map(({ key, name }) => [key, name]);
    const before = namesOf(4);
    expect(before.map(([key]) => key)).toEqual(
      [0, 1, 2, 3].map((index) => `pci-1b36-0010-CARD7-f0/vf${index}`),
    );
    expect(namesOf(0)).toEqual([]);
    expect(namesOf(4)).toEqual(before);
    expect(namesOf(2)).toEqual(before.slice(0, 2));
  });
});

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'vitest';
import { TreeReader } from '../sysfs.ts';
import { buildTree, emptyFolder, type FunctionDescription, type Leaf } from '../tree-builder.ts';
import { listFunctions } from './function.ts';
import { HolderFinder } from './holder-finder.ts';
import { HostTables } from './host-tables.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cyborg-exports-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const address = '0000:21:00.0';
const nvme: FunctionDescription = {
  address,
  vendor: 0x144d,
  device: 0xa824,
  class: 0x010802,
  driver: 'nvme',
  below: {
    'nvme/nvme0/nvme0n1/dev': '259:0\n',
    'nvme/nvme0/nvme0n1/holders': emptyFolder,
    'nvme/nvme0/nvme0n1/nvme0n1p1/dev': '259:1\n',
    'nvme/nvme0/nvme0n1/nvme0n1p1/holders': emptyFolder,
  },
};
const quietProc = {
  '/proc/self/mountinfo': '22 1 0:5 / /proc rw - proc proc rw\n',
  '/proc/swaps': 'Filename Type Size Used Priority\n',
  '/proc/crypto': 'name : sha256\nmodule : kernel\nrefcnt : 1\n',
  '/proc/77/fd/0': { linkText: '/dev/null' },
};

function findUse(files: Readonly<Record<string, Leaf>>): string | undefined {
  const { sysfs, proc } = buildTree(folder, {
    functions: [nvme],
    files: { ...quietProc, ...files },
  });
  const reader = new TreeReader();
  const functions = listFunctions(reader, sysfs);
  const tables = new HostTables(reader, {
    sysfs,
    proc,
    isEvidenceOfTreeAlone: false,
    boundByUs: [],
    asksAgent: false,
  });
  const fn = functions.get(address);
  return fn && new HolderFinder(functions, tables).find(fn)?.text;
}

const targets = '/sys/kernel/config';

describe('a disk that the kernel gives out', () => {
  it.for([
    [
      'as a loop device',
      { '/sys/block/loop3/loop/backing_file': '/dev/nvme0n1p1\n' },
      'disk nvme0n1p1 is given out as loop device loop3',
    ],
    [
      'over NVMe',
      { [`${targets}/nvmet/subsystems/nqn.x/namespaces/1/device_path`]: '/dev/nvme0n1\n' },
      'disk nvme0n1 is given out as NVMe target nqn.x',
    ],
    [
      'over SCSI, as a file too',
      { [`${targets}/target/core/fileio_0/backup/udev_path`]: '/dev/nvme0n1\n' },
      'disk nvme0n1 is given out as SCSI target backup',
    ],
  ] as const)('%s is in use', ([, files, text], { expect }) => {
    expect(findUse(files)).toBe(text);
  });

  it('is free when that is another, or a file', ({ expect }) => {
    const files = {
      '/sys/block/loop3/loop/backing_file': '/var/lib/snapd/snaps/core.snap\n',
      '/sys/block/loop4/loop/backing_file': '/dev/nvme9n9p1 (deleted)\n',
      [`${targets}/nvmet/subsystems/nqn.x/namespaces/1/device_path`]: '(null)\n',
    };
    expect(findUse(files)).toBeUndefined();
  });
});

describe('a disk that is mounted in a container', () => {
  it('is in use by who sees the mount, whose table is read once', ({ expect }) => {
    const namespace = { linkText: 'mnt:[4026532999]' };
    const use = findUse({
      '/proc/88/fd/0': { linkText: '/dev/null' },
      '/proc/88/comm': 'mysqld\n',
      '/proc/88/ns/mnt': namespace,
      '/proc/88/mountinfo': '30 22 259:1 / /data rw - ext4 /dev/nvme0n1p1 rw\n',
      '/proc/89/fd/0': { linkText: '/dev/null' },
      '/proc/89/comm': 'other\n',
      '/proc/89/ns/mnt': namespace,
      '/proc/89/mountinfo': '30 22 259:1 / /data rw - ext4 /dev/nvme0n1 rw\n',
    });
    expect(use).toBe('/dev/nvme0n1p1 is open in a mount of mysqld (pid 88)');
  });
});

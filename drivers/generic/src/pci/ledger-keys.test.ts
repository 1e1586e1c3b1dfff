import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { TreeReader } from '@cyborg/driver-sdk/sysfs';
import { buildTree, type FunctionDescription } from '@cyborg/driver-sdk/tree-builder';
import { afterEach, beforeEach, describe, it } from 'vitest';
import { scan } from './scan.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cyborg-ledger-keys-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const address = '0000:23:00.0';
const drive: FunctionDescription = {
  address,
  vendor: 0x1b36,
  device: 0x0010,
  class: 0x010802,
  iommuGroup: 9,
};
const given: FunctionDescription = {
  ...drive,
  driver: 'vfio-pci',
  attributes: { driver_override: 'vfio-pci\n' },
};
const quietProc = {
  '/proc/self/mountinfo': '22 1 0:5 / /proc rw - proc proc rw\n',
  '/proc/swaps': 'Filename Type Size Used Priority\n',
  '/proc/crypto': 'name : sha256\nmodule : kernel\nrefcnt : 1\n',
  '/proc/77/fd/0': { linkText: '/dev/null' },
};

/** The one device's key, and what is said of its accelerator, where the ledger knows this key at its address. */
function look(fn: FunctionDescription, accelerator?: string): readonly unknown[] {
  const roots = buildTree(folder, { functions: [fn], files: quietProc });
  const bound = { address, kernel_driver: null };
  const { inventory } = scan(
    {
      roots,
      isSimulated: false,
      hostName: 'host',
      boundByUs: [accelerator === undefined ? bound : { ...bound, accelerator }],
      known: {},
      config: { classes: ['0108'], rules: [], exclude: [], offer: 'all' },
    },
    new TreeReader(),
  );
  const [device] = inventory.devices;
  const [found] = device?.deployables[0]?.accelerators ?? [];
  return [device?.key, found?.key, device?.serial, found?.host_use];
}

describe('a drive that a guest has, of which nothing is remembered here', () => {
  it('is the one that the ledger says, by the number in its key', ({ expect }) => {
    const key = 'pci-1b36-0010-CARD7-f0';
    expect(look(given, key)).toEqual([key, key, 'CARD7', null]);
  });

  it('is what its own number says, and by its slot where the key has none of it', ({ expect }) => {
    const bySlot = `pci-${address}-1b36-0010`;
    expect(look(given)).toEqual([bySlot, bySlot, null, null]);
    const others = ['pci-1b36-0011-CARD7-f0', 'pci-1b36-0010-CARD7-f1', 'pci-1b36-0010-f0', bySlot];
    for (const key of [...others, `${bySlot}/vf0`]) {
      expect(look(given, key)).toEqual([bySlot, bySlot, null, null]);
    }
    const startedAnew = { ...given, attributes: { driver_override: '(null)\n' } };
    for (const fn of [startedAnew, { ...given, driver: 'nvme' }, drive]) {
      expect(look(fn, 'pci-1b36-0010-CARD7-f0').slice(0, 3)).toEqual([bySlot, bySlot, null]);
    }
    const numbered = { ...given, serial: 0x0102030405060708n };
    const [key] = look(numbered);
    expect(look(numbered, 'pci-1b36-0010-CARD7-f0')[0]).toBe(key);
    expect(key).not.toContain('CARD7');
  });
});

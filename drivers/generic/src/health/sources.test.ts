import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'vitest';
import { TreeReader } from '@cyborg/driver-sdk/sysfs';
import { buildTree, type FunctionDescription } from '@cyborg/driver-sdk/tree-builder';
import type { HealthSource } from '../definitions/schema.ts';
import { scan, type Signs } from './sources.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cyborg-signs-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const address = '0000:21:00.0';
const port = '0000:20:01.0';
const drive: FunctionDescription = {
  address,
  behind: [port],
  vendor: 0x144d,
  device: 0xa80a,
  class: 0x010802,
  link: { speed: '16.0 GT/s PCIe', width: 4 },
};

function look(
  fn: FunctionDescription,
  {
    others = [],
    sources = ['aer', 'link', 'hwmon'],
  }: { others?: FunctionDescription[]; sources?: HealthSource[] } = {},
): Signs | undefined {
  const { sysfs } = buildTree(folder, { functions: [fn, ...others] });
  return scan({ sysfs, targets: [{ address, sources }] }, new TreeReader())[address];
}

describe('the signs of a card', () => {
  it('are the totals of its error counters, as the kernel writes them', ({ expect }) => {
    const attributes = {
      aer_dev_correctable: 'RxErr 2\nBadTLP 1\nTOTAL_ERR_COR 3\n',
      aer_dev_nonfatal: 'Undefined 0\nDLP 0\nTOTAL_ERR_NONFATAL 0\n',
      aer_dev_fatal: 'Undefined 0\nDLP 1\nTOTAL_ERR_FATAL 1\n',
    };
    expect(look({ ...drive, attributes })?.errors).toEqual({
      correctable: 3,
      nonfatal: 0,
      fatal: 1,
    });
    expect(look({ ...drive, attributes }, { sources: ['hwmon'] })?.errors).toBeNull();
    expect(look({ ...drive, attributes: { aer_dev_fatal: 'garbage\n' } })?.errors).toBeNull();
  });

  it('are the link as it is, and as card and port can do', ({ expect }) => {
    const attributes = { current_link_width: '2\n', current_link_speed: '8.0 GT/s PCIe\n' };
    const bridge = { address: port, vendor: 0x8086, device: 0x2030, class: 0x060400 };
    const slow = { ...bridge, link: { speed: '8.0 GT/s PCIe', width: 4 } };
    expect(look({ ...drive, attributes })?.link).toEqual({
      speed: 8,
      width: 2,
      speedMax: 16,
      widthMax: 4,
    });
    expect(look({ ...drive, attributes }, { others: [slow] })?.link).toMatchObject({ speedMax: 8 });
  });

  it('have no link where the kernel knows none: virtual machines and virtual functions', ({
    expect,
  }) => {
    const attributes = { current_link_speed: 'Unknown\n', current_link_width: '0\n' };
    expect(look({ ...drive, attributes })?.link).toBeNull();
    const widest = { max_link_width: '255\n', max_link_speed: 'Unknown\n' };
    expect(look({ ...drive, attributes: widest })?.link).toBeNull();
  });

  it('are silence where one that is awake reads as all ones, its ids being what they were', ({
    expect,
  }) => {
    const link = { current_link_speed: 'Unknown\n', current_link_width: '63\n' };
    const at = (state: string): Signs | undefined =>
      look(
        { ...drive, attributes: { ...link, power_state: `${state}\n` } },
        { sources: ['hwmon'] },
      );
    expect(at('D0')?.isSilent).toBe(true);
    expect(at('D3cold')?.isSilent).toBe(false);
    expect(look({ ...drive, attributes: link })?.isSilent).toBe(false); // Linux before 5.11 does not say
    expect(look({ ...drive, attributes: { power_state: 'D0\n' } })?.isSilent).toBe(false);
  });

  it('are temperatures with limits, below the function and below an NVMe controller', ({
    expect,
  }) => {
    const monitor = 'nvme/nvme0/hwmon3';
    const below = {
      [`${monitor}/temp1_input`]: '41850\n',
      [`${monitor}/temp1_label`]: 'Composite\n',
      [`${monitor}/temp1_max`]: '81850\n',
      [`${monitor}/temp1_crit`]: '84850\n',
      [`${monitor}/temp2_input`]: '50850\n',
      [`${monitor}/temp2_max`]: '65261850\n',
      'hwmon/hwmon1/temp1_input': '60000\n',
      'hwmon/hwmon1/temp1_crit': '100000\n',
      'hwmon/hwmon1/temp1_crit_hyst': '97000\n',
      'hwmon/hwmon1/temp2_input': '61000\n',
      'hwmon/hwmon1/temp3_input': '0\n',
      'hwmon/hwmon1/temp3_max': '90000\n',
      'hwmon/hwmon1/temp3_fault': '1\n',
    };
    const nothing = { max: null, maxCleared: null, critical: null, criticalCleared: null };
    expect(look({ ...drive, below })?.temperatures).toEqual([
      { ...nothing, name: 'temp1', value: 60_000, critical: 100_000, criticalCleared: 97_000 },
      { ...nothing, name: 'Composite', value: 41_850, max: 81_850, critical: 84_850 },
      { ...nothing, name: 'temp2', value: 50_850 },
    ]);
  });

  it('are not there for a card that is gone', ({ expect }) => {
    expect(look({ ...drive, address: '0000:22:00.0' })).toBeUndefined();
  });
});

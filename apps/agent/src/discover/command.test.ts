import { execFile } from 'node:child_process';
import { mkdtempSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, it } from 'vitest';
import { eightGpuServer } from '@cyborg/driver-sdk/example-trees';
import { buildTree } from '@cyborg/driver-sdk/tree-builder';

const launcher = fileURLToPath(new URL('../../../../bin/cyborg-agent', import.meta.url));

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cyborg-discover-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

interface Result {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

async function discover(...words: string[]): Promise<Result> {
  return await new Promise((resolve) => {
    const child = execFile(
      launcher,
      ['discover', ...words],
      { timeout: 60_000 },
      (_error, stdout, stderr) => {
        resolve({ code: child.exitCode ?? -1, stdout, stderr });
      },
    );
  });
}

describe('cyborg-agent discover', () => {
  it('prints what is in a tree, as JSON', async ({ expect }) => {
    buildTree(folder, eightGpuServer());
    const { code, stdout, stderr } = await discover(
      '--sysfs-root',
      join(folder, 'sys'),
      '-f',
      'json',
    );
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const { devices, services } = JSON.parse(stdout);
    expect(devices).toHaveLength(9);
    expect(devices[1]).toMatchObject({
      address: '0000:18:00.0',
      vendor_id: '0x10de',
      device_id: '0x2330',
      class: '0x030200',
      type: 'GPU',
      numa_node: 0,
      iommu_group: 40,
      kernel_driver: null,
      offered: false,
      reason: 'not approved',
    });
    expect(devices[1].deployables[0].accelerators).toHaveLength(1);
    expect(services[0]).toMatchObject({ name: 'gpu.compute', accelerators_total: 9 });
  });

  it('takes a kind and its configuration', async ({ expect }) => {
    buildTree(folder, eightGpuServer());
    const root = ['--sysfs-root', join(folder, 'sys')];
    const rules = '[{"class":"0108","offer":true},{"class":"02"}]';
    const { stdout } = await discover(
      ...root,
      '--config',
      'classes=',
      '--config',
      `rules=${rules}`,
    );
    expect(stdout).toMatch(
      /nvme-0000:b0:01\.0\s+no\s+in use by the host: disk nvme0n1p1 is mounted at \//u,
    );
    expect(stdout).toMatch(/nic-0000:c0:01\.0\s+no\s+in use by the host: interface eth0 is up/u);
    const virtual = await discover(
      ...root,
      '--kind',
      'virtual',
      '--config',
      'crypto=2',
      '-f',
      'json',
    );
    expect(JSON.parse(virtual.stdout).devices[0].deployables[0].accelerators).toHaveLength(2);
  });

  it('answers an empty tree with nothing, and exit 0', async ({ expect }) => {
    mkdirSync(join(folder, 'sys'));
    const { code, stdout } = await discover('--sysfs-root', join(folder, 'sys'), '-f', 'json');
    expect({ code, found: JSON.parse(stdout) }).toEqual({
      code: 0,
      found: { devices: [], services: [] },
    });
  });

  it('says in one line why a root cannot be read, exit 1', async ({ expect }) => {
    writeFileSync(join(folder, 'file'), '');
    for (const name of ['nowhere', 'file']) {
      const { code, stdout, stderr } = await discover(
        '--sysfs-root',
        join(folder, name),
        '-f',
        'json',
      );
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
      expect(stderr).toMatch(/^cyborg-agent discover: cannot read .+\n$/u);
    }
  });

  it('does not take a bus that cannot be read for a machine without devices', async ({
    expect,
  }) => {
    const sysfs = join(folder, 'sys');
    mkdirSync(join(sysfs, 'bus/pci'), { recursive: true });
    symlinkSync('devices', join(sysfs, 'bus/pci/devices'));
    const { code, stdout, stderr } = await discover('--sysfs-root', sysfs, '-f', 'json');
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr).toMatch(
      /^cyborg-agent discover: cannot read .*bus\/pci\/devices \(ELOOP\).+\n$/u,
    );
    expect((await discover('--sysfs-root', sysfs, '--kind', 'virtual')).code).toBe(0);
  });

  it('exits 2 with the way out when it was asked wrongly', async ({ expect }) => {
    const cases = [
      [['--kind', 'usb'], /the generic driver has pci, virtual, static/u],
      [['--config', 'offer=some'], /config\.offer is "some"; it must be one of/u],
      [['--config', 'offer'], /is not KEY=VALUE/u],
      [['--config', '__proto__=1'], /__proto__/u],
      [['--sysfs-root', ''], /--sysfs-root is empty/u],
      [['-f', 'xml\u001b'], /--format is xml\\u001b; it must be json or table/u],
      [['--nonsense'], /--nonsense/u],
    ] as const;
    for (const [words, message] of cases) {
      const { code, stderr } = await discover(...words);
      expect(code, words.join(' ')).toBe(2);
      expect(stderr).toMatch(message);
    }
  });
});

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'vitest';
import type { DriverAccelerator } from '@cyborg/driver-sdk/protocol';
import type { Ask } from '@cyborg/driver-sdk/scan-process';
import { TreeReader } from '@cyborg/driver-sdk/sysfs';
import { buildTree, type FunctionDescription } from '@cyborg/driver-sdk/tree-builder';
import { scan, type HostScanInput, type OpenNodesAnswer } from './scan-host.ts';
import type { ScanOutput } from './scan.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cyborg-open-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const gpu = (address: string, minor: number): FunctionDescription => ({
  address,
  vendor: 0x10de,
  device: 0x2330,
  class: 0x030200,
  driver: 'nouveau',
  iommuGroup: 7,
  below: {
    'drm/renderD/dev': `226:${minor}\n`,
    'drm/renderD/uevent': `DEVNAME=dri/renderD${minor}\n`,
  },
});
const serial: FunctionDescription = {
  ...gpu('0000:21:00.1', 1),
  class: 0x070002,
  below: { 'tty/ttyS9/dev': '4:73\n' },
};
/** One process, whose files cannot be listed. */
const files = { '/proc/77/comm': 'other\n', '/proc/77/cmdline': 'other\n' };

const everything = [gpu('0000:21:00.0', 128), serial, gpu('0000:22:00.0', 129)];

function input(functions: readonly FunctionDescription[]): HostScanInput {
  const roots = buildTree(folder, { functions: [...functions], files });
  const config = { classes: ['03'], rules: [], exclude: [], offer: 'all' as const };
  const host = { roots, hostName: 'host', boundByUs: [], known: {}, config };
  return { ...host, isSimulated: false, asksAgent: true };
}

async function look(onNodes: Ask, functions = everything): Promise<DriverAccelerator[]> {
  const answer: Ask = async (question) =>
    JSON.stringify(question).includes('addresses') ? { functions: [] } : await onNodes(question);
  const { inventory } = await scan(input(functions), new TreeReader(), answer);
  return inventory.devices.flatMap((device) => device.deployables[0]?.accelerators ?? []);
}

const says = (answer: OpenNodesAnswer): Ask => {
  return async () => answer;
};

describe('what the agent says of open nodes', () => {
  it('is asked for once, for all functions and their neighbours', async ({ expect }) => {
    const questions: unknown[] = [];
    const found = await look(async (question) => {
      questions.push(question);
      return { complete: true, open: [] };
    });
    expect(questions).toEqual([
      {
        nodes: ['0000:21:00.0', 'c226:128', '0000:21:00.1', 'c4:73', '0000:22:00.0', 'c226:129'],
      },
    ]);
    expect(found.map(({ attach_info: info, host_use: use }) => [info['bus'], use])).toEqual([
      ['21', 'neighbour 0000:21:00.1 in IOMMU group 7: driven by nouveau'],
      ['22', 'neighbour 0000:21:00.1 in IOMMU group 7: driven by nouveau'],
    ]);
  });

  it('names the holder of a node, or of the memory', async ({ expect }) => {
    const holder = { pid: 12, command: 'trainer' };
    const byNode = await look(says({ complete: false, open: [{ node: 'c226:128', ...holder }] }));
    expect(byNode[0]?.host_use).toBe('/dev/dri/renderD128 is open in trainer (pid 12)');
    const byMemory = await look(
      says({ complete: true, open: [{ node: '0000:22:00.0', ...holder }] }),
    );
    expect(byMemory[1]?.host_use).toBe('its memory is open in trainer (pid 12)');
  });

  it('counts as use when it is not all, missing, or not known to the agent', async ({ expect }) => {
    const useAfter = async (onQuestion: Ask): Promise<string | null | undefined> => {
      const [first] = await look(onQuestion, [gpu('0000:21:00.0', 128)]);
      return first?.host_use;
    };
    const question = 'whether /dev/dri/renderD128 is open is unknown';
    expect(await useAfter(says({ complete: true, open: [] }))).toBeNull();
    for (const [onQuestion, why] of [
      [says({ complete: false, open: [] }), 'the agent cannot see the files of every process'],
      [async () => Promise.reject(new Error('it is busy')), 'the agent did not say: it is busy'],
      [says('unknown'), "the files of other users' processes are hidden"],
    ] as const) {
      expect(await useAfter(onQuestion)).toContain(`${question}: ${why}`);
    }
  });

  it('is missing for a node that cannot be asked for, which does not harm the others', async ({
    expect,
  }) => {
    const odd = { 'misc/x/dev': 'nonsense\n', 'misc/x/uevent': 'DEVNAME=../../etc/x\n' };
    const functions = [{ ...gpu('0000:21:00.0', 128), below: odd }];
    const [found] = await look(async (question) => {
      expect(question).toEqual({ nodes: ['0000:21:00.0'] });
      return { complete: true, open: [] };
    }, functions);
    expect(found?.host_use).toBe(
      'whether /dev/../../etc/x is open is unknown: its number cannot be read',
    );
  });
});

describe('what the agent says of serial numbers', () => {
  const cards = [gpu('0000:21:00.0', 128), gpu('0000:22:00.0', 129)];
  const dsn = '00-11-22-33-44-55-66-77';

  /** The tree is built once: what is built anew are other cards. */
  const lookAt = async (host: HostScanInput, onAddresses: Ask): Promise<ScanOutput> =>
    await scan(host, new TreeReader(), async (question) =>
      JSON.stringify(question).includes('nodes')
        ? { complete: true, open: [] }
        : await onAddresses(question),
    );
  const keysOf = ({ inventory }: ScanOutput): string[] => inventory.devices.map(({ key }) => key);

  it('is asked for of new cards alone, and what has gone meanwhile is asked for again', async ({
    expect,
  }) => {
    const questions: unknown[] = [];
    const said: Ask = async (question) => {
      questions.push(question);
      return { functions: [{ address: '0000:22:00.0', dsn, vpd: {} }] };
    };
    const host = input(cards);
    const first = await lookAt(host, said);
    expect(keysOf(first)).toEqual(['pci-0000:21:00.0-10de-2330', `pci-10de-2330-${dsn}-f0`]);
    expect(keysOf(await lookAt({ ...host, known: first.known }, said))).toEqual(keysOf(first));
    expect(questions).toEqual([
      { addresses: ['0000:21:00.0', '0000:22:00.0'] },
      { addresses: ['0000:21:00.0'] },
    ]);
  });

  it('fails the look when it is missing: a card is not to have two keys', async ({ expect }) => {
    const busy: Ask = async () => Promise.reject(new Error('it is busy'));
    await expect(lookAt(input(cards), busy)).rejects.toThrow('it is busy');
    const unasked = await lookAt(input(cards), async () => 'unknown');
    expect(keysOf(unasked)).toHaveLength(2);
  });
});

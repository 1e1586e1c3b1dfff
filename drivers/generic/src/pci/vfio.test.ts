import { cpSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'vitest';
import type { BackendContext, Kind } from '@cyborg/driver-sdk/define-driver';
import { DriverError } from '@cyborg/driver-sdk/errors';
import type { AgentMethod, DriverAccelerator, DriverDevice } from '@cyborg/driver-sdk/protocol';
import { buildTree, pathOf, type FunctionDescription } from '@cyborg/driver-sdk/tree-builder';
import { HealthReader } from '../health/watch.ts';
import { openPciKind } from './kind.ts';
import { PciScanner } from './scanner.ts';
import { Cleaner } from './vfio.ts';

let folder = '';
const closing: (() => void)[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cyborg-vfio-'));
});
afterEach(() => {
  for (const close of closing.splice(0)) close();
  rmSync(folder, { recursive: true, force: true });
});

const address = '0000:21:00.0';
const gpu: FunctionDescription = {
  address,
  vendor: 0x10de,
  device: 0x2330,
  class: 0x030200,
  iommuGroup: 7,
};
const sibling: FunctionDescription = { ...gpu, address: '0000:21:00.1' };
const quietProc = {
  '/proc/self/mountinfo': '22 1 0:5 / /proc rw - proc proc rw\n',
  '/proc/swaps': 'Filename Type Size Used Priority\n',
  '/proc/crypto': 'name : sha256\nmodule : kernel\nrefcnt : 1\n',
  '/proc/77/fd/0': { linkText: '/dev/null' },
  '/proc/77/comm': 'sh\n',
};

type Asked = Readonly<Record<string, unknown>>;
type Answer = object | DriverError;
type Answers = Partial<Record<AgentMethod, Answer | ((params: Asked) => Answer)>>;
const inUse = new DriverError('transient', 'qemu (pid 77) has /dev/vfio/7 open.');

interface Bench {
  readonly kind: Kind;
  readonly context: BackendContext<unknown>;
  /** What the agent was asked for, but for what it only looks at. */
  readonly asked: (readonly [AgentMethod, object])[];
  changes: number;
}

interface Options {
  readonly config?: object;
  readonly answers?: Answers;
  /** Beside those of quiet processes. */
  readonly files?: Readonly<Record<string, string>>;
}

/** A real host's backend, whose agent answers as told, and else with success. */
function open(
  functions: readonly FunctionDescription[],
  { config = {}, answers = {}, files = {} }: Options = {},
): Bench {
  const scanner = new PciScanner();
  const cleaner = new Cleaner();
  const healthReader = new HealthReader({ monotonicMs: () => performance.now() });
  closing.push(
    () => scanner.close(),
    () => cleaner.close(),
    () => healthReader.close(),
  );
  const kind = openPciKind({ scanner, cleaner, healthReader });
  const asked: (readonly [AgentMethod, object])[] = [];
  const ask = async (method: AgentMethod, params: object): Promise<object> => {
    if (method === 'listBound') return answers.listBound ?? { functions: [] };
    asked.push([method, params]);
    const said = answers[method] ?? {};
    const answer = typeof said === 'function' ? said({ ...params }) : said;
    if (answer instanceof DriverError) throw answer;
    return answer;
  };
  const bench: Bench = {
    kind,
    asked,
    changes: 0,
    context: {
      host: { name: 'host', node_name: 'host' },
      roots: buildTree(folder, { functions, files: { ...quietProc, ...files } }),
      simulated: false,
      stateDir: null,
      log: () => undefined,
      backend: 'b',
      config: kind.parseConfig({ offer: 'all', ...config }),
      signal: new AbortController().signal,
      ask: ask as BackendContext<unknown>['ask'], // answers are the test's
      inventoryChanged: () => {
        bench.changes += 1;
      },
      healthChanged: () => undefined,
    },
  };
  return bench;
}

async function devicesOf({ kind, context }: Bench): Promise<DriverDevice[]> {
  const { devices } = await kind.discover(context);
  return devices;
}

async function acceleratorsOf(bench: Bench): Promise<DriverAccelerator[]> {
  const devices = await devicesOf(bench);
  return devices.flatMap(({ deployables }) => deployables.flatMap((part) => part.accelerators));
}

const orderOf = (accelerator: DriverAccelerator | undefined) => ({
  accelerator: accelerator?.key ?? '',
  epoch: 1,
  attachment: 'a',
  instance: 'i',
  plugs: ['pci' as const, 'mdev' as const],
});

describe('a function of a real host', () => {
  it('is bound by the agent, with whose driver may be taken away in its group', async ({
    expect,
  }) => {
    const bench = open([gpu, { ...sibling, driver: 'nouveau' }], {
      config: { rules: [{ kernel_driver: 'nouveau', unbind: 'idle' }] },
    });
    const [first] = await acceleratorsOf(bench);
    expect(first).toMatchObject({
      offered: true,
      iommu_group: 7,
      group_members: [sibling.address],
    });
    const plan = await bench.kind.prepare(bench.context, orderOf(first));
    expect(plan).toEqual({ kind: 'pci', address });
    const unbind = [sibling.address];
    expect(bench.asked).toEqual([['bind', { address, kernel_driver: 'vfio-pci', unbind }]]);
  });

  it('is withheld while a kernel driver has it, or its group has what is not listed', async ({
    expect,
  }) => {
    const usb = { ...sibling, class: 0x0c0330 };
    const [own] = await acceleratorsOf(open([{ ...gpu, driver: 'nouveau' }]));
    expect(own).toMatchObject({ offered: false, obstacle: 'bound to nouveau; set unbind: idle' });
    const bench = open([gpu, usb]);
    const [grouped] = await acceleratorsOf(bench);
    const obstacle =
      'shares IOMMU group 7 with 0000:21:00.1 (no driver): list that one, too, by a rule';
    expect(grouped).toMatchObject({ offered: false, obstacle });
    await expect(bench.kind.prepare(bench.context, orderOf(grouped))).rejects.toMatchObject({
      code: 'unsupported',
      message: `gpu-${address}: ${obstacle}`,
    });
    expect(bench.asked).toEqual([]);
  });

  it('names the way out of each', async ({ expect }) => {
    const obstacleOf = async (...options: Parameters<typeof open>): Promise<unknown> =>
      (await acceleratorsOf(open(...options)))[0]?.obstacle;
    const { iommuGroup: _group, ...alone } = gpu;
    expect(await obstacleOf([alone])).toContain('on Intel by the kernel argument intel_iommu=on');
    const sound = { ...sibling, class: 0x040300, driver: 'snd_hda_intel' };
    const shared = 'shares IOMMU group 7 with 0000:21:00.1 (snd_hda_intel)';
    expect(await obstacleOf([gpu, sound])).toBe(
      `${shared}: list that one, too, by a rule, with unbind: idle`,
    );
    const config = { rules: [{ class: '0403' }] };
    expect(await obstacleOf([gpu, sound], { config })).toBe(
      `${shared}: set unbind: idle for that one`,
    );
    const chipset = { ...sibling, class: 0x060100, driver: 'lpc_ich' };
    expect(await obstacleOf([gpu, chipset])).toContain('which no guest gets');
  });

  it('is withheld while vfio-pci has it, or one of its group, on its list of what it does not take', async ({
    expect,
  }) => {
    const qat = { ...gpu, vendor: 0x8086, device: 0x19e3, class: 0x0b4000 };
    const parameter = '/sys/module/vfio_pci/parameters/disable_denylist';
    const denied = { files: { [parameter]: 'N\n' } };
    for (const functions of [[qat], [gpu, { ...qat, address: sibling.address }]]) {
      const [one] = await acceleratorsOf(open(functions, denied));
      expect(one).toMatchObject({
        offered: false,
        obstacle: expect.stringMatching(/\(0x8086:0x19e3\).*disable_denylist=1/u),
      });
    }
    const accepted = open([qat], { files: { [parameter]: 'Y\n' } });
    const [given] = await acceleratorsOf(accepted);
    expect(given).toMatchObject({ offered: true, obstacle: null });
  });

  it('is withheld while a bridge’s driver keeps its group, unless that may be taken away', async ({
    expect,
  }) => {
    const bridge = { ...gpu, address: '0000:20:00.0', class: 0x060400, driver: 'shpchp' };
    const [kept] = await acceleratorsOf(open([gpu, bridge]));
    const obstacle = 'shares IOMMU group 7 with the bridge 0000:20:00.0 (shpchp); set unbind: idle';
    expect(kept).toMatchObject({ offered: false, obstacle });
    const idle = { config: { unbind: 'idle' } };
    const bench = open([gpu, bridge], idle);
    const [taken] = await acceleratorsOf(bench);
    expect(taken).toMatchObject({ offered: true, obstacle: null });
    await bench.kind.prepare(bench.context, orderOf(taken));
    expect(bench.asked).toEqual([
      ['bind', { address, kernel_driver: 'vfio-pci', unbind: [address] }],
    ]);
    const [plain] = await acceleratorsOf(open([gpu, { ...bridge, driver: 'pcieport' }]));
    expect(plain).toMatchObject({ offered: true });
  });

  it('stays listed by the driver that it had while it is bound for a guest', async ({ expect }) => {
    const config = { classes: [], rules: [{ kernel_driver: 'nouveau', unbind: 'idle' }] };
    const bound = { functions: [{ address, kernel_driver: 'nouveau' }] };
    const given = { ...gpu, driver: 'vfio-pci' };
    const [found] = await acceleratorsOf(open([given], { config, answers: { listBound: bound } }));
    expect(found).toMatchObject({ offered: true, host_use: null });
    expect(await acceleratorsOf(open([given], { config }))).toEqual([]);
  });
});

describe('a backend that goes', () => {
  it('gives back what was bound before its driver was restarted', async ({ expect }) => {
    const bound = { functions: [{ address, kernel_driver: 'nouveau' }] };
    const bench = open([{ ...gpu, driver: 'vfio-pci' }], { answers: { listBound: bound } });
    await bench.kind.uninstall?.(bench.context, { dryRun: false });
    expect(bench.asked).toEqual([['restore', { address }]]);
  });

  it('makes whole again what it divided, unless a part is in use, and leaves alone what it did not', async ({
    expect,
  }) => {
    const vfs = { device: 0x2331, addresses: ['0000:21:00.4'], iommuGroup: 9 };
    const own = { ...gpu, totalVfs: 4, vfs };
    const another = {
      ...own,
      address: '0000:22:00.0',
      vfs: { ...vfs, addresses: ['0000:22:00.4'] },
    };
    const config = { rules: [{ address, vfs: { count: 1 } }, { address: '0000:22:*' }] };
    const used = new DriverError('host-use', 'Virtual function 0 is bound to vfio-pci.');
    for (const setVfCount of [{}, used]) {
      const bench = open([own, another], { config, answers: { setVfCount } });
      await devicesOf(bench);
      await bench.kind.uninstall?.(bench.context, { dryRun: false });
      const counts = bench.asked.filter(([method]) => method === 'setVfCount');
      expect(counts).toEqual([['setVfCount', { address, count: 0 }]]);
      expect(bench.asked.at(-1)?.[0]).toBe('setVfCount');
    }
  });
});

/** As the kernel does when a card goes and one comes in its place: its folder is another one. */
function swap(fn: FunctionDescription, device: number): void {
  const path = join(folder, pathOf(fn));
  cpSync(path, `${path}.new`, { recursive: true, verbatimSymlinks: true });
  renameSync(path, `${path}.old`);
  renameSync(`${path}.new`, path);
  writeFileSync(join(path, 'device'), `0x${device.toString(16)}\n`);
}

describe('a card that was swapped since the last look', () => {
  it('is looked at again before anything is done to it, and is not what was ordered', async ({
    expect,
  }) => {
    const bench = open([gpu]);
    const [accelerator] = await acceleratorsOf(bench);
    const order = orderOf(accelerator);
    swap(gpu, 0x2331);
    for (const act of [bench.kind.prepare, bench.kind.clean]) {
      const told = bench.changes;
      await expect(act(bench.context, order)).rejects.toMatchObject({
        code: 'transient',
        message: expect.stringContaining(`What is at ${address} is not what was there`),
      });
      expect(bench.changes).toBe(told + 1);
    }
    await acceleratorsOf(bench);
    for (const act of [bench.kind.prepare, bench.kind.clean]) {
      await expect(act(bench.context, order)).rejects.toMatchObject({ code: 'gone' });
    }
    expect(bench.asked).toEqual([]);
  });

  it('is given when it is the same again', async ({ expect }) => {
    const bench = open([gpu]);
    const [accelerator] = await acceleratorsOf(bench);
    swap(gpu, gpu.device);
    const order = orderOf(accelerator);
    await expect(bench.kind.prepare(bench.context, order)).rejects.toThrow(/looked at again/u);
    await acceleratorsOf(bench);
    expect(await bench.kind.prepare(bench.context, order)).toEqual({ kind: 'pci', address });
  });
});

const verified = [
  'answers',
  'ids 0x10de:0x2330 and class as before',
  'configuration space as expected: no bus mastering, addresses as assigned',
];

describe('cleaning', () => {
  it('resets, verifies, puts back, and says each', async ({ expect }) => {
    const bench = open([gpu], { answers: { reset: { method: 'flr' } } });
    const [accelerator] = await acceleratorsOf(bench);
    const evidence = await bench.kind.clean(bench.context, orderOf(accelerator));
    expect(evidence).toEqual(['reset by flr', ...verified, 'put back as it was found']);
    expect(bench.asked.map(([method]) => method)).toEqual(['reset', 'restore']);
  });

  it('takes from the host what it has again, and resets nothing below its driver', async ({
    expect,
  }) => {
    const config = { rules: [{ vendor: '10de', unbind: 'idle' }] };
    const bench = open([{ ...gpu, driver: 'nouveau' }], { config });
    const [accelerator] = await acceleratorsOf(bench);
    await bench.kind.clean(bench.context, orderOf(accelerator));
    const wish = { address, kernel_driver: 'vfio-pci', unbind: [address] };
    expect(bench.asked).toEqual([
      ['bind', wish],
      ['reset', { address, methods: ['flr', 'bus'] }],
      ['restore', { address }],
    ]);
    const used = new DriverError('host-use', 'nouveau draws on it.');
    const held = open([{ ...gpu, driver: 'nouveau' }], { config, answers: { bind: used } });
    await acceleratorsOf(held);
    await expect(held.kind.clean(held.context, orderOf(accelerator))).rejects.toThrow(used);
    expect(held.asked.map(([method]) => method)).toEqual(['bind']);
  });

  it('only puts back what no guest had, unless one had its neighbour', async ({ expect }) => {
    const drive = { ...gpu, class: 0x010802 };
    const config = { classes: ['0108'] };
    const bench = open([drive], { config });
    const [accelerator] = await acceleratorsOf(bench);
    const order = { ...orderOf(accelerator), never_given: true };
    expect(await bench.kind.clean(bench.context, order)).toEqual([
      'no guest had it since it was clean: nothing to reset',
      ...verified.slice(0, -1),
      'configuration space as expected: addresses as assigned',
      'put back as it was found',
    ]);
    expect(bench.asked.map(([method]) => method)).toEqual(['restore']);
    const pair = open([drive, { ...drive, address: sibling.address }], { config });
    await acceleratorsOf(pair);
    await expect(pair.kind.clean(pair.context, order)).rejects.toThrow(/keeps what was written/u);
  });

  it('fails without a reset, and leaves it where it is, unless somebody accepts that with a reason', async ({
    expect,
  }) => {
    const answers = { reset: new DriverError('unsupported', 'It has none.') };
    const bench = open([gpu], { answers });
    const [accelerator] = await acceleratorsOf(bench);
    const order = orderOf(accelerator);
    await expect(bench.kind.clean(bench.context, order)).rejects.toThrow(/resetless/u);
    expect(bench.asked.map(([method]) => method)).toEqual(['reset']);
    const accepted = { ...order, resetless_reason: 'it has no memory' };
    const [first] = await bench.kind.clean(bench.context, accepted);
    expect(first).toBe('not reset (It has none.): accepted, it has no memory');
    const rule = { vendor: '10de', resetless: { accepted: true, reason: 'by rule' } };
    const ruled = open([gpu], { answers, config: { rules: [rule] } });
    await acceleratorsOf(ruled);
    const [second] = await ruled.kind.clean(ruled.context, order);
    expect(second).toMatch(/accepted, by rule$/u);
  });

  it('goes on to a reset of the bus where its definition allows that, and says what that would hit', async ({
    expect,
  }) => {
    const none = new DriverError('unsupported', 'It has none.');
    const others = new DriverError('host-use', 'That would reset 0000:21:00.1 (xhci_hcd).');
    const can = { reset: ({ scope }: Asked) => (scope === 'bus' ? {} : none) };
    const behind = { ...gpu, behind: ['0000:20:00.0'] };
    const bench = open([behind], { answers: can });
    const [accelerator] = await acceleratorsOf(bench);
    const order = orderOf(accelerator);
    const [evidence] = await bench.kind.clean(bench.context, order);
    expect(evidence).toBe('reset by bus, with all that is behind its bridge');
    expect(bench.asked).toContainEqual(['reset', { address, scope: 'bus' }]);
    const answers = { reset: ({ scope }: Asked) => (scope === 'bus' ? others : none) };
    const shared = open([behind], { answers });
    await acceleratorsOf(shared);
    await expect(shared.kind.clean(shared.context, order)).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringMatching(/^It has none\. That would reset 0000:21:00\.1/u),
    });
    const busy = { reset: ({ scope }: Asked) => (scope === 'bus' ? inUse : none) };
    const waiting = open([behind], { answers: busy });
    await acceleratorsOf(waiting);
    await expect(waiting.kind.clean(waiting.context, order)).rejects.toThrow(inUse);
  });

  it('resets no bus where its definition has another method', async ({ expect }) => {
    const drive = { ...gpu, class: 0x010802, behind: ['0000:20:00.0'] };
    const answers = { reset: new DriverError('unsupported', 'It has none.') };
    const bench = open([drive], { answers, config: { classes: ['0108'] } });
    const [accelerator] = await acceleratorsOf(bench);
    await expect(bench.kind.clean(bench.context, orderOf(accelerator))).rejects.toThrow(/It has/u);
    expect(bench.asked).toEqual([['reset', { address, methods: ['flr'] }]]);
  });

  it('fails for a card that does not answer, or is another one', async ({ expect }) => {
    const silent = { ...gpu, attributes: { config: Buffer.alloc(256, 0xff) } };
    const other = { ...gpu, attributes: { device: '0x2331\n' } };
    const cases = [
      [silent, /does not answer/u],
      [other, /its ids are 0x10de:0x2330, and were 0x10de:0x2331/u],
    ] as const;
    for (const [fn, problem] of cases) {
      const bench = open([fn]);
      const [accelerator] = await acceleratorsOf(bench);
      await expect(bench.kind.clean(bench.context, orderOf(accelerator))).rejects.toThrow(problem);
    }
  });

  it('does not pretend that a drive forgets', async ({ expect }) => {
    const cases = [
      [{ class: 0x010802 }, { class: '0108' }],
      // By a definition that says nothing of erasing, by one that says nothing of cleaning, and by none.
      [{ class: 0x010802 }, { definition: 'pci', class: '010802' }],
      [{ class: 0x010000, vendor: 0x1af4, device: 0x1042 }, { definition: 'virtio-blk' }],
      [{ class: 0x010700 }, { class: '0107' }],
    ] as const;
    for (const [ids, rule] of cases) {
      const bench = open([{ ...gpu, ...ids }], { config: { classes: [], rules: [rule] } });
      const [accelerator] = await acceleratorsOf(bench);
      expect(accelerator?.offered).toBe(true);
      await expect(bench.kind.clean(bench.context, orderOf(accelerator))).rejects.toThrow(
        /keeps what was written to it/u,
      );
      const accepted = { ...orderOf(accelerator), resetless_reason: 'it was empty' };
      expect(await bench.kind.clean(bench.context, accepted)).toContain(
        'what was written to it was not erased: accepted, it was empty',
      );
    }
  });
});

describe('virtual functions', () => {
  const card = { ...gpu, totalVfs: 8 };
  const config = { rules: [{ vendor: '10de', vfs: { count: 4 } }] };

  it('are asked for when the agent knows the card, which is not given whole meanwhile', async ({
    expect,
  }) => {
    const bench = open([card], { config });
    const [whole] = await acceleratorsOf(bench);
    expect(whole).toMatchObject({ offered: false, obstacle: expect.stringMatching(/divided/u) });
    expect([bench.changes, bench.asked]).toEqual([1, []]);
    await acceleratorsOf(bench);
    expect(bench.asked).toEqual([['setVfCount', { address, count: 4 }]]);
  });

  it('that cannot be made are told of at the card, and asked for no faster', async ({ expect }) => {
    const refusal = new DriverError('host-use', 'Virtual function 0 is bound to vfio-pci.');
    const bench = open([card], { config, answers: { setVfCount: refusal } });
    await devicesOf(bench);
    const [device] = await devicesOf(bench);
    expect(device?.info['vfs_not_made']).toBe('Virtual function 0 is bound to vfio-pci.');
    expect(bench.changes).toBe(1);
  });
});

describe('mediated devices', () => {
  it('are made by prepare, the same ones again after a restart, and removed by release', async ({
    expect,
  }) => {
    const type = 'nvidia-35';
    const below = {
      [`mdev_supported_types/${type}/available_instances`]: '2\n',
      [`mdev_supported_types/${type}/name`]: 'GRID T4-2B\n',
    };
    const card = { ...gpu, device: 0x1eb8, driver: 'nvidia', below };
    const config = { rules: [{ vendor: '10de', mdev_type: type }] };
    const plans = [];
    for (const bench of [open([card], { config }), open([card], { config })]) {
      const [first, second] = await acceleratorsOf(bench);
      expect(first).toMatchObject({ plans: ['mdev'], obstacle: null });
      const plan = await bench.kind.prepare(bench.context, orderOf(first));
      const other = await bench.kind.prepare(bench.context, orderOf(second));
      expect(plan).toMatchObject({ kind: 'mdev', parent: address, type });
      expect(other).not.toEqual(plan);
      const uuid = plan.kind === 'mdev' ? plan.uuid : '';
      await bench.kind.release(bench.context, orderOf(first));
      expect(bench.asked[0]).toEqual(['makeMdev', { address, type, uuid }]);
      expect(bench.asked.at(-1)).toEqual(['removeMdev', { address, uuid }]);
      plans.push(plan);
    }
    expect(plans[0]).toEqual(plans[1]);
  });
});

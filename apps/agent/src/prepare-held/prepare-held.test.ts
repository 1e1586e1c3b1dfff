import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'vitest';
import { buildTree, emptyFolder, type FunctionDescription } from '@cyborg/driver-sdk/tree-builder';
import { systemClock, type Clock } from '@cyborg/service/clock';
import { makeLogger } from '@cyborg/service/logging';
import { TreeKernel } from '../../test/tree-kernel.ts';
import { PrivilegedActs } from '../privileged/acts.ts';
import { Bindings, type Binding, type VfCount } from '../privileged/bindings.ts';
import { Permits } from '../privileged/permits.ts';
import { lockHost } from '../state/host-lock.ts';
import { runPrepareHeld } from './command.ts';
import { heldIn, prepareHeld } from './prepare-held.ts';

const gpu = '0000:21:00.0';
const sound = '0000:21:00.1';
const other = '0000:22:00.0';
const card = '0000:41:00.0';
const virtual = '0000:41:00.1';
const drive = '0000:61:00.0';
const withOverride = { attributes: { driver_override: '' } };

const functions: readonly FunctionDescription[] = [
  {
    address: gpu,
    vendor: 0x10de,
    device: 0x1eb8,
    class: 0x030200,
    iommuGroup: 7,
    driver: 'nouveau',
    serial: 0x11n,
    ...withOverride,
  },
  {
    address: other,
    vendor: 0x10de,
    device: 0x1eb8,
    class: 0x030200,
    iommuGroup: 8,
    driver: 'nouveau',
    ...withOverride,
  },
  {
    address: card,
    vendor: 0x1bee,
    device: 0x0001,
    class: 0x120000,
    iommuGroup: 9,
    driver: 'pf',
    totalVfs: 4,
    vfs: { device: 0x0002, addresses: [virtual], iommuGroup: 10 },
  },
];

const ofGpu: Binding = {
  address: gpu,
  backend: 'b',
  ids: '0x10de:0x1eb8',
  serial: 'config 00-00-00-00-00-00-00-11',
  driver: 'nouveau',
  override: null,
  boundTo: 'vfio-pci',
  heldFor: [gpu],
};
const { serial: _, ...numberless } = ofGpu;
const ofVirtual: Binding = {
  ...numberless,
  address: virtual,
  ids: '0x1bee:0x0002',
  driver: null,
  heldFor: [virtual],
};
const one: VfCount = { address: card, ids: '0x1bee:0x0001', count: 1 };

/** One process that has nothing open, in the namespace in which every process is seen; nothing mounted. */
const files = {
  '/proc/self/ns/pid': { linkText: 'pid:[4026531836]' },
  '/proc/self/mountinfo': '22 1 0:5 / / rw - tmpfs tmpfs rw\n',
  '/proc/swaps': 'Filename Type Size Used Priority\n',
  '/proc/crypto': 'name : sha256\nmodule : kernel\nrefcnt : 1\n',
  '/proc/77/fd/0': { linkText: '/dev/null' },
  '/proc/77/comm': 'sh\n',
  '/proc/sys/kernel/random/boot_id': 'second\n',
  '/sys/bus/pci/drivers/vfio-pci/unbind': '',
  '/sys/bus/pci/drivers/nouveau/unbind': '',
  '/sys/bus/pci/drivers/nvme/unbind': '',
  '/sys/class/block': emptyFolder,
  '/sys/bus/pci/drivers_probe': '',
};

interface Given {
  readonly notes: readonly Binding[];
  readonly vfs?: readonly VfCount[];
  readonly more?: readonly FunctionDescription[];
}

class Host implements AsyncDisposable {
  readonly root: string;
  readonly stateDir: string;
  readonly kernel: TreeKernel;

  private constructor(root: string) {
    this.root = root;
    this.stateDir = join(root, 'state');
    this.kernel = new TreeKernel(join(root, 'sys'));
  }

  /** Started anew: what is in the notes is not so any more. */
  static async make({ notes, vfs = [], more = [] }: Given): Promise<Host> {
    const root = await mkdtemp(join(tmpdir(), 'cyborg-prepare-'));
    buildTree(root, { functions: [...functions, ...more], files });
    await writeFile(join(root, `sys/bus/pci/devices/${virtual}/driver_override`), '');
    const host = new Host(root);
    host.kernel.removeVfs(card, [virtual]);
    await mkdir(host.stateDir);
    await host.keep('bindings.json', { functions: notes, vfs });
    await host.bootedWith('first');
    return host;
  }

  async keep(name: string, content: object): Promise<void> {
    await writeFile(join(this.stateDir, name), JSON.stringify(content));
  }

  /** The kernel's run in which the agent ran last. */
  async bootedWith(id: string): Promise<void> {
    await this.keep('boot.json', { boot_id: id, unprepared: [] });
  }

  get flags(): string[] {
    const folders = { 'state-dir': this.stateDir, 'sysfs-root': `${this.root}/sys` };
    const more = { 'proc-root': `${this.root}/proc`, server: 'http://none', 'log-level': 'silent' };
    return Object.entries({ ...folders, ...more }).flatMap(([flag, value]) => [`--${flag}`, value]);
  }

  /** In a hurry: what fails is not tried again. @returns why, by address. */
  async refusals(): Promise<Map<string, string>> {
    const refused = new Map<string, string>();
    const silent = makeLogger({ name: 'test', level: 'silent', clock: systemClock });
    const told = (fields: object): void => {
      if ('address' in fields && 'reason' in fields)
        refused.set(String(fields.address), String(fields.reason));
    };
    const log = Object.assign(Object.create(silent), { warn: told });
    const { root, stateDir } = this;
    const acts = new PrivilegedActs({
      clock: systemClock,
      log,
      simulated: false,
      roots: { sysfs: `${root}/sys`, proc: `${root}/proc`, dev: '/dev' },
      stateDir,
      permits: new Permits(),
      lease: { isHeld: () => false },
      preparation: { loadModule: async () => undefined },
      timeoutMs: 30_000,
    });
    const loadModule = async (): Promise<undefined> => undefined;
    const bindings = new Bindings(stateDir, silent);
    await prepareHeld({ clock: hasty(), log, acts, bindings, loadModule });
    return refused;
  }

  async notes(): Promise<Binding[]> {
    const text = await readFile(join(this.stateDir, 'bindings.json'), 'utf8');
    const { functions: found }: { functions: Binding[] } = JSON.parse(text);
    return found;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kernel[Symbol.dispose]();
    await rm(this.root, { recursive: true, force: true });
  }
}

/** Each look at it is two minutes later. */
function hasty(): Clock {
  let nowMs = 0;
  return { ...systemClock, monotonicMs: () => (nowMs += 120_000) };
}

describe('after the host was started anew', () => {
  it('virtual functions are made and what guests held is bound, and nothing else', async ({
    expect,
  }) => {
    await using host = await Host.make({ notes: [ofGpu, ofVirtual], vfs: [one] });
    expect(host.kernel.driverOf(gpu)).toBe('nouveau');
    expect(await runPrepareHeld(host.flags)).toBe(0);
    expect(host.kernel.driverOf(gpu)).toBe('vfio-pci');
    expect(host.kernel.driverOf(virtual)).toBe('vfio-pci');
    expect(host.kernel.driverOf(other)).toBe('nouveau');
    expect(await host.notes()).toEqual([ofGpu, ofVirtual]);
  });

  it('a drive keeps the key with the number that nobody can read from then on', async ({
    expect,
  }) => {
    const nvme: FunctionDescription = {
      address: drive,
      vendor: 0x144d,
      device: 0xa80a,
      class: 0x010802,
      iommuGroup: 11,
      driver: 'nvme',
      below: { 'nvme/nvme0/serial': 'S4EVNX0M     \n' },
      ...withOverride,
    };
    const note: Binding = {
      ...ofGpu,
      address: drive,
      ids: '0x144d:0xa80a',
      serial: 'nvme S4EVNX0M',
      accelerator: 'pci-144d-a80a-S4EVNX0M-f0',
      driver: 'nvme',
      heldFor: [drive],
    };
    await using host = await Host.make({ notes: [note], more: [nvme] });
    expect(await runPrepareHeld(host.flags)).toBe(0);
    expect(host.kernel.driverOf(drive)).toBe('vfio-pci');
    expect(await host.notes()).toEqual([note]);
  });

  it('nothing is done when the host was not, or its agent runs already', async ({ expect }) => {
    await using host = await Host.make({ notes: [ofGpu] });
    await host.bootedWith('second');
    expect(await runPrepareHeld(host.flags)).toBe(0);
    await host.bootedWith('first');
    {
      await using _agent = await lockHost(host.stateDir, process.pid);
      expect(await runPrepareHeld(host.flags)).toBe(0);
    }
    expect(host.kernel.driverOf(gpu)).toBe('nouveau');
  });

  it('a wrong option is told by the exit status, a host without an agent’s notes is not', async ({
    expect,
  }) => {
    expect(await runPrepareHeld(['--no-such-option'])).toBe(2);
    await using host = await Host.make({ notes: [] });
    await rm(host.stateDir, { recursive: true });
    expect(await runPrepareHeld(host.flags)).toBe(0);
  });
});

describe('what was bound before stays as it is', () => {
  it.for([
    ['another card by its number', { ...ofGpu, serial: 'config 00-00-00-00-00-00-00-22' }],
    ['a card of another kind', { ...ofGpu, ids: '0x10de:0x2330' }],
    ['a card that cannot say its number', { ...ofGpu, serial: 'nvme S4EVNX0M' }],
  ] as const)('when %s is in its place', async ([, note], { expect }) => {
    await using host = await Host.make({ notes: [note] });
    expect((await host.refusals()).get(gpu)).toMatch(
      /another card now|was not given from there before|cannot be read/u,
    );
    expect(host.kernel.driverOf(gpu)).toBe('nouveau');
  });

  it('when virtual functions were made of another card than is in its slot', async ({ expect }) => {
    const notes = [ofVirtual];
    await using host = await Host.make({ notes, vfs: [{ ...one, ids: '0x1bee:0x0003' }] });
    expect([...(await host.refusals()).keys()]).toEqual([card, virtual]);
    const file = join(host.root, `sys/bus/pci/devices/${card}/sriov_numvfs`);
    expect(await readFile(file, 'utf8')).toBe('0\n');
  });

  it('when another function has come to its IOMMU group, which is named', async ({ expect }) => {
    const more = [{ ...functions[1]!, address: sound, iommuGroup: 7 }];
    await using host = await Host.make({ notes: [ofGpu], more });
    expect((await host.refusals()).get(gpu)).toContain(sound);
    expect(host.kernel.driverOf(gpu)).toBe('nouveau');
  });

  it('when the host uses it, who is named', async ({ expect }) => {
    // The kernel had no driver for it before: none may be taken away.
    await using host = await Host.make({ notes: [{ ...ofGpu, driver: null }] });
    expect((await host.refusals()).get(gpu)).toBe(`${gpu} is bound to nouveau; set unbind: idle.`);
    expect(host.kernel.driverOf(gpu)).toBe('nouveau');
  });
});

describe('what was held', () => {
  it('is what was bound for itself, with its group and whose drivers may go', ({ expect }) => {
    const bridge = { ...ofGpu, address: '0000:20:00.0', driver: 'shpchp', boundTo: null };
    const its = { ...numberless, address: sound, driver: null, heldFor: [gpu] };
    const taken = { ...ofVirtual, boundTo: null };
    expect(heldIn([ofGpu, its, bridge, taken])).toEqual([
      {
        address: gpu,
        backend: 'b',
        kernelDriver: 'vfio-pci',
        unbind: [gpu],
        group: [gpu, sound, bridge.address],
      },
    ]);
    const idle = { ...its, heldFor: [gpu, sound] };
    const [, second] = heldIn([{ ...ofGpu, heldFor: [gpu, sound] }, idle]);
    expect(second).toMatchObject({ address: sound, unbind: [gpu], group: [gpu, sound] });
  });
});

/** The whole way of a mediated device: generic driver, privileged acts, hypervisors; the test is the kernel. */
import { spawn } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, it } from 'vitest';
import { DriverProcess } from '@cyborg/driver-host/driver-process';
import { driverLimits } from '@cyborg/driver-host/limits';
import type { AttachPlan, DriverDevice, Roots } from '@cyborg/driver-sdk/protocol';
import { buildTree, pathOf } from '@cyborg/driver-sdk/tree-builder';
import { systemClock } from '@cyborg/service/clock';
import { makeLogger } from '@cyborg/service/logging';
import { gpu, quietProc } from '../../test/acts-host.ts';
import { makeBackend } from '../../test/agent-under-test.ts';
import { Backend } from '../driver-host/backend.ts';
import { deviceXml } from '../hypervisors/libvirt/domain-xml.ts';
import { toQemu } from '../hypervisors/qemu/plug.ts';
import { PrivilegedActs } from './acts.ts';
import { Permits } from './permits.ts';

const driverMain = fileURLToPath(
  new URL('../../../../drivers/generic/src/main.ts', import.meta.url),
);
const type = 'nvidia-222';
const card = {
  ...gpu,
  driver: 'nvidia',
  below: {
    [`mdev_supported_types/${type}/available_instances`]: '2\n',
    [`mdev_supported_types/${type}/create`]: '',
    [`mdev_supported_types/${type}/name`]: 'GRID T4-2B\n',
  },
};
const config = { rules: [{ vendor: '10de', offer: true, mdev_type: type }] };
const attachment = '00000000-0000-4000-8000-000000000000';
/** Machines that run tests are busy. */
const patient = { deadlineMs: 60_000 } as const;

let root = '';
let roots: Roots = { sysfs: '', proc: '', dev: '' };
const closing: (() => void)[] = [];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'cyborg-mdev-way-'));
  roots = buildTree(join(root, 'tree'), { functions: [card], files: quietProc });
  mkdirSync(join(root, 'state'));
});
afterEach(() => {
  for (const close of closing.splice(0)) close();
  rmSync(root, { recursive: true, force: true });
});

/** Does what was written into its files. */
class Kernel {
  readonly #card = join(root, 'tree', pathOf(card));
  /** UUIDs in the order in which they were made. */
  readonly made: string[] = [];

  get #create(): string {
    return join(this.#card, 'mdev_supported_types', type, 'create');
  }

  has(uuid: string): boolean {
    return existsSync(join(this.#card, uuid));
  }

  free(): number {
    return Number(readFileSync(this.#file('available_instances'), 'utf8'));
  }

  obey(): void {
    const uuid = readFileSync(this.#create, 'utf8');
    writeFileSync(this.#create, '');
    if (uuid !== '') this.#make(uuid);
    for (const one of this.made.filter((known) => this.has(known))) {
      if (readFileSync(join(this.#card, one, 'remove'), 'utf8') !== '1') continue;
      rmSync(join(this.#card, one), { recursive: true });
      this.#set(this.free() + 1);
    }
  }

  #make(uuid: string): void {
    if (this.has(uuid) || this.free() < 1) throw new Error(`the kernel would refuse ${uuid}`);
    this.made.push(uuid);
    const folder = join(this.#card, uuid);
    mkdirSync(folder);
    symlinkSync(`../mdev_supported_types/${type}`, join(folder, 'mdev_type'));
    symlinkSync('../../../kernel/iommu_groups/31', join(folder, 'iommu_group'));
    writeFileSync(join(folder, 'remove'), '');
    this.#set(this.free() - 1);
  }

  #file(name: string): string {
    return join(this.#card, 'mdev_supported_types', type, name);
  }

  #set(free: number): void {
    writeFileSync(this.#file('available_instances'), `${free}\n`);
  }
}

interface Host {
  readonly driver: DriverProcess;
  readonly discover: () => Promise<DriverDevice | undefined>;
  readonly prepare: (accelerator: string) => Promise<AttachPlan>;
  readonly release: (accelerator: string) => Promise<void>;
}

/** An agent and its driver as after a start. */
async function start(kernel: Kernel, { diesAfterMaking = false } = {}): Promise<Host> {
  const backend = new Backend(makeBackend({ id: 'b0', name: 'b', config }), () => undefined);
  const permits = new Permits();
  const log = makeLogger({ name: 'test', level: 'silent', clock: systemClock });
  const acts = new PrivilegedActs({
    clock: systemClock,
    log,
    simulated: false,
    roots,
    stateDir: join(root, 'state'),
    permits,
    lease: { isHeld: () => true },
    preparation: { loadModule: () => Promise.resolve(undefined) },
    timeoutMs: patient.deadlineMs,
  });
  const child = spawn(process.execPath, [driverMain], { stdio: ['pipe', 'pipe', 'pipe'] });
  const driver = new DriverProcess({
    child,
    label: 'generic',
    clock: systemClock,
    limits: driverLimits,
    onNotification: () => undefined,
    onRequest: async (method, params) => {
      const done = await acts.do(method, params, backend);
      kernel.obey();
      if (diesAfterMaking && method === 'makeMdev') driver.kill('it dies here');
      return done;
    },
  });
  closing.push(() => driver.kill('the test is over'));
  const initialize = {
    protocol_versions: ['1'],
    agent_version: '0',
    host: { name: 'host', node_name: 'host' },
    roots,
    simulated: false,
    state_dir: null,
    backends: [{ name: 'b', kind: 'pci', config }],
  };
  await driver.call('initialize', initialize, patient);
  const discover = async (): Promise<DriverDevice | undefined> => {
    const inventory = await driver.call('discover', { backend: 'b' }, patient);
    backend.setInventory(inventory);
    return inventory.devices[0];
  };
  await discover();
  const target = (accelerator: string) => ({ backend: 'b', accelerator, epoch: 1, attachment });
  return {
    driver,
    discover,
    prepare: async (key) => {
      using _order = permits.grant('b0', key);
      const order = { ...target(key), instance: attachment, plugs: ['mdev' as const] };
      return (await driver.call('prepare', order, patient)).plan;
    },
    release: async (key) => {
      using _order = permits.grant('b0', key);
      await driver.call('release', target(key), patient);
    },
  };
}

function keysOf(device: DriverDevice | undefined): string[] {
  return (device?.deployables ?? []).flatMap((part) => part.accelerators.map(({ key }) => key));
}

describe('a mediated device', () => {
  it('is made when it is attached, plugged by either hypervisor, and removed when it is detached', async ({
    expect,
  }) => {
    const kernel = new Kernel();
    const host = await start(kernel);
    const before = await host.discover();
    expect(before?.info['mdev_types']).toBe(`${type}=2`);
    const [first = '', second = ''] = keysOf(before);
    const plan = await host.prepare(first);
    const [uuid = ''] = kernel.made;
    expect(plan).toEqual({ kind: 'mdev', uuid, parent: card.address, type });
    expect(toQemu(plan, 'ua-cyborg-a-1').device).toMatchObject({
      driver: 'vfio-pci',
      sysfsdev: `/sys/bus/mdev/devices/${uuid}`,
    });
    expect(deviceXml(plan, 'ua-cyborg-a-1', null)).toContain(
      `<hostdev mode="subsystem" type="mdev" model="vfio-pci"><source><address uuid="${uuid}">`,
    );
    const during = await host.discover();
    expect(during?.info['mdev_types']).toBe(`${type}=1`);
    expect(keysOf(during)).toEqual([first, second]);
    await host.release(first);
    expect([kernel.has(uuid), kernel.free()]).toEqual([false, 2]);
    await host.release(first);
    expect(keysOf(await host.discover())).toEqual([first, second]);
    expect(kernel.made).toEqual([uuid]);
  });

  it('is the same one after a death between its making and whoever asked for it', async ({
    expect,
  }) => {
    const kernel = new Kernel();
    const dying = await start(kernel, { diesAfterMaking: true });
    const [, second = ''] = keysOf(await dying.discover());
    await expect(dying.prepare(second)).rejects.toThrow();
    const [uuid = ''] = kernel.made;
    expect(kernel.has(uuid)).toBe(true);
    const host = await start(kernel);
    expect(keysOf(await host.discover())).toContain(second);
    expect(await host.prepare(second)).toMatchObject({ uuid });
    expect([kernel.made, kernel.free()]).toEqual([[uuid], 1]);
    await host.release(second);
    expect([kernel.has(uuid), kernel.free()]).toEqual([false, 2]);
  });

  it('that nobody could plug any more is removed by the order that gives it back, also after a restart', async ({
    expect,
  }) => {
    const kernel = new Kernel();
    const dying = await start(kernel, { diesAfterMaking: true });
    const [first = ''] = keysOf(await dying.discover());
    await expect(dying.prepare(first)).rejects.toThrow();
    const host = await start(kernel);
    await host.release(first);
    expect(kernel.free()).toBe(2);
  });
});

import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { describe, it } from 'vitest';
import { buildTree, type FunctionDescription } from '@cyborg/driver-sdk/tree-builder';
import { systemClock } from '@cyborg/service/clock';
import { makeLogger } from '@cyborg/service/logging';
import { address, gpu, inventoryOf, quietProc } from '../../test/acts-host.ts';
import { makeBackend } from '../../test/agent-under-test.ts';
import { Backend } from '../driver-host/backend.ts';
import { PrivilegedActs } from './acts.ts';
import { hostCommands } from '../host-needs/commands.ts';
import { HostPreparation } from '../host-needs/host-preparation.ts';
import { Permits } from './permits.ts';

interface Options {
  readonly hostUse?: string | null;
  readonly isHeld?: () => boolean;
  readonly simulated?: boolean;
  readonly timeoutMs?: number;
  readonly others?: readonly FunctionDescription[];
  readonly driver?: string;
}

async function makeHost({
  hostUse = null,
  isHeld = () => true,
  simulated = false,
  timeoutMs = 30_000,
  others = [],
  driver,
}: Options = {}): Promise<
  {
    acts: PrivilegedActs;
    backend: Backend;
    permits: Permits;
    root: string;
    folder: string;
  } & AsyncDisposable
> {
  const root = await mkdtemp(join(tmpdir(), 'cyborg-acts-'));
  const { sysfs } = buildTree(root, {
    functions: [driver === undefined ? gpu : { ...gpu, driver }, ...others],
    files: quietProc,
  });
  await mkdir(join(root, 'state'));
  const folder = join(sysfs, 'bus', 'pci', 'devices', address);
  await writeFile(join(folder, 'sriov_totalvfs'), '8\n');
  await writeFile(join(folder, 'sriov_numvfs'), '0');
  await writeFile(join(folder, 'reset_method'), 'flr\n');
  await writeFile(join(folder, 'reset'), '');
  const permits = new Permits();
  const backend = new Backend(makeBackend({ id: randomUUID() }), () => undefined);
  backend.setInventory(inventoryOf(address, hostUse));
  const world = {
    clock: systemClock,
    log: makeLogger({ name: 'test', level: 'silent', clock: systemClock }),
    simulated,
    roots: { sysfs, proc: join(root, 'proc'), dev: '/dev' },
    stateDir: join(root, 'state'),
  };
  const policy = { hostRoot: root, allowedModules: [], commands: hostCommands };
  const acts = new PrivilegedActs({
    ...world,
    timeoutMs,
    permits,
    lease: { isHeld },
    preparation: new HostPreparation({ ...world, ...policy }),
  });
  const remove = async (): Promise<void> => rm(root, { recursive: true, force: true });
  return { acts, backend, permits, root, folder, [Symbol.asyncDispose]: remove };
}

const where = { backend: 'demo', address };
const toVfio = { ...where, kernel_driver: 'vfio-pci' };
const vfs = { backend: 'demo', address, count: 4 };

describe('privileged acts', () => {
  it('are done for the function of an order that is being carried out', async ({ expect }) => {
    await using host = await makeHost();
    using _permit = host.permits.grant(host.backend.wanted.id, 'fn');
    expect(await host.acts.do('reset', { backend: 'demo', address }, host.backend)).toEqual({
      method: 'flr',
    });
    expect(await readFile(join(host.folder, 'reset'), 'utf8')).toBe('1');
    await host.acts.do('setVfCount', vfs, host.backend);
    expect(await readFile(join(host.folder, 'sriov_numvfs'), 'utf8')).toBe('4');
  });

  it.for([
    ['its order', /no order/u],
    ['the lease', /does not hold the lease/u],
  ] as const)(
    'that waited for their turn are refused when %s has ended',
    async ([what, why], { expect }) => {
      let isHeld = true;
      await using host = await makeHost({ isHeld: () => isHeld });
      const { acts, backend, permits } = host;
      const permit = permits.grant(backend.wanted.id, 'fn');
      const first = acts.do('reset', where, backend);
      const second = acts.do('reset', where, backend).catch((error: unknown) => error);
      await setImmediate(); // the first has begun, the second waits
      if (what === 'the lease') isHeld = false;
      else permit[Symbol.dispose]();
      expect(await first).toEqual({ method: 'flr' });
      expect(await second).toMatchObject({ message: expect.stringMatching(why) });
    },
  );

  it('come too early, and no more, while the backend has not been looked at', async ({
    expect,
  }) => {
    await using host = await makeHost();
    const { acts, permits } = host;
    const backend = new Backend(host.backend.wanted, () => undefined);
    using _permit = permits.grant(backend.wanted.id, 'fn');
    await expect(acts.do('reset', where, backend)).rejects.toMatchObject({ failure: 'transient' });
    backend.setInventory({ devices: [], services: [] });
    await expect(acts.do('reset', where, backend)).rejects.toMatchObject({ failure: 'invalid' });
    backend.setInventory(inventoryOf(address));
    expect(await acts.do('reset', where, backend)).toEqual({ method: 'flr' });
  });

  it('are refused without an order, a lease, or for what is not the backend’s', async ({
    expect,
  }) => {
    await using host = await makeHost();
    const { acts, backend } = host;
    await expect(acts.do('reset', where, backend)).rejects.toThrow(/no order/);
    const other = { ...vfs, address: '0000:22:00.0' };
    await expect(acts.do('setVfCount', other, backend)).rejects.toThrow(/not in the inventory/);
    const wrong = { ...vfs, address: '../../../etc' };
    await expect(acts.do('setVfCount', wrong, backend)).rejects.toThrow(/no PCI address/);
    await expect(
      acts.do('loadModule', { backend: 'demo', module: 'vfio' }, backend),
    ).rejects.toThrow(/Host policy: load the kernel module vfio .*--load-module vfio/);
    await expect(
      acts.do('loadModule', { backend: 'demo', module: '--remove' }, backend),
    ).rejects.toMatchObject({ failure: 'invalid' });
    await using leaseless = await makeHost({ isHeld: () => false });
    using _permit = leaseless.permits.grant(leaseless.backend.wanted.id, 'fn');
    await expect(leaseless.acts.do('reset', where, leaseless.backend)).rejects.toThrow(/lease/);
  });

  it('are refused for what the host uses, by the inventory and by a look just before', async ({
    expect,
  }) => {
    await using host = await makeHost();
    using _permit = host.permits.grant(host.backend.wanted.id, 'fn');
    await writeFile(join(host.folder, 'boot_vga'), '1\n');
    await expect(host.acts.do('reset', where, host.backend)).rejects.toThrow(/boot display/);
    await rm(join(host.folder, 'boot_vga'));
    await mkdir(join(host.folder, 'block', 'sda'), { recursive: true });
    await writeFile(join(host.folder, 'block', 'sda', 'dev'), '8:0\n');
    const mounted = '30 22 8:0 / /data rw - ext4 /dev/sda rw\n';
    await writeFile(join(host.root, 'proc', 'self', 'mountinfo'), mounted);
    await expect(host.acts.do('reset', where, host.backend)).rejects.toThrow(
      /sda is mounted at \/data/,
    );
    host.backend.setInventory(inventoryOf(address, 'eth0 is up'));
    await expect(host.acts.do('bind', toVfio, host.backend)).rejects.toThrow(/eth0 is up/);
    expect(await readFile(join(host.folder, 'reset'), 'utf8')).toBe('');
  });

  it('take no driver from what the host has begun to use since the last look', async ({
    expect,
  }) => {
    const mounted = '30 22 8:0 / /data rw - ext4 /dev/sda rw\n';
    const drivers = ['nouveau', undefined] as const;
    for (const driver of drivers) {
      await using host = await makeHost(driver === undefined ? {} : { driver });
      using _permit = host.permits.grant(host.backend.wanted.id, 'fn');
      await mkdir(join(host.folder, 'block', 'sda'), { recursive: true });
      await writeFile(join(host.folder, 'block', 'sda', 'dev'), '8:0\n');
      await writeFile(join(host.root, 'proc', 'self', 'mountinfo'), mounted);
      await mkdir(join(host.root, 'sys/bus/pci/drivers/vfio-pci'), { recursive: true });
      const override = join(host.folder, 'driver_override');
      await writeFile(override, '(null)\n');
      const refused = { failure: 'host-use', message: expect.stringMatching(/sda is mounted at/u) };
      const act = (method: 'bind' | 'unbind', params: object): Promise<object> =>
        host.acts.do(method, { ...where, ...params }, host.backend);
      await expect(act('bind', { ...toVfio, unbind: [address] })).rejects.toMatchObject(refused);
      expect(await readFile(override, 'utf8')).toBe('(null)\n');
      if (driver === undefined) continue;
      const unbind = join(host.folder, 'driver/unbind');
      await writeFile(unbind, '');
      await expect(act('unbind', {})).rejects.toMatchObject(refused);
      expect(await readFile(unbind, 'utf8')).toBe('');
    }
  });

  it('touch nothing on a simulated host', async ({ expect }) => {
    await using host = await makeHost({ simulated: true });
    using _permit = host.permits.grant(host.backend.wanted.id, 'fn');
    await host.acts.do('setVfCount', vfs, host.backend);
    expect(await readFile(join(host.folder, 'sriov_numvfs'), 'utf8')).toBe('0');
  });

  it('give up a process that hangs, and say so', async ({ expect }) => {
    await using host = await makeHost({ timeoutMs: 10_000 });
    using _permit = host.permits.grant(host.backend.wanted.id, 'fn');
    // Whoever opens it to write waits for a reader: as a write into sysfs that the kernel does not finish.
    await rm(join(host.folder, 'reset'));
    execFileSync('mkfifo', [join(host.folder, 'reset')]);
    await expect(host.acts.do('reset', where, host.backend)).rejects.toThrow(
      /reset of 0000:21:00.0 was not done within 10000 ms: process \d+ .* at “reset” of reset\. .*other accelerators/u,
    );
  });

  it('bind nothing of an IOMMU group that has what is not the backend’s, and name it', async ({
    expect,
  }) => {
    const usb = { ...gpu, address: '0000:21:00.1', class: 0x0c0330, driver: 'xhci_hcd' };
    await using host = await makeHost({ others: [usb] });
    using _permit = host.permits.grant(host.backend.wanted.id, 'fn');
    await mkdir(join(host.root, 'sys/bus/pci/drivers/vfio-pci'), { recursive: true });
    await expect(host.acts.do('bind', toVfio, host.backend)).rejects.toThrow(
      /shares IOMMU group 7 with 0000:21:00.1 \(xhci_hcd\), which is not in the inventory of demo/u,
    );
  });

  it('bind nothing while a bridge’s driver keeps the IOMMU group, unless its configuration says idle', async ({
    expect,
  }) => {
    const bridge = { ...gpu, address: '0000:20:00.0', class: 0x060400, driver: 'shpchp' };
    await using host = await makeHost({ others: [bridge] });
    using _permit = host.permits.grant(host.backend.wanted.id, 'fn');
    await mkdir(join(host.root, 'sys/bus/pci/drivers/vfio-pci'), { recursive: true });
    const unbind = join(host.folder, '../0000:20:00.0/driver/unbind');
    await writeFile(unbind, '');
    await expect(host.acts.do('bind', toVfio, host.backend)).rejects.toThrow(
      /shares IOMMU group 7 with the bridge 0000:20:00.0 \(shpchp\).*set unbind: idle/u,
    );
    expect(await readFile(unbind, 'utf8')).toBe('');
    await writeFile(join(host.folder, 'driver_override'), '(null)\n');
    await writeFile(join(host.root, 'sys/bus/pci/drivers_probe'), '');
    // A tree of files binds nothing.
    const idle = { ...toVfio, unbind: [address] };
    await expect(host.acts.do('bind', idle, host.backend)).rejects.toThrow(/did not bind/u);
    expect(await readFile(unbind, 'utf8')).toBe('0000:20:00.0');
  });

  it('leave a function with its kernel driver unless its configuration says idle', async ({
    expect,
  }) => {
    await using host = await makeHost({ driver: 'nouveau' });
    using _permit = host.permits.grant(host.backend.wanted.id, 'fn');
    await mkdir(join(host.root, 'sys/bus/pci/drivers/vfio-pci'), { recursive: true });
    await expect(host.acts.do('bind', toVfio, host.backend)).rejects.toMatchObject({
      failure: 'host-use',
      message: '0000:21:00.0 is bound to nouveau; set unbind: idle.',
    });
  });

  it('put back what they began when the kernel does not bind, and remember nothing', async ({
    expect,
  }) => {
    await using host = await makeHost();
    using _permit = host.permits.grant(host.backend.wanted.id, 'fn');
    await mkdir(join(host.root, 'sys/bus/pci/drivers/vfio-pci'), { recursive: true });
    await writeFile(join(host.folder, 'driver_override'), '(null)\n');
    await writeFile(join(host.root, 'sys/bus/pci/drivers_probe'), '');
    // A tree of files binds nothing.
    await expect(host.acts.do('bind', toVfio, host.backend)).rejects.toThrow(/did not bind/u);
    expect(await readFile(join(host.root, 'sys/bus/pci/drivers_probe'), 'utf8')).toBe(address);
    expect((await readFile(join(host.folder, 'driver_override'), 'utf8'))[0]).toBe('\n');
    expect(await host.acts.do('listBound', where, host.backend)).toEqual({ functions: [] });
  });
});

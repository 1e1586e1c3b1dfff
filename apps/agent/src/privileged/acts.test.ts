import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'vitest';
import type { Inventory } from '@cyborg/driver-sdk/protocol';
import { systemClock } from '@cyborg/service/clock';
import { makeLogger } from '@cyborg/service/logging';
import { makeBackend } from '../../test/agent-under-test.ts';
import { Backend } from '../driver-host/backend.ts';
import { PrivilegedActs } from './acts.ts';
import { Permits } from './permits.ts';

const address = '0000:21:00.0';

function inventory(hostUse: string | null): Inventory {
  const accelerator = {
    key: 'fn',
    name: 'fn',
    type: 'GPU' as const,
    plans: ['pci' as const],
    offered: true,
    reason: null,
    host_use: hostUse,
    attach_info: { domain: '0000', bus: '21', device: '00', function: '0' },
  };
  const deployable = {
    key: 'd',
    name: 'd',
    resource_class: 'PGPU',
    traits: [],
    accelerators: [accelerator],
  };
  const device = {
    key: 'card',
    address,
    vendor_id: '0x10de',
    device_id: '0x1eb8',
    class: '0x030200',
    type: 'GPU' as const,
    vendor: null,
    model: null,
    serial: null,
    numa_node: null,
    iommu_group: null,
    kernel_driver: null,
    offered: true,
    reason: null,
    health: { status: 'healthy' as const, reason: null },
    info: {},
    deployables: [deployable],
  };
  return { devices: [device], services: [] };
}

async function makeHost({ hostUse = null, isHeld = true, simulated = false } = {}): Promise<
  {
    acts: PrivilegedActs;
    backend: Backend;
    permits: Permits;
    folder: string;
  } & AsyncDisposable
> {
  const sysfs = await mkdtemp(join(tmpdir(), 'cyborg-sysfs-'));
  const folder = join(sysfs, 'bus', 'pci', 'devices', address);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'sriov_totalvfs'), '8\n');
  await writeFile(join(folder, 'sriov_numvfs'), '0');
  await writeFile(join(folder, 'reset'), '');
  const permits = new Permits();
  const backend = new Backend(makeBackend({ id: randomUUID() }), () => undefined);
  backend.setInventory(inventory(hostUse));
  const acts = new PrivilegedActs({
    clock: systemClock,
    log: makeLogger({ name: 'test', level: 'silent', clock: systemClock }),
    simulated,
    roots: { sysfs, proc: '/proc', dev: '/dev' },
    permits,
    lease: { isHeld: () => isHeld },
  });
  const remove = async (): Promise<void> => rm(sysfs, { recursive: true, force: true });
  return { acts, backend, permits, folder, [Symbol.asyncDispose]: remove };
}

const vfs = { backend: 'demo', address, count: 4 };

describe('privileged acts', () => {
  it('are done for the function of an order that is being carried out', async ({ expect }) => {
    await using host = await makeHost();
    using _permit = host.permits.grant(host.backend.wanted.id, 'fn');
    await host.acts.do('setVfCount', vfs, host.backend);
    expect(await readFile(join(host.folder, 'sriov_numvfs'), 'utf8')).toBe('4');
    await host.acts.do('reset', { backend: 'demo', address }, host.backend);
    expect(await readFile(join(host.folder, 'reset'), 'utf8')).toBe('1');
  });

  it('are refused without an order, a lease, or for what is not the backend’s', async ({
    expect,
  }) => {
    await using host = await makeHost();
    const { acts, backend } = host;
    await expect(acts.do('setVfCount', vfs, backend)).rejects.toThrow(/no order/);
    const other = { ...vfs, address: '0000:22:00.0' };
    await expect(acts.do('setVfCount', other, backend)).rejects.toThrow(/not in the inventory/);
    const wrong = { ...vfs, address: '../../../etc' };
    await expect(acts.do('setVfCount', wrong, backend)).rejects.toThrow(/no PCI address/);
    await expect(
      acts.do('loadModule', { backend: 'demo', module: 'vfio' }, backend),
    ).rejects.toThrow(/modprobe/);
    await using leaseless = await makeHost({ isHeld: false });
    using _permit = leaseless.permits.grant(leaseless.backend.wanted.id, 'fn');
    await expect(leaseless.acts.do('reset', vfs, leaseless.backend)).rejects.toThrow(/lease/);
  });

  it('are refused for what the host uses, by the inventory and by a look just before', async ({
    expect,
  }) => {
    await using host = await makeHost();
    using _permit = host.permits.grant(host.backend.wanted.id, 'fn');
    await writeFile(join(host.folder, 'boot_vga'), '1\n');
    await expect(host.acts.do('reset', vfs, host.backend)).rejects.toThrow(/boot display/);
    await rm(join(host.folder, 'boot_vga'));
    await mkdir(join(host.folder, 'block', 'sda'), { recursive: true });
    await expect(host.acts.do('reset', vfs, host.backend)).rejects.toThrow(/block sda/);
    host.backend.setInventory(inventory('eth0 is up'));
    await expect(host.acts.do('reset', vfs, host.backend)).rejects.toThrow(/eth0 is up/);
    expect(await readFile(join(host.folder, 'reset'), 'utf8')).toBe('');
  });

  it('touch nothing on a simulated host', async ({ expect }) => {
    await using host = await makeHost({ simulated: true });
    using _permit = host.permits.grant(host.backend.wanted.id, 'fn');
    await host.acts.do('setVfCount', vfs, host.backend);
    expect(await readFile(join(host.folder, 'sriov_numvfs'), 'utf8')).toBe('0');
  });
});

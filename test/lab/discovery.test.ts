/** The generic driver finds the lab's real functions, and what the lab's machine uses is refused at every entrance. */
import { afterAll, beforeAll, describe, inject, it, type ExpectStatic } from 'vitest';

import { LabGuest } from './guests.ts';
import { Lab, needsLab } from './lab.ts';
import { Site, hostName, type Accelerator } from './site.ts';

needsLab();

const mounted = '0000:47:00.0';
const ownTrait = 'CUSTOM_LAB_MOUNTED';
/** The virtio-gpu, which the kernel's console draws on. */
const consoleGpu = '0000:45:00.0';
/** What the lab's machine uses, and what is said of it. */
const usedByHost = [
  [mounted, /mounted at .*\/lab\/state/],
  [consoleGpu, /console framebuffer fb\d/],
] as const;
const profile = 'only-the-disk';
const config = {
  classes: ['03'],
  rules: [
    { vendor: '1234', device: '11e8' },
    // Offered, and asked for by what it alone has: what the host uses is refused all the same.
    { address: mounted, type: 'SSD', traits: [ownTrait], offer: true },
    { vendor: '1b36', device: '0010', type: 'SSD' },
    { vendor: '1af4', device: '1054', type: 'CRYPTO' },
  ],
};

describe('discovery in the lab', () => {
  let lab: Lab;
  let site: Site;
  let guest: LabGuest;
  let found: ReadonlyMap<string, Accelerator>;

  beforeAll(async () => {
    if (inject('labMissing') !== null) return;
    lab = Lab.current();
    await lab.run('echo 2 > /sys/bus/pci/devices/0000:21:00.0/sriov_numvfs');
    site = await Site.open(lab);
    await site.installDriver(config);
    const entries = (await site.accelerators()).map(
      (one) => [/[0-9a-f]{4}:[0-9a-f]{2}:[0-9a-f]{2}\.\d/.exec(one.name)?.[0] ?? '', one] as const,
    );
    found = new Map(entries);
    guest = await LabGuest.qemu(lab, 'reader');
    await site.untilInstance(guest.uuid);
  });
  afterAll(async () => {
    await guest?.stop();
    await site?.[Symbol.asyncDispose]();
    await lab?.tryRun('echo 0 > /sys/bus/pci/devices/0000:21:00.0/sriov_numvfs');
  });

  it('finds every function that classes and rules name, as lspci says it is', async ({
    expect,
  }) => {
    const { stdout } = await lab.tryRun(
      'lspci -Dn -d 1234: ; lspci -Dn -d 1b36:0010; lspci -Dn -d 1af4:1054; lspci -Dn -d 1af4:1050',
    );
    const functions = stdout
      .trim()
      .split('\n')
      .map((line) => line.split(' ')[0] ?? '');
    expect(functions).toHaveLength(11);
    expect([...found.keys()].toSorted()).toEqual(functions.toSorted());
  });

  it('offers the virtual functions of a divided card, not the card', ({ expect }) => {
    const { state, reason } = found.get('0000:21:00.0') ?? {};
    expect({ state, reason }).toMatchObject({
      state: 'withheld',
      reason: expect.stringContaining('divided into 2 virtual functions'),
    });
    for (const address of ['0000:21:00.1', '0000:21:00.2']) {
      expect(found.get(address)?.reason).not.toContain('divided');
    }
  });

  it('reads NUMA nodes and IOMMU groups as the kernel gives them', async ({ expect }) => {
    const each = [...found.keys()].map((address) => {
      const folder = `/sys/bus/pci/devices/${address}`;
      return `echo ${address} $(cat ${folder}/numa_node) $(basename $(readlink ${folder}/iommu_group))`;
    });
    const told = (await lab.run(each.join('; '))).trim().split('\n');
    const read = [...found].map(([address, one]) =>
      [address, one.numa_node ?? -1, one.iommu_group].join(' '),
    );
    expect(told).toEqual(read);
  });

  it('says that two edu behind one bridge share an IOMMU group', ({ expect }) => {
    const [one, other] = ['0000:44:01.0', '0000:44:02.0'].map((address) => found.get(address));
    expect(one?.iommu_group).toBe(other?.iommu_group);
    expect(one?.iommu_group).not.toBe(found.get('0000:00:10.0')?.iommu_group);
  });

  it.for(usedByHost)('offers %s, which the host uses, to nobody: %s', ([at, use], { expect }) => {
    const { state, reason } = found.get(at) ?? {};
    expect(state).toBe('withheld');
    expect(reason).toMatch(use);
  });

  it('refuses to approve, to add and to attach what the host uses, naming the holder', async ({
    expect,
  }) => {
    for (const [at, use] of usedByHost) {
      const id = found.get(at)?.id ?? '';
      const refused = [
        await site.cyborg('accelerator-update', id, '--state', 'available'),
        await site.cyborg('accelerator-create', 'lab@cards', '--address', at),
        await site.cyborg('attach-instance', guest.uuid, '--accelerator', id),
        await site.cyborg('attach-instance', guest.uuid, '--accelerator', id, '--dry-run'),
      ];
      for (const { status, stderr } of refused) {
        expect(status, stderr).toBe(1);
        expect(stderr).toMatch(use);
      }
    }
    await expectUntouched(expect);
  });

  it('refuses the mounted disk by its name and by what it alone has', async ({ expect }) => {
    const { name, resource_class: resource } = await site.at(mounted);
    const group = `resources:${resource}=1,trait:${ownTrait}=required`;
    await site.succeeds('profile-create', profile, '--group', group);
    const ways = [
      ['--accelerator', name],
      ['--profile', profile],
      ['--driver', 'generic', '--trait', ownTrait],
    ];
    for (const way of ways) {
      const { status, stderr } = await site.cyborg('attach-instance', guest.uuid, ...way);
      expect(status, stderr).toBe(1);
      expect(stderr).toMatch(/mounted at/);
    }
    await expectUntouched(expect);
  });

  it('refuses the mounted disk to Nova', async ({ expect }) => {
    const { deployables } = await site.v2('GET', '/deployables');
    const disk = listOf(deployables).find(({ name }) => String(name).includes(mounted));
    const { arqs } = await site.v2('POST', '/accelerator_requests', {
      device_profile_name: profile,
    });
    const [arq] = listOf(arqs);
    const values = {
      hostname: hostName,
      device_rp_uuid: disk?.['rp_uuid'],
      instance_uuid: guest.uuid,
    };
    const patches = Object.entries(values).map(([key, value]) => ({
      path: `/${key}`,
      op: 'add',
      value,
    }));
    const bind = { [String(arq?.['uuid'])]: patches };
    expect(await site.v2('PATCH', '/accelerator_requests', bind)).toMatchObject({
      status: 404,
      error_message: expect.stringContaining('AttachHandle not found'),
    });
    const { arqs: after } = await site.v2('GET', '/accelerator_requests');
    expect(after).toMatchObject([{ state: 'Initial', attach_handle_uuid: null }]);
    await expectUntouched(expect);
  });

  it('refuses the mounted disk as declared hardware', async ({ expect }) => {
    const plan = { kind: 'pci', address: mounted };
    const accelerators = [{ key: 'disk', name: 'declared-disk', type: 'SSD', plan }];
    const params = { driver_id: 'generic' };
    const backend = {
      name: 'declared',
      kind: 'static',
      hosts: [hostName],
      config: { accelerators },
    };
    // Beside the other backend it is refused for being listed twice.
    await site.succeeds('uninstall-driver', 'generic', '--backend', 'cards');
    await site.done(site.v3.installDriver({ params, body: { backends: [backend] } }));
    const declared = (await site.accelerators()).find((one) => one.backend === backend.name);
    expect(declared).toMatchObject({
      state: 'withheld',
      reason: expect.stringMatching(/mounted at/),
    });
    const id = declared?.id ?? '';
    const refused = [
      await site.cyborg('accelerator-update', id, '--state', 'available'),
      await site.cyborg('attach-instance', guest.uuid, '--accelerator', id),
    ];
    for (const { status, stderr } of refused) {
      expect(status, stderr).toBe(1);
      expect(stderr).toMatch(/mounted at/);
    }
    await expectUntouched(expect);
  });

  /** The kernel's drivers have them still, and the guest has none. */
  async function expectUntouched(expect: ExpectStatic): Promise<void> {
    const drivers = usedByHost.map(([at]) => `readlink /sys/bus/pci/devices/${at}/driver`);
    expect(await lab.run(drivers.join('; '))).toMatch(/nvme\n.*virtio-pci\n$/);
    expect(await lab.run('touch /lab/state/still && echo written')).toContain('written');
    expect(guest.plugged()).toEqual([]);
  }
});

function listOf(value: unknown): Readonly<Record<string, unknown>>[] {
  return Array.isArray(value) ? value : [];
}

/** A libvirt domain that holds real functions, while libvirtd is killed, late, or forgetful, and the domain is made anew. */
import { eventually } from '@cyborg/testing/processes';
import { afterAll, beforeAll, describe, inject, it } from 'vitest';

import { cards, detach, untilAvailable } from './attach.ts';
import { LabGuest } from './guests.ts';
import { both, giveBoth, listenTo, openSite, untilHolds, type Lasting } from './holding.ts';
import { Lab, needsLab, patientMs } from './lab.ts';
import { hostName, type Site } from './site.ts';

needsLab();

/** What libvirtd reads when it starts: the machines that run, and those that are defined. */
const memory = ['/run/libvirt/qemu/domain.xml', '/etc/libvirt/qemu/domain.xml'] as const;

describe('a libvirt domain that holds real functions', () => {
  let lab: Lab;
  let site: Site;
  let domain: LabGuest;
  let before: Lasting[];

  beforeAll(async () => {
    if (inject('labMissing') !== null) return;
    lab = Lab.current();
    await lab.run('virt daemon');
    site = await openSite(lab, { hypervisor: 'libvirt' });
    domain = await LabGuest.libvirt(lab, 'domain');
    await giveBoth(site, domain);
    before = await untilHolds(site, domain, both);
  });
  afterAll(async () => {
    await domain?.destroy();
    await site?.[Symbol.asyncDispose]();
    await lab?.tryRun(`virt kill TERM; echo 0 > /sys/bus/pci/devices/${cards.nvmePf}/sriov_numvfs`);
  });

  async function untilHypervisor(state: string, isSo: (healthy: boolean) => boolean) {
    await eventually(
      async () => {
        const { hypervisors } = await site.v3.showHost({ params: { host: hostName } });
        return hypervisors.every(({ healthy }) => isSo(healthy));
      },
      { timeoutMs: patientMs, what: `libvirt is ${state}`, context: () => site.logs() },
    );
  }
  const untilLost = async (): Promise<void> => await untilHypervisor('lost', (healthy) => !healthy);
  const untilFound = async (): Promise<void> =>
    await untilHypervisor('found', (healthy) => healthy);

  const states = async (): Promise<unknown[]> => {
    const { items } = await site.v3.listAttachments({ params: { instance_id: domain.uuid } });
    return items.map(({ id, state }) => ({ id, state }));
  };
  const attached = (): unknown[] => before.map(({ id }) => ({ id, state: 'attached' }));

  it('keeps them when libvirtd is killed and started again', async ({ expect }) => {
    const heard = listenTo(domain);
    await lab.run('virt kill');
    await untilLost();
    expect(await states()).toEqual(attached());
    await lab.run('virt daemon');
    await untilFound();
    expect(await untilHolds(site, domain, both)).toEqual(before);
    expect(heard()).toEqual([]);
  });

  it('keeps them while libvirtd does not answer, and when it answers late', async ({ expect }) => {
    const heard = listenTo(domain);
    await lab.run('virt kill STOP');
    try {
      await untilLost();
      expect(await states()).toEqual(attached());
    } finally {
      await lab.run('virt kill CONT');
    }
    await untilFound();
    expect(await untilHolds(site, domain, both)).toEqual(before);
    expect(heard()).toEqual([]);
  });

  it('keeps them while libvirtd lists nothing', async ({ expect }) => {
    const heard = listenTo(domain);
    await lab.run('virt kill');
    await untilLost();
    await lab.run(
      `mkdir -p /tmp/away; for f in ${memory.join(' ')}; do mv $f /tmp/away/\${f//\\//_}; done`,
    );
    await lab.run('virt daemon');
    expect((await lab.run('virsh list --all --uuid')).trim()).toBe('');
    await untilFound();
    expect(await states()).toEqual(attached());
    const params = { instance_id: domain.uuid };
    expect((await site.v3.showInstance({ params })).presence).not.toBe('missing');
    await lab.run('virt kill');
    await lab.run(`for f in ${memory.join(' ')}; do mv /tmp/away/\${f//\\//_} $f; done`);
    await lab.run('virt daemon');
    await untilFound();
    expect(await untilHolds(site, domain, both)).toEqual(before);
    expect(heard()).toEqual([]);
  });

  it('has them after it was destroyed and started', async ({ expect }) => {
    await lab.run(`virsh destroy ${domain.name}`);
    const since = domain.lines.length;
    await lab.run(`virsh start ${domain.name}`);
    await domain.says(/^NESTED-READY/, since);
    expect(await untilHolds(site, domain, both)).toEqual(before);
  });

  it('gets them again after it was undefined and defined anew without them', async ({ expect }) => {
    await domain.destroy();
    expect(await states()).toEqual(attached());
    domain = await LabGuest.libvirt(lab, 'domain');
    expect(await untilHolds(site, domain, both)).toEqual(before);
    const xml = await lab.run(`virsh dumpxml --inactive ${domain.name}`);
    expect(xml.match(/<hostdev /g)).toHaveLength(both.length);
  });

  it('has them when libvirt starts it after its host was rebooted, before there is an agent', async ({
    expect,
  }) => {
    await lab.run(`virsh autostart ${domain.name}`);
    const since = domain.lines.length;
    await lab.reboot();
    const said = await lab.run(`${site.agentLine([], 'prepare-held')} 2>&1`);
    for (const address of both) expect(said).toContain(address);
    expect(said).not.toContain('is not prepared again');
    await lab.run('virt daemon');
    await domain.says(/^NESTED-READY/, since);
    site.startAgent();
    await site.untilHostIs('up');
    expect(await untilHolds(site, domain, both)).toEqual(before);
    await lab.run(`virsh autostart --disable ${domain.name}`);
  });

  it('gives them back clean in the end, though it was undefined while it runs', async ({
    expect,
  }) => {
    await lab.run(`virsh undefine ${domain.name}`);
    await detach(site, domain);
    expect(await untilHolds(site, domain, [])).toEqual([]);
    for (const address of both) await untilAvailable(site, address);
  });
});

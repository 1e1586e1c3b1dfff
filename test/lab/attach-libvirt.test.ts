/** Real functions, attached to a running libvirt domain inside the lab by `cyborg attach-instance`, and back. */
import { afterAll, beforeAll, describe, inject, it } from 'vitest';

import { attach, cards, cardsConfig, detach, stateOf, untilAvailable } from './attach.ts';
import { LabGuest } from './guests.ts';
import { Lab, needsLab } from './lab.ts';
import { Site } from './site.ts';

needsLab();

describe('attaching to a running libvirt domain', () => {
  let lab: Lab;
  let site: Site;
  let domain: LabGuest;
  let other: LabGuest;

  beforeAll(async () => {
    if (inject('labMissing') !== null) return;
    lab = Lab.current();
    await lab.run('virt daemon');
    site = await Site.open(lab, { hypervisor: 'libvirt' });
    await site.installDriver(cardsConfig);
    domain = await LabGuest.libvirt(lab, 'domain');
    other = await LabGuest.libvirt(lab, 'second');
    for (const { uuid } of [domain, other]) await site.untilInstance(uuid);
    await untilAvailable(site, cards.nvmeVf);
  });
  afterAll(async () => {
    await domain?.destroy();
    await other?.destroy();
    await site?.[Symbol.asyncDispose]();
    await lab?.tryRun(`virt kill TERM; echo 0 > /sys/bus/pci/devices/${cards.nvmePf}/sriov_numvfs`);
  });

  it.for([
    ['a virtual function of the NVMe', [cards.nvmeVf], '1b36:0010'],
    ['the edu, which has no reset and is accepted without', [cards.edu], '1234:11e8'],
    ['the display', [cards.display], '1234:1111'],
    ['virtio-crypto, taken from its idle kernel driver', [cards.crypto], '1af4:1054'],
    ['two edu of one IOMMU group', cards.eduPair, '1234:11e8'],
  ] as const)(
    'gives %s, live and in its configuration, cleans it, and gives it to another',
    async ([, addresses, ids], { expect }) => {
      const touched = [...addresses, cards.eduBridge];
      const before = await stateOf(lab, touched);
      const names: string[] = [];
      for (const address of addresses) names.push((await untilAvailable(site, address)).name);
      for (const guest of [domain, other]) {
        await attach(site, guest, { ids: addresses.map(() => ids), names });
        for (const flag of ['', '--inactive']) {
          const xml = await lab.run(`virsh dumpxml ${flag} ${guest.name}`);
          expect(xml.match(/<hostdev /g)).toHaveLength(addresses.length);
          expect(xml).toMatch(/managed='no'/);
        }
        await detach(site, guest);
        for (const flag of ['', '--inactive']) {
          expect(await lab.run(`virsh dumpxml ${flag} ${guest.name}`)).not.toContain('<hostdev');
        }
      }
      expect(await stateOf(lab, touched)).toBe(before);
    },
  );
});

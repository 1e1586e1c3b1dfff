/** Mediated devices that a real kernel makes: given to guests of QEMU and libvirt, and removed when they come back. */
import { eventually } from '@cyborg/testing/processes';
import { afterAll, beforeAll, describe, inject, it } from 'vitest';

import { attach, detach } from './attach.ts';
import { LabGuest } from './guests.ts';
import { Lab, needsLab, patientMs } from './lab.ts';
import { Site, type Accelerator } from './site.ts';

needsLab();

const card = '0000:45:00.0';
const folder = `/sys/bus/pci/devices/${card}`;
/** A serial card of one port, as the sample mtty makes it. */
const type = 'virtio-pci-1';
const ids = '4348:3253';
/** The sample has 24; one is not ours. */
const ports = 23;
const buildMsMax = 1_200_000;
/** What others make: `mdevctl`, Nova. */
const foreign = '7f2e2c5c-4f0a-4d4e-9f6e-0d3f6a1b2c3d';

const definition = `
id: lab-serial
title: the lab's GPU, divided into serial cards
match:
  - { vendor: 1af4, device: '1050' }
mdev: {}
`;
const config = {
  classes: [],
  definitions: [{ file: 'lab-serial.yaml', text: definition }],
  rules: [{ definition: 'lab-serial', address: card, mdev_type: type, offer: true }],
};

describe('mediated devices of a real kernel', () => {
  let lab: Lab;
  let site: Site;
  let guest: LabGuest;

  beforeAll(async () => {
    if (inject('labMissing') !== null) return;
    lab = Lab.current();
    await lab.command('build-mdev', [], buildMsMax);
    await lab.run(`mdev down; mdev up ${card}`);
  }, buildMsMax);
  afterAll(async () => {
    await lab?.tryRun('mdev down');
  });

  const made = async (): Promise<string[]> =>
    (await lab.run(`cd ${folder} && ls -d *-*-*-*-* || true`)).split('\n').filter(Boolean);
  const free = async (): Promise<number> =>
    Number(await lab.run(`cat ${folder}/mdev_supported_types/${type}/available_instances`));

  async function untilOffered(count: number): Promise<Accelerator[]> {
    let found: Accelerator[] = [];
    await eventually(
      async () => {
        const all = await site.accelerators();
        found = all.filter(({ name }) => name.includes(`${card}-${type}-`));
        return found.filter(({ state }) => state === 'available').length === count;
      },
      {
        timeoutMs: patientMs,
        what: `${count} of ${type} are available`,
        context: () =>
          `${found.map(({ name, state, reason }) => `${name} ${state} ${reason}`).join('\n')}\n${site.logs()}`,
      },
    );
    return found.filter(({ state }) => state === 'available');
  }

  describe.for(['qemu', 'libvirt'] as const)('of a %s guest', (hypervisor) => {
    beforeAll(async () => {
      if (inject('labMissing') !== null) return;
      if (hypervisor === 'libvirt') await lab.run('virt daemon');
      await lab.run(`echo ${foreign} > ${folder}/mdev_supported_types/${type}/create`);
      site = await Site.open(lab, { hypervisor });
      await site.installDriver(config);
      guest = await LabGuest[hypervisor](lab, `divided-${hypervisor}`);
      await site.untilInstance(guest.uuid);
    });
    afterAll(async () => {
      await (hypervisor === 'qemu' ? guest?.stop() : guest?.destroy());
      await site?.[Symbol.asyncDispose]();
      await lab?.tryRun(`echo 1 > ${folder}/${foreign}/remove`);
      if (hypervisor === 'libvirt') await lab?.tryRun('virt kill TERM');
    });

    it('are made when they are attached, outlive the agent, and are removed when they are detached', async ({
      expect,
    }) => {
      const [first, second] = (await untilOffered(ports)).map(({ name }) => name);
      await attach(site, guest, { ids: [ids, ids], names: [first ?? '', second ?? ''] });
      expect(await made()).toHaveLength(3);
      expect(await free()).toBe(ports - 2);

      await site.stopAgent('KILL');
      site.startAgent();
      await site.untilHostIs('up');
      await untilOffered(ports - 2);
      expect(await made()).toHaveLength(3);
      expect(guest.plugged()).toHaveLength(2);

      await detach(site, guest);
      expect(await made()).toEqual([foreign]);
      expect(await free()).toBe(ports);
      await untilOffered(ports);
    });

    it('are named with the types that the card has, and those of others left to them', async ({
      expect,
    }) => {
      const { items } = await site.v3.listDevices({ query: {} });
      const device = items.find(({ address }) => address === card);
      const shown = async (): Promise<unknown> =>
        JSON.parse(await site.succeeds('device-show', device?.id ?? '', '-f', 'json'));
      // How many are free is of the last look.
      await expect.poll(shown, { timeout: patientMs, interval: 1_000 }).toMatchObject({
        info: {
          mdev_types: `${type}=${ports} virtio-pci-2=${Math.floor(ports / 2)}`,
          [`mdev_type_${type}`]: 'Single port serial',
          mdev_others: `${foreign} (${type})`,
        },
      });
    });
  });
});

/** A kernel driver that does not come back from unbind: that attach waits and says why, the host and its other cards go on. */
import { eventually } from '@cyborg/testing/processes';
import { afterAll, beforeAll, describe, inject, it } from 'vitest';

import { attach, cards, cardsConfig, detach, stateOf, untilAvailable } from './attach.ts';
import { LabGuest } from './guests.ts';
import { Lab, needsLab, patientMs } from './lab.ts';
import { Site } from './site.ts';

needsLab();

const nvme = '0000:41:00.0';
const forgets = { accepted: true, reason: 'the lab’s namespace has nothing on it' } as const;
const rule = {
  address: nvme,
  type: 'SSD',
  unbind: 'idle',
  resetless: forgets,
  offer: true,
} as const;
const config = { ...cardsConfig, rules: [rule, ...cardsConfig.rules.slice(2)] };

/** In the place of the driver's own file: one of a frozen file system, where a write waits in the kernel, deaf to SIGKILL. */
const unbindFile = '/sys/bus/pci/drivers/nvme/unbind';
const frozen = '/tmp/hang';
const freeze = [
  'set -e',
  'modprobe -a loop ext4',
  `mkdir -p ${frozen}; truncate -s 16M ${frozen}.img; mkfs.ext4 -q -F ${frozen}.img`,
  `mount -o loop ${frozen}.img ${frozen}; touch ${frozen}/unbind`,
  `mount --bind ${frozen}/unbind ${unbindFile}`,
  `fsfreeze -f ${frozen}`,
].join('\n');
const thaw = `fsfreeze -u ${frozen}; umount -l ${unbindFile}; umount -l ${frozen}; rm -rf ${frozen}.img`;

describe('a kernel driver that hangs in unbind', () => {
  let lab: Lab;
  let site: Site;
  let guest: LabGuest;

  beforeAll(async () => {
    if (inject('labMissing') !== null) return;
    lab = Lab.current();
    site = await Site.open(lab);
    await site.installDriver(config);
    guest = await LabGuest.qemu(lab, 'patient');
    await site.untilInstance(guest.uuid);
  });
  afterAll(async () => {
    await guest?.stop();
    await site?.[Symbol.asyncDispose]();
    await lab?.tryRun(`mountpoint -q ${frozen} && { ${thaw}; }`);
  });

  it('keeps that attach waiting with the reason, and nothing else; the attach ends when it ends', async ({
    expect,
  }) => {
    const before = await stateOf(lab, [nvme]);
    const [disk, edu] = [await untilAvailable(site, nvme), await untilAvailable(site, cards.edu)];
    const params = { instance_id: guest.uuid };
    await lab.run(freeze);
    const asked = await site.v3.createAttachments({ params, body: { accelerator: disk.id } });
    const told = await eventually(
      async () => {
        const { items } = await site.v3.listAttachments({ params });
        return items.find(({ reason }) => reason?.includes('hangs in the kernel'));
      },
      { timeoutMs: patientMs, what: 'the reason is told', context: () => site.logs() },
    );
    expect(told).toMatchObject({ state: 'attaching', accelerator_id: disk.id });
    await attach(site, guest, { ids: ['1234:11e8'], names: [edu.name] });
    await site.untilHostIs('up');
    await lab.run(thaw);
    await site.done(asked);
    await guest.says(/^NESTED-ADD \S+ 0x1b36:0x0010 /);
    await detach(site, guest);
    await untilAvailable(site, nvme);
    expect(await stateOf(lab, [nvme])).toBe(before);
  });
});

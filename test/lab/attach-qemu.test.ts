/** Real functions, attached to a running QEMU guest inside the lab by `cyborg attach-instance`, and back. */
import { afterAll, beforeAll, describe, inject, it } from 'vitest';

import {
  approved,
  attach,
  cards,
  detach,
  machineOf,
  stateOf,
  unapprovedConfig,
  untilListed,
} from './attach.ts';
import { LabGuest } from './guests.ts';
import { Lab, isFullRun, needsLab } from './lab.ts';
import {
  cleaningsSince,
  eventsUntilNow,
  nothingOpen,
  resets,
  untilNothingOpen,
} from './records.ts';
import { Site } from './site.ts';

needsLab();

const cycles = isFullRun ? 100 : 10;
/** Half a minute each, and several times that on a busy machine. */
const cyclesMsMax = cycles * 240_000;

describe('attaching to a running QEMU guest', () => {
  let lab: Lab;
  let site: Site;
  let one: LabGuest;
  let other: LabGuest;

  beforeAll(async () => {
    if (inject('labMissing') !== null) return;
    lab = Lab.current();
    site = await Site.open(lab);
    await site.installDriver(unapprovedConfig);
    one = await LabGuest.qemu(lab, 'one');
    other = await LabGuest.qemu(lab, 'other');
    for (const { uuid } of [one, other]) await site.untilInstance(uuid);
    await untilListed(site, cards.nvmeVf);
  });
  afterAll(async () => {
    await one?.stop();
    await other?.stop();
    await site?.[Symbol.asyncDispose]();
    await lab?.tryRun(`echo 0 > /sys/bus/pci/devices/${cards.nvmePf}/sriov_numvfs`);
  });

  it.for([
    ['a virtual function of the NVMe', cards.nvmeVf, '1b36:0010'],
    ['the edu, which has no reset and is accepted without', cards.edu, '1234:11e8'],
    ['the display', cards.display, '1234:1111'],
    ['virtio-crypto, taken from its idle kernel driver', cards.crypto, '1af4:1054'],
  ] as const)(
    'gives %s to a guest once it is approved, cleans it, and gives it to another',
    async ([, address, ids], { expect }) => {
      const before = await stateOf(lab, [address]);
      const { name, ...found } = await untilListed(site, address);
      expect(found).toMatchObject({ state: 'withheld', reason: 'not approved' });
      const early = await site.cyborg('attach-instance', one.uuid, '--accelerator', name);
      expect(early.stderr).toContain('not approved');
      await approved(site, address);
      await attach(site, one, { ids: [ids], names: [name] });
      expect(await site.at(address)).toMatchObject({ state: 'attached', instance_id: one.uuid });
      await detach(site, one);
      expect(await site.at(address)).toMatchObject({ state: 'available', instance_id: null });
      await attach(site, other, { ids: [ids], names: [name] });
      expect(one.plugged()).toEqual([]);
      await detach(site, other);
      expect(await stateOf(lab, [address])).toBe(before);
    },
  );

  it('refuses one of two edu of an IOMMU group with the reason, and gives both together', async ({
    expect,
  }) => {
    const group = [...cards.eduPair, cards.eduBridge];
    const before = await stateOf(lab, group);
    expect(before).toContain(`${cards.eduBridge} driver=shpchp`);
    const pair = [];
    for (const address of cards.eduPair) pair.push(await approved(site, address));
    for (const { name } of pair) {
      const alone = await site.cyborg('attach-instance', one.uuid, '--accelerator', name);
      expect(alone.status).toBe(1);
      expect(alone.stderr).toMatch(/shares IOMMU group \d+ with .*attach them together/);
    }
    expect(await stateOf(lab, group)).toBe(before);
    const names = pair.map(({ name }) => name);
    await attach(site, one, { ids: ['1234:11e8', '1234:11e8'], names });
    await detach(site, one);
    expect(await stateOf(lab, group)).toBe(before);
  });

  it('refuses the disk that the lab’s machine has mounted, although a rule offers it', async ({
    expect,
  }) => {
    const { id, state, reason } = await site.at(cards.mounted);
    expect({ state, reason }).toMatchObject({
      state: 'withheld',
      reason: expect.stringMatching(/mounted at/),
    });
    const refused = await site.cyborg('attach-instance', one.uuid, '--accelerator', id);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toMatch(/mounted at/);
  });

  it(
    `leaves no difference after ${cycles} cycles`,
    { timeout: cyclesMsMax },
    async ({ expect }) => {
      const addresses = [cards.nvmeVf, cards.display];
      const accelerators = [];
      for (const address of addresses) accelerators.push(await approved(site, address));
      const names = accelerators.map(({ name }) => name);
      const everything = async (): Promise<object> => ({
        sysfs: await stateOf(lab, addresses),
        machine: await machineOf(one),
        records: await untilNothingOpen(site, one, addresses),
      });
      const before = await everything();
      expect(before).toMatchObject({ records: nothingOpen });
      const eventsBefore = await eventsUntilNow(site);
      for (let cycle = 0; cycle < cycles; cycle += 1) {
        await attach(site, one, { ids: ['1234:1111', '1b36:0010'], names });
        await detach(site, one);
      }
      expect(await everything()).toEqual(before);
      for (const [at, accelerator] of accelerators.entries()) {
        const cleanings = await cleaningsSince(site, eventsBefore, accelerator);
        expect(cleanings).toHaveLength(cycles);
        const wanted = resets.get(addresses[at] ?? '') ?? 'a reset';
        expect(cleanings.filter((evidence) => !evidence.includes(wanted))).toEqual([]);
      }
    },
  );
});

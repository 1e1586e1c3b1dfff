/** Cards that come and go while the agent runs: heard of by the kernel's events, kept in the ledger when they go. */
import { systemClock } from '@cyborg/service/clock';
import { eventually } from '@cyborg/testing/processes';
import { afterAll, beforeAll, describe, inject, it } from 'vitest';

import { attach, detach } from './attach.ts';
import { LabGuest } from './guests.ts';
import { Lab, needsLab, patientMs } from './lab.ts';
import { Site, type Accelerator } from './site.ts';

needsLab();

const port = '0000:23:00.0';
const accepted = { accepted: true, reason: 'an edu has no memory' };
const config = {
  classes: [],
  rules: [{ vendor: '1234', device: '11e8', resetless: accepted, offer: true }],
};

describe('cards that come and go', () => {
  let lab: Lab;
  let site: Site;

  beforeAll(async () => {
    if (inject('labMissing') !== null) return;
    lab = Lab.current();
    // Only an event makes it look again: the interval is a day.
    site = await Site.open(lab, { args: ['--inventory-interval', '86400'] });
    await site.installDriver(config);
  });
  afterAll(async () => {
    await lab?.try('unplug', ['hp0-card', '--timeout', '60']);
    await site?.[Symbol.asyncDispose]();
  });

  const find = async (): Promise<Accelerator | undefined> =>
    (await site.accelerators()).find(({ name }) => name.endsWith(port));

  async function until(what: string, is: (one: Accelerator) => boolean): Promise<Accelerator> {
    return await eventually(
      async () => {
        const one = await find();
        return one !== undefined && is(one) && one;
      },
      { timeoutMs: patientMs, what, pauseMs: 50, context: () => site.logs() },
    );
  }

  it('lists a card that is plugged in, long before the interval', async ({ expect }) => {
    expect(await find()).toBeUndefined();
    await lab.plug('edu', 'hp0');
    await lab.run(`until [[ -e /sys/bus/pci/devices/${port} ]]; do sleep 0.05; done`);
    const startedMs = systemClock.monotonicMs();
    const card = await until('it is listed', ({ presence }) => presence === 'present');
    // Two seconds is what is promised on a machine that is not emulated on two busy cores.
    console.info(
      `in the API ${Math.round(systemClock.monotonicMs() - startedMs)} ms after it was in sysfs`,
    );
    expect(card).toMatchObject({ state: 'available' });
  });

  it('marks a card that is pulled out as absent, and deletes nothing', async ({ expect }) => {
    const before = await find();
    await lab.unplug('hp0-card');
    const gone = await until('it is absent', ({ presence }) => presence === 'absent');
    expect(gone.id).toBe(before?.id);
  });

  it('knows the card again when it is back, and can give it', async ({ expect }) => {
    const before = await find();
    await lab.plug('edu', 'hp0');
    const back = await until(
      'it is back',
      ({ presence, state }) => presence === 'present' && state === 'available',
    );
    expect(back.id).toBe(before?.id);
    const guest = await LabGuest.qemu(lab, 'plugged');
    try {
      await site.untilInstance(guest.uuid);
      await attach(site, guest, { ids: ['1234:11e8'], names: [back.name] });
      await detach(site, guest);
    } finally {
      await guest.stop();
    }
  });
});

/** Cards that come and go while the agent runs: heard of by the kernel's events, kept in the ledger when they go. */
import { systemClock } from '@cyborg/service/clock';
import { eventually } from '@cyborg/testing/processes';
import { afterAll, beforeAll, describe, inject, it } from 'vitest';

import { attach, detach } from './attach.ts';
import { LabGuest } from './guests.ts';
import { Lab, needsLab, patientMs } from './lab.ts';
import { Site, type Accelerator } from './site.ts';

needsLab();

const ports = { hp0: '0000:23:00.0', hp1: '0000:46:00.0' } as const;
type Port = keyof typeof ports;
/** From the kernel's event to the API. */
const listedMsMax = 2_000;
/** Some may be late on a processor that is emulated on busy cores: one in time shows that nothing else waits. */
const listedTriesMax = 16;
const eventsFile = 'hot-plug.events';
const monitor = `setpriv --pdeathsig KILL udevadm monitor --kernel --subsystem-match=pci`;
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
    for (const port of Object.keys(ports)) {
      await lab?.try('unplug', [`${port}-card`, '--timeout', String(patientMs / 1000)], {
        timeoutMs: 2 * patientMs,
      });
    }
    await site?.[Symbol.asyncDispose]();
  });

  const find = async (port: Port): Promise<Accelerator | undefined> =>
    (await site.accelerators()).find(({ name }) => name.endsWith(ports[port]));

  async function until(
    port: Port,
    what: string,
    is: (one: Accelerator) => boolean,
  ): Promise<Accelerator> {
    return await eventually(
      async () => {
        const one = await find(port);
        return one !== undefined && is(one) && one;
      },
      { timeoutMs: patientMs, what, pauseMs: 25, context: () => site.logs() },
    );
  }

  /** @returns how long after the kernel's event it is in the API. */
  async function comes(port: Port): Promise<number> {
    const pattern = new RegExp(` add .*${ports[port]} `);
    const countTold = (): number =>
      lab.lines(eventsFile).filter((line) => pattern.test(line)).length;
    const toldBefore = countTold();
    const told = eventually(() => countTold() > toldBefore && systemClock.monotonicMs(), {
      timeoutMs: patientMs,
      what: `the kernel tells of ${port}`,
      pauseMs: 10,
    });
    await lab.plug('edu', port);
    const toldMs = await told;
    await until(port, `${port} is listed`, ({ presence }) => presence === 'present');
    const listedMs = Math.round(systemClock.monotonicMs() - toldMs);
    await until(port, `${port} can be given`, ({ state }) => state === 'available');
    return listedMs;
  }

  /** Pulled out: it stays in the ledger. */
  async function goes(port: Port): Promise<Accelerator> {
    await lab.unplug(`${port}-card`);
    return await until(port, `${port} is absent`, ({ presence }) => presence === 'absent');
  }

  /** How long it takes to look when somebody asks for it: what looking takes by itself here. */
  async function askedMs(): Promise<number> {
    const startedMs = systemClock.monotonicMs();
    await site.done(site.v3.createDiscovery({ body: {} }));
    return Math.round(systemClock.monotonicMs() - startedMs);
  }

  it(`lists new cards within ${listedMsMax} ms of the kernel's event`, async ({ expect }) => {
    for (const port of ['hp0', 'hp1'] as const) expect(await find(port)).toBeUndefined();
    await lab.run(`rm -f /lab/x/out/${eventsFile}`);
    const monitoring = lab.start(`${monitor} > /lab/x/out/${eventsFile}`);
    try {
      await lab.says(eventsFile, /KERNEL/);
      const tookMs: number[] = [];
      const lookedMs: number[] = [];
      // A machine so busy that looking alone takes longer is held to that: the best against the best.
      const isInTime = (): boolean => {
        const looked = lookedMs.length === 0 ? 0 : Math.min(...lookedMs);
        return Math.min(...tookMs) < Math.max(listedMsMax, 2 * looked);
      };
      do {
        if (tookMs.length > 0) await goes('hp0');
        tookMs.push(await comes('hp0'), await comes('hp1'));
        await goes('hp1');
        if (!isInTime()) lookedMs.push(await askedMs());
      } while (!isInTime() && tookMs.length < listedTriesMax);
      const told = `in the API ${tookMs.join(', ')} ms after the kernel's event`;
      console.info(told);
      expect(isInTime(), `${told}; looking took ${lookedMs.join(', ')} ms`).toBe(true);
    } finally {
      monitoring.kill('SIGTERM');
    }
  });

  it('marks a card that is pulled out as absent, and deletes nothing', async ({ expect }) => {
    const before = await find('hp0');
    expect((await goes('hp0')).id).toBe(before?.id);
  });

  it('knows the card again when it is back, and can give it', async ({ expect }) => {
    const before = await find('hp0');
    await lab.plug('edu', 'hp0');
    const back = await until(
      'hp0',
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

/** What must not take a function from a guest that holds it, and what must bring it back: agent, server, ledger, guest, host. */
import { defaultLimits } from '@cyborg/conductor/limits';
import { systemClock } from '@cyborg/service/clock';
import { eventually } from '@cyborg/testing/processes';
import { afterAll, beforeAll, describe, inject, it } from 'vitest';

import { cards, detach, stateOf, untilAvailable } from './attach.ts';
import { LabGuest } from './guests.ts';
import { both, giveBoth, listenTo, openSite, untilHolds, type Lasting } from './holding.ts';
import { Lab, isFullRun, needsLab, patientMs } from './lab.ts';
import type { Site } from './site.ts';

needsLab();

/** A QMP socket of its own: the agent's is busy while it asks a guest to let go. */
const witness = '/tmp/holder.witness';
const more = `-- -qmp unix:${witness},server=on,wait=off`;
/** Beyond the lease that the host has then no more: several looks, and what counts as vanished after a minute. */
const beyondLeaseMs = isFullRun ? 115_000 : 50_000;
const awayMs = defaultLimits.leaseSeconds * 1000 + beyondLeaseMs;

describe('a QEMU guest that holds real functions', () => {
  let lab: Lab;
  let site: Site;
  let guest: LabGuest;
  let before: Lasting[];
  let untouched: string;

  beforeAll(async () => {
    if (inject('labMissing') !== null) return;
    lab = Lab.current();
    site = await openSite(lab);
    guest = await LabGuest.qemu(lab, 'holder', more);
    await giveBoth(site, guest);
    before = await untilHolds(site, guest, both);
  });
  afterAll(async () => {
    await guest?.stop();
    await site?.[Symbol.asyncDispose]();
    await lab?.tryRun(`echo 0 > /sys/bus/pci/devices/${cards.nvmePf}/sriov_numvfs`);
  });

  const qmp = async (command: string): Promise<string> =>
    await lab.run(`qmp ${witness} ${command}`);
  const devicesOf = async (): Promise<string> =>
    await qmp(`qom-list '{"path": "/machine/peripheral"}'`);

  it.for(['TERM', 'KILL'] as const)(
    'keeps them when the agent ends by SIG%s and is started again',
    async (signal, { expect }) => {
      const heard = listenTo(guest);
      const devices = await devicesOf();
      await site.stopAgent(signal);
      site.startAgent();
      await site.untilHostIs('up');
      expect(await untilHolds(site, guest, both)).toEqual(before);
      expect(await devicesOf()).toBe(devices);
      expect(heard()).toEqual([]);
    },
  );

  it('keeps them when a second agent is started beside the first, which is refused', async ({
    expect,
  }) => {
    const heard = listenTo(guest);
    const { status, stderr, stdout } = await lab.tryRun(site.agentLine());
    expect(status).not.toBe(0);
    expect(stdout + stderr).toMatch(/Another agent \(process \d+\) already runs/);
    expect(site.agentHasEnded).toBe(false);
    expect(await untilHolds(site, guest, both)).toEqual(before);
    expect(heard()).toEqual([]);
  });

  it(`keeps them while the server is away for ${awayMs / 1000} s, far longer than a lease`, async ({
    expect,
  }) => {
    const heard = listenTo(guest);
    const devices = await devicesOf();
    await site.stopServer('SIGKILL');
    await systemClock.sleep(awayMs);
    expect(await devicesOf()).toBe(devices);
    await site.startServer();
    await site.untilHostIs('up');
    expect(await untilHolds(site, guest, both)).toEqual(before);
    expect(await devicesOf()).toBe(devices);
    expect(heard()).toEqual([]);
  });

  it('has them after it rebooted, by itself and by a reset', async ({ expect }) => {
    const reboots = [
      async () => await guest.sh('(sleep 1; reboot -f) &'),
      async () => await qmp('system_reset'),
    ];
    for (const reboot of reboots) {
      const since = guest.lines.length;
      await reboot();
      await guest.says(/^NESTED-READY/, since);
      expect(await untilHolds(site, guest, both)).toEqual(before);
    }
  });

  it('gets them again after it was powered off hard and started', async ({ expect }) => {
    await guest.stop();
    const gone = async (): Promise<boolean> => {
      const { presence } = await site.v3.showInstance({ params: { instance_id: guest.uuid } });
      return presence !== 'present';
    };
    await eventually(gone, {
      timeoutMs: patientMs,
      what: 'it is missed',
      context: () => site.logs(),
    });
    const { items } = await site.v3.listAttachments({ params: { instance_id: guest.uuid } });
    expect(items.map(({ state }) => state)).toEqual(['attached', 'attached']);
    guest = await LabGuest.qemu(lab, 'holder', more);
    expect(await untilHolds(site, guest, both)).toEqual(before);
  });

  it('lets go of them when its processors go on, having stood still at the detach', async ({
    expect,
  }) => {
    await qmp('stop');
    const detaching = site.v3.deleteAttachments({ params: { instance_id: guest.uuid } });
    await detaching;
    try {
      const told = await eventually(
        async () => {
          const { items } = await site.v3.listAttachments({ params: { instance_id: guest.uuid } });
          return items.find(({ reason }) => reason?.includes('did not let go'));
        },
        { timeoutMs: patientMs, what: 'the reason is told', context: () => site.logs() },
      );
      expect(told).toMatchObject({ state: 'detaching', reason: expect.stringContaining('paused') });
      for (const address of both) {
        expect(await site.at(address)).toMatchObject({
          state: 'attached',
          instance_id: guest.uuid,
        });
      }
    } finally {
      await qmp('cont');
    }
    await site.done(detaching);
    await untilHolds(site, guest, []);
    for (const address of both) await untilAvailable(site, address);
    untouched = await stateOf(lab, both);
    await giveBoth(site, guest);
    before = await untilHolds(site, guest, both);
  });

  it('keeps them when its agent is replaced by one without notes, which gives them back all the same', async ({
    expect,
  }) => {
    const heard = listenTo(guest);
    const devices = await devicesOf();
    await site.stopAgent('KILL');
    await site.replaceAgent();
    expect(await untilHolds(site, guest, both)).toEqual(before);
    expect(await devicesOf()).toBe(devices);
    expect(heard()).toEqual([]);
    await detach(site, guest);
    for (const address of both) await untilAvailable(site, address);
    expect(await stateOf(lab, both)).toBe(untouched);
    await giveBoth(site, guest);
    before = await untilHolds(site, guest, both);
  });

  it('loses nothing to an older ledger: it is unclaimed, given to nobody else, and adopted', async ({
    expect,
  }) => {
    await detach(site, guest);
    await site.stopServer();
    const backup = site.backUp();
    await site.startServer();
    await site.untilHostIs('up');
    await giveBoth(site, guest);
    const devices = await devicesOf();
    const heard = listenTo(guest);
    await site.stopServer();
    site.restore(backup);
    await site.beginIncarnation();
    await site.startServer();
    const unclaimed = await eventually(
      async () => {
        const { items } = await site.v3.listUnclaimed({ query: {} });
        return items.length === both.length && items;
      },
      { timeoutMs: patientMs, what: 'both are unclaimed', context: () => site.logs() },
    );
    await site.untilHostIs('up');
    expect(unclaimed.map(({ address }) => address ?? '').toSorted()).toEqual(both.toSorted());
    for (const { accelerator_id: id, address, device_name: device } of unclaimed) {
      const held = await eventually(
        async () => {
          const one = await site.at(address ?? '');
          return one.state === 'cleaning' && one;
        },
        { timeoutMs: patientMs, what: `${address} is given to nobody`, context: () => site.logs() },
      );
      expect(held.id).toBe(id);
      expect(held.reason).toContain(device);
    }
    const bystander = await LabGuest.qemu(lab, 'bystander');
    try {
      await site.untilInstance(bystander.uuid);
      const { name } = await site.at(cards.edu);
      const taken = await site.cyborg('attach-instance', bystander.uuid, '--accelerator', name);
      expect(taken.status).toBe(1);
      expect(taken.stdout + taken.stderr).toContain('being cleaned');
    } finally {
      await bystander.stop();
    }
    expect(await devicesOf()).toBe(devices);
    expect(heard()).toEqual([]);

    const [first, second] = unclaimed;
    const wrong = ['--accelerator', second?.accelerator_id ?? ''];
    const refused = await site.cyborg('unclaimed-adopt', first?.id ?? '', ...wrong);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toContain(first?.accelerator_name);
    for (const { id } of unclaimed) await site.succeeds('unclaimed-adopt', id);
    before = await untilHolds(site, guest, both);
    expect(heard()).toEqual([]);
  });

  it.for([
    ['in order', false],
    ['by pulling the plug', true],
  ] as const)('gets them again after its host was rebooted %s', async ([, hard], { expect }) => {
    await lab.reboot({ hard });
    site.startAgent();
    await site.untilHostIs('up');
    guest = await LabGuest.qemu(lab, 'holder', more);
    expect(await untilHolds(site, guest, both)).toEqual(before);
  });

  it('gives them back clean in the end', async ({ expect }) => {
    await detach(site, guest);
    expect(await untilHolds(site, guest, [])).toEqual([]);
    for (const address of both) await untilAvailable(site, address);
  });
});

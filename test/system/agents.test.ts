/** Fencing between agents, and what a host's hypervisor does not say. */
import { cpSync, mkdirSync, readdirSync, renameSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { systemClock } from '@cyborg/service/clock';
import { carriedOut } from '@cyborg/testing/carried-out';
import { eventually } from '@cyborg/testing/processes';
import { describe, it } from 'vitest';

import { Fleet, startTimeoutMs, type Host } from './fleet.ts';
import { settled } from './settled.ts';

const leaseMs = 15_000;
const noticeMs = 60_000;
/** The first pause before a lost device is given again is 30 s, the second a minute. */
const givenAgainMs = 200_000;
/** A listing without an instance is reported again after 30 s, and two reports prove it. */
const vanishedMs = 100_000;
/** Longer than the time after which two healthy looks would prove a vanished instance, as the server is started here. */
const falseAlarmMs = 4_000;

async function openFleet(
  args: readonly string[] = [],
): Promise<{ fleet: Fleet; host: Host; vm: string }> {
  const fleet = await Fleet.open();
  await fleet.startServer({ args });
  const [host] = await fleet.addHosts(['host-1'], { args: ['--instance-interval', '0.5'] });
  await fleet.installVirtual(['host-1'], { crypto: 3, entropy: 0 });
  if (host === undefined) throw new Error('no host');
  return { fleet, host, vm: await fleet.instance('host-1') };
}

describe('a host', () => {
  it('has one agent: a second one on its state is refused, one with a copy of it waits', async ({
    expect,
  }) => {
    const { fleet, host, vm } = await openFleet();
    await using _fleet = fleet;
    await using same = host.startSecond(host.stateDir, []);
    expect(await same.ended).toBe(1);
    expect(same.output()).toContain(`process ${host.agent?.pid}`);

    const copy = join(fleet.folder, 'copy');
    // What the agent writes just then may be renamed under the hands of a copy.
    await eventually(
      () => {
        const filter = (path: string): boolean => !path.endsWith('.sock');
        cpSync(host.stateDir, copy, { recursive: true, filter });
        return true;
      },
      { timeoutMs: noticeMs, what: 'its state is copied' },
    );
    await using other = host.startSecond(copy, []);
    await eventually(() => other.output().includes('another agent holds the lease'), {
      timeoutMs: startTimeoutMs,
      what: 'the second waits',
      context: () => other.output(),
    });
    await fleet.attach(vm);
    await settled(fleet);
    expect(other.output()).not.toContain('holding the lease');
    expect(host.agent?.hasEnded()).toBe(false);
  });

  it('whose agent was stopped past its lease starts nothing with old orders when it goes on', async ({
    expect,
  }) => {
    const { fleet, host, vm } = await openFleet();
    await using _fleet = fleet;
    await fleet.attach(vm, { count: 1 });
    const { agent: old } = host;
    const slow = host.fault('slow-plug', '1500');
    const asked = await fleet.requestAttach(vm, { count: 2 });
    old?.child.kill('SIGSTOP');

    // The lease ends and another agent of the same host, elsewhere, takes over.
    const { token } = carriedOut(await fleet.v3.reenrollHost({ params: { host: 'host-1' } }));
    await using next = host.startSecond(join(fleet.folder, 'next'), ['--join-token', token]);
    await eventually(() => next.output().includes('holding the lease'), {
      timeoutMs: leaseMs + startTimeoutMs,
      what: 'the other agent has the lease',
      context: () => next.output(),
    });
    slow[Symbol.dispose]();
    await fleet.done(asked);
    await fleet.detach(vm);
    expect(host.devices()).toEqual([]);

    old?.child.kill('SIGCONT');
    await eventually(() => /refuses this host|another agent holds/.test(old?.output() ?? ''), {
      timeoutMs: noticeMs,
      what: 'the old one notices',
      context: () => old?.output() ?? '',
    });
    await systemClock.sleep(2_000); // longer than what it had begun takes
    await settled(fleet, { withinMs: noticeMs });
    expect(host.devices()).toEqual([]);
  });
});

describe('a hypervisor that seems to have lost its instances', () => {
  it('loses nothing: unavailable, silent, an empty listing, a folder that is away', async ({
    expect,
  }) => {
    const { fleet, host, vm } = await openFleet(['--vanish-after', '1s']);
    await using _fleet = fleet;
    await fleet.attach(vm, { count: 2 });
    const before = host.devices();
    const checkNothingReleased = async (): Promise<void> => {
      expect(await fleet.accelerators({ state: 'attached' })).toHaveLength(2);
      const { items } = await fleet.v3.listAttachments({
        params: { instance_id: vm },
        query: {},
      });
      expect(items.filter(({ state }) => state === 'attached')).toHaveLength(2);
    };

    for (const fault of ['unavailable', 'unknown', `unknown.${vm}`]) {
      using _fault = host.fault(fault, 'because the test says so');
      await systemClock.sleep(falseAlarmMs / 2);
      await checkNothingReleased();
    }

    // The folder is away, and then an empty one is in its place: an unmounted file system.
    const away = `${host.hypervisor}-away`;
    renameSync(host.hypervisor, away);
    await systemClock.sleep(falseAlarmMs / 3);
    mkdirSync(host.hypervisor);
    await systemClock.sleep(falseAlarmMs);
    await eventually(
      async () => {
        const { hypervisors } = await fleet.v3.showHost({ params: { host: 'host-1' } });
        return hypervisors.length === 1 && hypervisors[0]?.healthy === false;
      },
      { timeoutMs: noticeMs, what: 'its hypervisor is not healthy', context: () => fleet.logs() },
    );
    await checkNothingReleased();
    renameSync(host.hypervisor, `${host.hypervisor}-empty`);
    renameSync(away, host.hypervisor);

    // One healthy look without the instance is not two.
    await fleet.untilAttachable();
    const file = join(host.hypervisor, 'instances', `${vm}.json`);
    const kept = join(host.folder, 'kept.json');
    renameSync(file, kept);
    await systemClock.sleep(1_200);
    renameSync(kept, file);
    await systemClock.sleep(falseAlarmMs);
    await checkNothingReleased();
    expect(host.devices()).toEqual(before);
    await settled(fleet);

    // And one that really is gone gives its accelerators back.
    await fleet.detach(vm, (await fleet.accelerators({ state: 'attached' }))[0]?.id);
    unlinkSync(file);
    await eventually(async () => (await fleet.accelerators({ state: 'available' })).length === 3, {
      timeoutMs: vanishedMs,
      what: 'the accelerator of the vanished instance is free',
      context: () => fleet.logs(),
    });
  });

  it('gets back what a guest lost in a reboot', async ({ expect }) => {
    const { fleet, host, vm } = await openFleet();
    await using _fleet = fleet;
    await fleet.attach(vm, { count: 2 });
    const before = host.devices();
    const folder = join(host.hypervisor, 'devices', vm);
    for (const name of readdirSync(folder)) unlinkSync(join(folder, name));
    await eventually(() => host.devices().length === 2, {
      timeoutMs: noticeMs,
      what: 'both are plugged again',
      context: () => fleet.logs(),
    });
    expect(host.devices()).toHaveLength(before.length);
    await settled(fleet);
    writeFileSync(join(host.hypervisor, 'faults', 'guest-refuses'), '100');
    const answer = await fleet.requestDetach(vm);
    await systemClock.sleep(1_000);
    expect(host.devices()).toHaveLength(2);
    unlinkSync(join(host.hypervisor, 'faults', 'guest-refuses'));
    await fleet.done(answer);
    await settled(fleet);
  });

  it('gets back by itself what a guest could not be given when it was restarted at the wrong moment', async ({
    expect,
  }) => {
    const { fleet, host, vm } = await openFleet();
    await using _fleet = fleet;
    await fleet.attach(vm, { count: 2 });
    const before = host.devices();
    const attachments = async () =>
      (await fleet.v3.listAttachments({ params: { instance_id: vm } })).items;
    const context = (): string => fleet.logs();
    // It comes up without its devices, and takes none yet.
    const notYet = host.fault(`refuse-plug.${vm}`, 'All hot-plug ports are in use');
    const folder = join(host.hypervisor, 'devices', vm);
    for (const name of readdirSync(folder)) unlinkSync(join(folder, name));
    await eventually(async () => (await attachments()).every(({ state }) => state === 'failed'), {
      timeoutMs: noticeMs,
      what: 'it could not be given them',
      context,
    });
    expect((await attachments()).map(({ reason }) => reason)).toEqual(
      before.map(() => 'All hot-plug ports are in use'),
    );
    expect(await fleet.accelerators({ state: 'attached' })).toHaveLength(2);
    notYet[Symbol.dispose]();
    await eventually(async () => (await attachments()).every(({ state }) => state === 'attached'), {
      timeoutMs: givenAgainMs,
      what: 'it has them again',
      context,
    });
    // The same giving, so the same names.
    expect(host.devices()).toEqual(before);
    await settled(fleet);
  });
});

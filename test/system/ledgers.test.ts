/** Promise 4: nothing is detached on absence, and no order is taken from a ledger that is not ours or older. */
import type { V3Result } from '@cyborg/api-client/v3';
import { connect } from '@cyborg/store/connect';
import { systemClock } from '@cyborg/service/clock';
import { openEmptyDatabase } from '@cyborg/testing/database';
import { quietLog } from '@cyborg/testing/log';
import { carriedOut } from '@cyborg/testing/carried-out';
import { eventually, startProgram } from '@cyborg/testing/processes';
import { sql } from 'kysely';
import { describe, it } from 'vitest';

import { Fleet, type Host, type HostOptions } from './fleet.ts';

const noticeMs = 60_000;
/** Long enough for several looks, polls and passes. */
const calmMs = 4_000;
const calmPauseMs = 100;

async function openFleet(
  options: HostOptions = {},
): Promise<{ fleet: Fleet; host: Host; vm: string }> {
  const fleet = await Fleet.open();
  await fleet.startServer();
  const [host] = await fleet.addHosts(['host-1'], options);
  await fleet.installVirtual(['host-1'], { crypto: 3, entropy: 0 });
  if (host === undefined) throw new Error('no host');
  return { fleet, host, vm: await fleet.instance('host-1') };
}

describe('an empty database beside attached guests', () => {
  it('unplugs nothing, shows what nobody claims, and lets it be adopted or released', async ({
    expect,
  }) => {
    const { fleet, host, vm } = await openFleet();
    await using _fleet = fleet;
    await fleet.attach(vm, { count: 2 });
    const before = host.devices();

    // Another, empty ledger in the same place: the agent does not obey it.
    await fleet.server?.end('SIGKILL');
    await using empty = await openEmptyDatabase();
    await fleet.startServer({ database: ['--database-url', empty.url] });
    await said(host, 'taking no orders from it|refuses this host');
    expect(await fleet.v3.listHosts({ query: {} })).toMatchObject({ items: [] });
    expect(host.devices()).toEqual(before);

    // Enrolled there by an operator, still nothing is unplugged.
    const body = { host: 'host-1', simulated: true };
    const { token } = carriedOut(await fleet.v3.createJoinToken({ body }));
    await host.agent?.end();
    host.start(['--join-token', token]);
    await fleet.untilUp(host);
    await fleet.installVirtual(['host-1'], { crypto: 3, entropy: 0 });
    const unclaimed = await untilUnclaimed(fleet, 2);
    expect(unclaimed.map(({ device_name: name }) => name).toSorted()).toEqual(before);
    await calm(host, before);

    const [adopted, released] = unclaimed;
    const [accelerator] = await fleet.accelerators();
    await fleet.cliJson(
      'unclaimed-adopt',
      adopted?.id ?? '',
      '--accelerator',
      accelerator?.id ?? '',
    );
    await fleet.cliJson('unclaimed-release', released?.id ?? '');
    await eventually(() => host.devices().length === 1, {
      timeoutMs: noticeMs,
      what: 'the released one is unplugged',
      context: () => fleet.logs(),
    });
    expect(host.devices()).toEqual([adopted?.device_name]);
    expect(await fleet.accelerators({ state: 'attached' })).toMatchObject([
      { id: accelerator?.id, instance_id: vm },
    ]);

    await fleet.detach(vm);
    expect(host.devices()).toEqual([]);
    await eventually(async () => (await fleet.v3.listUnclaimed({ query: {} })).items.length === 0, {
      timeoutMs: noticeMs,
      what: 'nothing is unclaimed',
      context: () => fleet.logs(),
    });
  });
});

describe('an older copy of the ledger', () => {
  it('has its stale orders refused and reported; a new incarnation is obeyed', async ({
    expect,
  }) => {
    const { fleet, host, vm } = await openFleet();
    await using _fleet = fleet;
    const [accelerator] = await fleet.accelerators();
    const one = { accelerator: accelerator?.id ?? '' };

    // A backup in which an attach is on its way, and a world that has gone on since.
    await host.kill();
    const late = await fleet.requestAttach(vm, one);
    await fleet.server?.end();
    await using backup = await copyOf(fleet);
    await fleet.startServer();
    host.start();
    await fleet.untilUp(host);
    await fleet.done(late);
    await fleet.detach(vm);
    await fleet.attach(vm, one);
    const plugged = host.devices();
    await fleet.server?.end();

    await fleet.startServer({ database: ['--database-url', backup.url] });
    await eventually(async () => (await fleet.events()).find(({ kind }) => /refused/.test(kind)), {
      timeoutMs: noticeMs,
      what: 'an event about the refused order',
      context: () => fleet.logs(),
    });
    expect(host.devices()).toEqual(plugged);

    await fleet.server?.end();
    await restored(fleet, backup);
    await calm(host, plugged);
    const unclaimed = await untilUnclaimed(fleet, 1);
    for (const { id } of unclaimed) await fleet.v3.releaseUnclaimed({ params: { id } });
    await eventually(() => !host.devices().some((name) => plugged.includes(name)), {
      timeoutMs: noticeMs,
      what: 'the device of the lost history is released',
      context: () => fleet.logs(),
    });
    await fleet.ended(fleet.requestDetach(vm)).catch(() => undefined);
    for (const { id } of await fleet.accelerators()) await untilAvailable(fleet, id);
    const done = await fleet.attach(vm, { count: 3 });
    expect(done.state).toBe('succeeded');
    expect(host.devices()).toHaveLength(3);

    // The incarnation before is not obeyed any more, whatever it says.
    await fleet.server?.end();
    const kept = host.devices();
    await fleet.startServer();
    await said(host, 'taking no orders from it|older');
    await calm(host, kept);
  });
});

describe('a ledger older than what guests have', () => {
  it('gives none of it to anybody: it is adopted as what it is, or clean before it is given again', async ({
    expect,
  }) => {
    const { fleet, host, vm } = await openFleet({ instances: [{ name: 'one' }, { name: 'two' }] });
    await using _fleet = fleet;
    const { items: instances } = await fleet.v3.listInstances({ query: {} });
    const other = instances.find(({ id }) => id !== vm)?.id ?? '';
    await fleet.server?.end();
    await using backup = await copyOf(fleet);
    await fleet.startServer();
    await fleet.untilAttachable();
    await fleet.attach(vm, { count: 2 });
    const plugged = host.devices();
    const attached = await fleet.accelerators({ instance_id: vm });
    await fleet.server?.end();

    await restored(fleet, backup);
    const unclaimed = await untilUnclaimed(fleet, 2);
    expect(unclaimed.map(({ accelerator_id: id }) => id ?? '').toSorted()).toEqual(
      attached.map(({ id }) => id).toSorted(),
    );
    for (const { accelerator_id: id, device_name: device } of unclaimed) {
      await eventually(
        async () => {
          const { state, reason } = await fleet.v3.showAccelerator({ params: { id: id ?? '' } });
          return state === 'cleaning' && reason?.includes(device);
        },
        { timeoutMs: noticeMs, what: `${device} keeps it out`, context: () => fleet.logs() },
      );
      const refused = await fleet.cli('attach-instance', other, '--accelerator', id ?? '');
      expect(refused.status, refused.stdout + refused.stderr).toBe(1);
    }
    await calm(host, plugged);

    const [adopted, released] = unclaimed;
    const wrong = released?.accelerator_name ?? '';
    const refused = await fleet.cli('unclaimed-adopt', adopted?.id ?? '', '--accelerator', wrong);
    expect(refused.stderr).toContain(adopted?.accelerator_name);
    expect(refused.status).toBe(1);
    await fleet.cliJson('unclaimed-adopt', adopted?.id ?? '');
    await fleet.cliJson('unclaimed-release', released?.id ?? '');
    const id = released?.accelerator_id ?? '';
    await untilAvailable(fleet, id);
    expect(host.devices()).toEqual([adopted?.device_name]);
    await fleet.attach(other, { accelerator: id });
    const kinds = ['unclaimed.release-ordered', 'accelerator.cleaned', 'accelerator.reserved'];
    const told = async (): Promise<string[]> =>
      (await fleet.events())
        .filter(({ subject_id: subject }) => [id, released?.id].includes(subject))
        .map(({ kind }) => kind)
        .filter((kind) => kinds.includes(kind));
    // Events get their numbers a moment after their commit.
    await eventually(async () => (await told()).slice(-3).join() === kinds.join(), {
      timeoutMs: noticeMs,
      what: `the last events are ${kinds.join()}`,
      context: () => fleet.logs(),
    });

    await fleet.detach(vm);
    await fleet.detach(other);
    expect(host.devices()).toEqual([]);
  });

  it('goes on with what was on its way back, although hosts have done it since', async ({
    expect,
  }) => {
    const { fleet, host, vm } = await openFleet();
    await using _fleet = fleet;
    const [accelerator] = await fleet.accelerators();
    const one = { accelerator: accelerator?.id ?? '' };
    await fleet.attach(vm, one);
    await host.kill();
    const late = await fleet.requestDetach(vm);
    await fleet.server?.end();
    await using backup = await copyOf(fleet);
    await fleet.startServer();
    host.start();
    await fleet.untilUp(host);
    await fleet.done(late);
    await fleet.attach(vm, one);
    await fleet.detach(vm);
    await fleet.server?.end();

    await restored(fleet, backup);
    await untilAvailable(fleet, one.accelerator);
    expect(await fleet.events('accelerator.order-refused')).toEqual([]);
    expect((await fleet.attach(vm, one)).state).toBe('succeeded');
  });
});

/** What a person does after restoring a backup. */
async function restored(fleet: Fleet, backup: { readonly url: string }): Promise<void> {
  const args = ['new-incarnation', '--database-url', backup.url];
  const begun = startProgram('server', { args });
  if ((await begun.ended) !== 0) throw new Error(begun.output());
  await fleet.startServer({ database: ['--database-url', backup.url] });
  await fleet.untilAttachable();
}

async function untilUnclaimed(
  fleet: Fleet,
  count: number,
): Promise<V3Result<'listUnclaimed'>['items']> {
  return await eventually(
    async () => {
      const { items } = await fleet.v3.listUnclaimed({ query: {} });
      return items.length === count && items;
    },
    { timeoutMs: noticeMs, what: `${count} are unclaimed`, context: () => fleet.logs() },
  );
}

async function untilAvailable(fleet: Fleet, id: string): Promise<void> {
  await eventually(
    async () => (await fleet.v3.showAccelerator({ params: { id } })).state === 'available',
    { timeoutMs: noticeMs, what: 'it is available again', context: () => fleet.logs() },
  );
}

async function said(host: Host, pattern: string): Promise<void> {
  await eventually(() => new RegExp(pattern).test(host.agent?.output() ?? ''), {
    timeoutMs: noticeMs,
    what: `the agent says ${pattern}`,
    context: () => host.agent?.output() ?? '',
  });
}

/** Nothing is plugged or unplugged for a while: the only way to see that nothing happens is to watch. */
async function calm(host: Host, devices: readonly string[]): Promise<void> {
  const untilMs = Date.now() + calmMs;
  while (Date.now() < untilMs) {
    const now = host.devices();
    if (now.join() !== devices.join()) throw new Error(`devices changed: ${now.join()}`);
    await systemClock.sleep(calmPauseMs);
  }
}

/** A copy of the fleet's database, as pg_dump and a restore would make it. The server must not run. */
async function copyOf(fleet: Fleet): Promise<{ url: string } & AsyncDisposable> {
  const target = await openEmptyDatabase();
  const maintenance = new URL(fleet.databaseUrl);
  const source = maintenance.pathname.slice(1);
  maintenance.pathname = '/postgres';
  const { db } = connect({ url: maintenance.href, log: quietLog, poolSizeMax: 1 });
  await sql`select pg_terminate_backend(pid) from pg_stat_activity where datname = ${source}`.execute(
    db,
  );
  await sql`drop database ${sql.id(target.name)}`.execute(db);
  // Those that were ended may take a moment.
  await eventually(
    async () => {
      await sql`create database ${sql.id(target.name)} template ${sql.id(source)}`.execute(db);
      return true;
    },
    { timeoutMs: noticeMs, what: 'the copy is made' },
  );
  await db.destroy();
  return target;
}

import { addAccelerators, addBackend, addHost, addInstance } from '@cyborg/testing/fleet';
import { toJson } from '@cyborg/store/json';
import { describe, it } from 'vitest';

import { listing, openBench, report, uuid, type Bench } from '../../test/agents.ts';

describe('listings of instances', () => {
  async function openListing(): Promise<
    Bench & {
      host: { id: string; name: string };
      look: (...instances: { id: string; project_id?: string | null }[]) => Promise<null>;
    }
  > {
    const bench = await openBench();
    const host = await addHost(bench.database.db);
    const look = (...instances: { id: string; project_id?: string | null }[]): Promise<null> =>
      bench.agents.report(
        host,
        report(bench.deps, host.agent_instance ?? '', { listings: [listing(instances)] }),
      );
    return { ...bench, host, look };
  }
  const readOne = async ({ database }: Bench, id: string): Promise<object | undefined> =>
    database.db.selectFrom('instance').selectAll().where('id', '=', id).executeTakeFirst();

  it('add instances with the project their hypervisor tells, which an operator may correct', async ({
    expect,
  }) => {
    await using bench = await openListing();
    const id = uuid();
    await bench.look({ id, project_id: 'alpha' });
    expect(await readOne(bench, id)).toMatchObject({
      project_id: 'alpha',
      project_source: 'hypervisor',
    });
    await bench.database.db
      .updateTable('instance')
      .set({ project_id: 'beta', project_source: 'operator' })
      .execute();
    await bench.look({ id, project_id: 'alpha' });
    expect(await readOne(bench, id)).toMatchObject({ project_id: 'beta' });
  });

  it('make an instance vanish only by two looks that lack it, 60 s apart', async ({ expect }) => {
    await using bench = await openListing();
    const id = uuid();
    await bench.look({ id });
    await bench.look();
    bench.clock.jumpWallClock(59_000);
    await bench.look();
    expect(await readOne(bench, id)).toMatchObject({ is_present: false, is_vanished: false });
    bench.clock.jumpWallClock(1000);
    await bench.look();
    expect(await readOne(bench, id)).toMatchObject({ is_present: false, is_vanished: true });
    await bench.look({ id });
    expect(await readOne(bench, id)).toMatchObject({
      is_present: true,
      is_vanished: false,
      missing_since: null,
    });
  });

  it('conclude nothing about what did not answer', async ({ expect }) => {
    await using bench = await openListing();
    const [named, other] = [uuid(), uuid()];
    await bench.look({ id: named }, { id: other });
    const say = (unknown: { unknown_ids: string[]; unknown_count: number }): Promise<null> =>
      bench.agents.report(
        bench.host,
        report(bench.deps, hostInstance, { listings: [{ ...listing([]), ...unknown }] }),
      );
    const { agent_instance: hostInstance } = await bench.database.db
      .selectFrom('host')
      .select('agent_instance')
      .executeTakeFirstOrThrow()
      .then((row) => ({ agent_instance: row.agent_instance ?? '' }));
    await say({ unknown_ids: [], unknown_count: 1 });
    expect(await readOne(bench, other)).toMatchObject({ is_present: true });
    await say({ unknown_ids: [named], unknown_count: 1 });
    expect(await readOne(bench, named)).toMatchObject({ is_present: true });
    expect(await readOne(bench, other)).toMatchObject({ is_present: false });
  });

  it('never move an instance that its own host still has; the other host shows it', async ({
    expect,
  }) => {
    await using bench = await openListing();
    const { db } = bench.database;
    const home = await addHost(db, { name: 'home' });
    const guest = await addInstance(db, home);
    await bench.look({ id: guest.id });
    expect(await readOne(bench, guest.id)).toMatchObject({ host_id: home.id });
    const conditions = (): Promise<unknown> =>
      db
        .selectFrom('host')
        .select('conditions')
        .where('id', '=', bench.host.id)
        .executeTakeFirstOrThrow()
        .then((row) => row.conditions);
    expect(await conditions()).toMatchObject([{ message: expect.stringContaining('home') }]);

    await db
      .updateTable('instance')
      .set({ is_present: false, missing_since: bench.clock.now(), missing_seen: 1 })
      .execute();
    await bench.look({ id: guest.id });
    expect(await readOne(bench, guest.id)).toMatchObject({
      host_id: bench.host.id,
      is_present: true,
    });
    expect(await conditions()).toEqual([]);
  });

  it('keep what else a host says, also when it is said at that moment', async ({ expect }) => {
    await using bench = await openListing();
    const { db } = bench.database;
    const guest = await addInstance(db, await addHost(db, { name: 'home' }));
    const stopped = { kind: 'release-limit', message: 'look', blocks_attaching: false };
    let look: Promise<unknown> = Promise.resolve();
    await db.transaction().execute(async (tx) => {
      const conditions = toJson([stopped]);
      await tx.updateTable('host').set({ conditions }).where('id', '=', bench.host.id).execute();
      look = bench.look({ id: guest.id });
      await expect.poll(bench.database.someoneWaits, { timeout: 20_000 }).toBe(true);
    });
    await look;
    const row = db.selectFrom('host').select('conditions').where('id', '=', bench.host.id);
    expect(await row.executeTakeFirstOrThrow()).toEqual({
      conditions: [stopped, expect.objectContaining({ kind: 'instance-elsewhere:qemu' })],
    });
  });

  it('leave an instance where its accelerators are', async ({ expect }) => {
    await using bench = await openListing();
    const { db } = bench.database;
    const home = await addHost(db);
    const guest = await addInstance(db, home, {
      is_present: false,
      missing_since: bench.clock.now(),
    });
    const [accelerator] = await addAccelerators(db, await addBackend(db, home), {
      count: 1,
      state: 'attached',
    });
    await db
      .insertInto('attachment')
      .values({
        id: uuid(),
        accelerator_id: accelerator?.id ?? null,
        host_id: home.id,
        instance_id: guest.id,
        project_id: 'alpha',
        user_id: 'u',
        origin: 'cyborg',
        state: 'attached',
        plugged_by: 'agent',
        created_at: bench.clock.now(),
      })
      .execute();
    await bench.look({ id: guest.id });
    expect(await readOne(bench, guest.id)).toMatchObject({ host_id: home.id });
  });
});

import { carriedOut } from '@cyborg/testing/carried-out';
import { makeTestClock } from '@cyborg/testing/clock';
import { openTestDatabase } from '@cyborg/testing/database';
import { addAccelerators, addBackend, addHost, addInstance, callerOf } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { makeAttachmentHandlers } from '../attachments/handlers.ts';
import { makeOperationHandlers } from '../operations/handlers.ts';
import { readOperation, waitForOperation } from '../operations/read-operations.ts';
import { dispatch, obey, ordersOf, outcomeOf, report } from '../test-agent.ts';
import { makeTestDeps } from '../test-deps.ts';
import { endOverdueOperations } from './end-overdue-operations.ts';
import { failOverdueCleaning } from './fail-overdue-cleaning.ts';
import { releaseVanished } from './release-vanished.ts';
import { waitForHosts } from './wait-for-hosts.ts';

const admin = callerOf('admin', 'root');
const signal = new AbortController().signal;
const secondMs = 1000;

async function setUp({ count = 3, guests = 1 } = {}) {
  const database = await openTestDatabase();
  const { db } = database;
  const clock = makeTestClock();
  const deps = makeTestDeps({ db, clock });
  const host = await addHost(db, { name: 'node-1' });
  const backend = await addBackend(db, host);
  await addAccelerators(db, backend, { count });
  const instances: { readonly id: string }[] = [];
  for (let n = 0; n < guests; n++) instances.push(await addInstance(db, host));
  const handlers = makeAttachmentHandlers(deps);
  const id = (view: object): string => ('id' in view ? String(view.id) : '');
  const attach = async (instance = instances[0], body: object = {}) =>
    id(
      await handlers.createAttachments(admin, {
        params: { instance_id: instance!.id },
        query: {},
        body,
      }),
    );
  const detach = async (instance = instances[0], query: object = {}) =>
    id(
      await handlers.deleteAttachments(admin, {
        params: { instance_id: instance!.id },
        query,
        body: undefined,
      }),
    );
  const show = (operationId: string) => readOperation(db, admin, operationId);
  const states = async (): Promise<string[]> =>
    (await db.selectFrom('accelerator').select('state').orderBy('id').execute()).map(
      ({ state }) => state,
    );
  return { database, db, clock, deps, host, backend, instances, attach, detach, show, states };
}

describe('fail-overdue-cleaning', () => {
  it('keeps out what a host that is up does not clean, and waits for one that is down or held', async ({
    expect,
  }) => {
    const { database, db, clock, deps, host, attach, detach, states } = await setUp({ count: 3 });
    await using _ = database;
    await db.updateTable('host').set({ agent_since: clock.now() }).execute();
    await attach(undefined, { count: 3 });
    await obey(deps, host);
    await detach();
    const detaches = await ordersOf(deps, host);
    await report(
      deps,
      host,
      detaches.map((order) => outcomeOf(order)),
    );
    const [held, tried] = await ordersOf(deps, host);
    await report(deps, host, [
      outcomeOf(held!, { outcome: 'held', message: 'pid 42' }),
      outcomeOf(tried!, { outcome: 'retrying', message: 'its driver has died' }),
    ]);
    const reconciler = failOverdueCleaning(deps);
    await clock.advance((deps.limits.cleanDeadlineSeconds - 1) * secondMs);
    expect((await reconciler.pass(signal)).found).toBe(0);
    await db.updateTable('host').set({ lease_expires_at: clock.now() }).execute();
    await clock.advance(2 * secondMs);
    expect((await reconciler.pass(signal)).found).toBe(0);
    await db
      .updateTable('host')
      .set({ lease_expires_at: new Date(clock.now().getTime() + secondMs) })
      .execute();
    expect((await reconciler.pass(signal)).found).toBe(2);
    const ended = ['cleaning', 'cleaning_failed', 'cleaning_failed'];
    expect((await states()).toSorted()).toEqual(ended);
    expect((await reconciler.pass(signal)).found).toBe(0);
  });
});

describe('end-overdue-operations', () => {
  it('takes back all of an attach that its host did not finish in time', async ({ expect }) => {
    const { database, clock, deps, host, attach, show, states } = await setUp();
    await using _ = database;
    const id = await attach(undefined, { count: 2 });
    await dispatch(deps);
    const [order] = await ordersOf(deps, host);
    await report(deps, host, [outcomeOf(order!)]);
    const reconciler = endOverdueOperations(deps);
    await clock.advance((deps.limits.attachDeadlineSeconds - 1) * secondMs);
    expect((await reconciler.pass(signal)).found).toBe(0);
    await clock.advance(secondMs);
    expect((await reconciler.pass(signal)).found).toBe(1);
    expect((await reconciler.pass(signal)).found).toBe(0);
    expect(await show(id)).toMatchObject({
      state: 'failed',
      error: expect.stringContaining('node-1'),
    });
    expect((await ordersOf(deps, host)).map(({ kind }) => kind)).toEqual(['detach', 'detach']);
    await obey(deps, host);
    expect(new Set(await states())).toEqual(new Set(['available']));
  });

  it.for(['in time', 'not at all'] as const)(
    'waits after a start for what its host has done while no server ran: %s',
    async (how, { expect }) => {
      const { database, clock, deps, host, attach, show } = await setUp({ count: 1 });
      await using _ = database;
      const id = await attach();
      await dispatch(deps);
      const [order] = await ordersOf(deps, host);
      await clock.advance(2 * deps.limits.attachDeadlineSeconds * secondMs);
      const reconciler = endOverdueOperations(deps);
      expect((await reconciler.pass(signal)).found).toBe(0);
      if (how === 'in time') await report(deps, host, [outcomeOf(order!)]);
      await clock.advance(deps.limits.hostsReturnSeconds * secondMs);
      expect((await reconciler.pass(signal)).found).toBe(how === 'in time' ? 0 : 1);
      expect((await show(id)).state).toBe(how === 'in time' ? 'succeeded' : 'failed');
    },
  );

  it('ends a detach without undoing it; asked again, the new operation waits for it', async ({
    expect,
  }) => {
    const { database, clock, deps, host, attach, detach, show, states } = await setUp({ count: 1 });
    await using _ = database;
    await attach();
    await obey(deps, host);
    const first = await detach();
    const reconciler = endOverdueOperations(deps);
    await clock.advance(deps.limits.detachDeadlineSeconds * secondMs);
    await reconciler.pass(signal);
    expect((await show(first)).state).toBe('failed');
    expect(await states()).toEqual(['attached']);
    const second = await detach();
    expect(second).not.toBe(first);
    expect((await show(second)).state).toBe('running');
    await obey(deps, host);
    expect((await show(second)).state).toBe('succeeded');
    expect(await states()).toEqual(['available']);
  });
});

describe('wait-for-hosts', () => {
  it('says that an operation waits while its host is down, and goes on after', async ({
    expect,
  }) => {
    const { database, db, clock, deps, host, attach, show } = await setUp();
    await using _ = database;
    const id = await attach();
    const reconciler = waitForHosts(deps);
    const lease = (expires: Date) =>
      db.updateTable('host').set({ lease_expires_at: expires }).where('id', '=', host.id).execute();
    expect((await reconciler.pass(signal)).found).toBe(0);
    await lease(clock.now());
    await reconciler.pass(signal);
    expect((await show(id)).state).toBe('waiting');
    expect((await reconciler.pass(signal)).found).toBe(0);
    await lease(new Date('2099-01-01'));
    await reconciler.pass(signal);
    expect((await show(id)).state).toBe('running');
    await lease(clock.now());
    await reconciler.pass(signal);
    await obey(deps, host);
    expect((await show(id)).state).toBe('succeeded');
  });
});

describe('an operation', () => {
  it('is followed to its end', async ({ expect }) => {
    const { database, deps, host, attach } = await setUp();
    await using _ = database;
    const id = await attach();
    const end = waitForOperation(deps, admin, { id, signal });
    await obey(deps, host);
    expect((await end).state).toBe('succeeded');
  });

  it('of another project is not there, and cannot be cancelled', async ({ expect }) => {
    const { database, deps, attach } = await setUp();
    await using _ = database;
    const id = await attach();
    const operations = makeOperationHandlers(deps);
    const stranger = callerOf('manager', 'beta');
    const input = { params: { id }, query: {}, body: undefined };
    await expect(operations.showOperation(stranger, input)).rejects.toMatchObject({
      code: 'operation-not-found',
    });
    await expect(operations.cancelOperation(stranger, input)).rejects.toMatchObject({
      code: 'operation-not-found',
    });
    expect((await operations.listOperations(stranger, input)).items).toEqual([]);
    expect(
      (await operations.listOperations(callerOf('reader', 'alpha'), input)).items,
    ).toHaveLength(1);
  });

  it('is cancelled by unwinding what it has begun, once', async ({ expect }) => {
    const { database, deps, host, attach, detach, show, states } = await setUp({ count: 2 });
    await using _ = database;
    const { cancelOperation } = makeOperationHandlers(deps);
    const cancel = (id: string) =>
      cancelOperation(admin, { params: { id }, query: {}, body: undefined });
    const id = await attach(undefined, { count: 2 });
    await dispatch(deps);
    const [order] = await ordersOf(deps, host);
    await report(deps, host, [outcomeOf(order!)]);
    expect(carriedOut(await cancel(id)).state).toBe('cancelled');
    await expect(cancel(id)).rejects.toMatchObject({ code: 'not-cancellable' });
    await obey(deps, host);
    expect(await states()).toEqual(['available', 'available']);
    expect((await show(id)).state).toBe('cancelled');
    await attach();
    await obey(deps, host);
    await expect(cancel(await detach())).rejects.toMatchObject({ code: 'not-cancellable' });
  });

  it('is listed newest first, in pages', async ({ expect }) => {
    const { database, clock, deps, attach } = await setUp({ count: 3 });
    await using _ = database;
    const ids = [];
    for (let n = 0; n < 3; n++) {
      ids.unshift(await attach());
      await clock.advance(10);
    }
    const { listOperations } = makeOperationHandlers(deps);
    const list = (query: object) => listOperations(admin, { params: {}, query, body: undefined });
    const first = await list({ limit: 2 });
    const second = await list({ limit: 2, marker: first.next ?? '' });
    expect([...first.items, ...second.items].map(({ id }) => id)).toEqual(ids);
    expect(second.next).toBeNull();
    expect((await list({ state: 'succeeded' })).items).toEqual([]);
    await expect(
      list({ marker: Buffer.from('["x","y"]').toString('base64url') }),
    ).rejects.toMatchObject({
      code: 'invalid-input',
    });
  });
});

describe('release-vanished', () => {
  async function fleet(guests: number) {
    const bench = await setUp({ count: guests, guests });
    for (const instance of bench.instances) await bench.attach(instance);
    await obey(bench.deps, bench.host);
    const vanish = (...lost: { readonly id: string }[]) =>
      bench.db
        .updateTable('instance')
        .set({ is_vanished: true, is_present: false })
        .where(
          'id',
          'in',
          lost.map(({ id }) => id),
        )
        .execute();
    const reconciler = releaseVanished(bench.deps);
    const detaching = async (): Promise<number> =>
      (
        await bench.db
          .selectFrom('attachment')
          .select('id')
          .where('state', '=', 'detaching')
          .execute()
      ).length;
    const conditions = async () =>
      (
        await bench.db
          .selectFrom('host')
          .select('conditions')
          .where('id', '=', bench.host.id)
          .executeTakeFirstOrThrow()
      ).conditions;
    return { ...bench, vanish, reconciler, detaching, conditions };
  }

  it('takes back what one vanished instance held, and cleans it', async ({ expect }) => {
    const { database, db, deps, host, instances, vanish, reconciler, states } = await fleet(2);
    await using _ = database;
    expect(await reconciler.pass(signal)).toMatchObject({ found: 0 });
    await vanish(instances[0]!);
    await reconciler.pass(signal);
    await reconciler.pass(signal);
    await obey(deps, host);
    expect((await states()).toSorted()).toEqual(['attached', 'available']);
    const operations = await db
      .selectFrom('operation')
      .selectAll()
      .where('user_id', 'like', 'system:%')
      .execute();
    expect(operations).toMatchObject([{ state: 'succeeded', kind: 'detach-instance' }]);
  });

  it('leaves alone one that is seen again at that moment', async ({ expect }) => {
    const { database, db, instances, vanish, reconciler, detaching } = await fleet(1);
    await using _ = database;
    await vanish(instances[0]!);
    let pass: Promise<unknown> = Promise.resolve();
    let isOver = false;
    await db.transaction().execute(async (tx) => {
      await tx.updateTable('instance').set({ is_vanished: false, is_present: true }).execute();
      pass = reconciler.pass(signal).finally(() => {
        isOver = true;
      });
      await expect
        .poll(async () => isOver || database.someoneWaits(), { timeout: 20_000 })
        .toBe(true);
    });
    await pass;
    expect(await detaching()).toBe(0);
  });

  it('moves little on one bad answer: the rest waits for a person, and goes on when it was none', async ({
    expect,
  }) => {
    const { database, db, clock, deps, instances, vanish, reconciler, detaching, conditions } =
      await fleet(40);
    await using _ = database;
    await vanish(...instances.slice(0, 10));
    await reconciler.pass(signal);
    expect(await detaching()).toBe(2);
    for (let n = 0; n < 3; n++) {
      await clock.advance(deps.limits.releaseWindowSeconds * secondMs);
      await reconciler.pass(signal);
    }
    expect(await detaching()).toBe(2);
    expect(await conditions()).toMatchObject([{ kind: 'release-limit', blocks_attaching: false }]);
    const events = await db
      .selectFrom('event')
      .selectAll()
      .where('kind', '=', 'release.limit-reached')
      .execute();
    expect(events).toHaveLength(1);
    await db.updateTable('instance').set({ is_vanished: false }).execute();
    await reconciler.pass(signal);
    expect(await conditions()).toEqual([]);
    await vanish(instances[20]!);
    await reconciler.pass(signal);
    expect(await detaching()).toBe(3);
  });

  it('spreads what vanishes one by one over its window, without a person', async ({ expect }) => {
    const { database, clock, deps, host, instances, vanish, reconciler, states, conditions } =
      await fleet(3);
    await using _ = database;
    await vanish(instances[0]!);
    await reconciler.pass(signal);
    await obey(deps, host);
    await vanish(instances[1]!);
    await reconciler.pass(signal);
    await obey(deps, host);
    expect((await states()).filter((state) => state === 'attached')).toHaveLength(2);
    expect(await conditions()).toEqual([]);
    await clock.advance(deps.limits.releaseWindowSeconds * secondMs);
    await reconciler.pass(signal);
    await obey(deps, host);
    expect((await states()).filter((state) => state === 'attached')).toHaveLength(1);
  });

  it('leaves alone what Nova plugs and what is only missing', async ({ expect }) => {
    const { database, db, instances, vanish, reconciler } = await fleet(1);
    await using _ = database;
    await db.updateTable('instance').set({ is_present: false, missing_seen: 1 }).execute();
    expect((await reconciler.pass(signal)).found).toBe(0);
    await db.updateTable('attachment').set({ plugged_by: 'nova', origin: 'nova' }).execute();
    await vanish(instances[0]!);
    expect((await reconciler.pass(signal)).found).toBe(0);
  });
});

import { makeTestClock } from '@cyborg/testing/clock';
import { openTestDatabase } from '@cyborg/testing/database';
import { addAccelerators, addBackend, addHost, addInstance, callerOf } from '@cyborg/testing/fleet';
import { toJson } from '@cyborg/store/json';
import { describe, it } from 'vitest';

import { readOperation, type OperationView } from '../operations/read-operations.ts';
import { dispatch, obey, ordersOf, outcomeOf, report } from '../test-agent.ts';
import { makeTestDeps } from '../test-deps.ts';
import type { DryRunView } from '../dry-run.ts';
import { makeAttachmentHandlers } from './handlers.ts';
import type { AttachBody } from './wishes.ts';

const admin = callerOf('admin', 'root');
const member = callerOf('member', 'alpha');

async function setUp(count = 4) {
  const database = await openTestDatabase();
  const { db } = database;
  const clock = makeTestClock();
  const deps = makeTestDeps({ db, clock });
  const host = await addHost(db, { name: 'node-1' });
  const backend = await addBackend(db, host);
  const accelerators = await addAccelerators(db, backend, { count });
  const instance = await addInstance(db, host, { name: 'guest' });
  const handlers = makeAttachmentHandlers(deps);
  const attach = async (body: AttachBody, caller = member, instanceId = instance.id) =>
    running(
      await handlers.createAttachments(caller, {
        params: { instance_id: instanceId },
        query: {},
        body,
      }),
    );
  const detach = async (query: { accelerator?: string; force?: boolean } = {}, caller = member) =>
    running(
      await handlers.deleteAttachments(caller, {
        params: { instance_id: instance.id },
        query,
        body: undefined,
      }),
    );
  const dry = async (body: AttachBody, caller = member) => {
    const view = await handlers.createAttachments(caller, {
      params: { instance_id: instance.id },
      query: { dry_run: true },
      body,
    });
    if (!('dry_run' in view)) throw new Error('expected a dry run');
    return view;
  };
  const states = async () => {
    const rows = await db.selectFrom('accelerator').select(['id', 'state']).orderBy('id').execute();
    return rows.map((row) => row.state);
  };
  return {
    database,
    db,
    clock,
    deps,
    host,
    backend,
    accelerators,
    instance,
    handlers,
    attach,
    detach,
    dry,
    states,
  };
}

function running(view: OperationView | DryRunView): OperationView {
  if ('dry_run' in view) throw new Error('expected an operation');
  return view;
}

describe('attach-instance', () => {
  it('reserves, is dispatched, attached and told, and detaches through cleaning', async ({
    expect,
  }) => {
    const { database, deps, host, attach, detach, states } = await setUp(2);
    await using _ = database;
    const operation = await attach({ count: 2 });
    expect(operation).toMatchObject({
      kind: 'attach-instance',
      state: 'running',
      progress: { done: 0, total: 2 },
    });
    expect(await states()).toEqual(['reserved', 'reserved']);
    expect(await ordersOf(deps, host)).toEqual([]);
    await dispatch(deps);
    const orders = await ordersOf(deps, host);
    expect(orders.map((order) => order.kind)).toEqual(['attach', 'attach']);
    await report(deps, host, [outcomeOf(orders[0]!)]);
    expect(await readOperation(deps.db, member, operation.id)).toMatchObject({
      state: 'running',
      progress: { done: 1, total: 2 },
    });
    await obey(deps, host);
    expect((await readOperation(deps.db, member, operation.id)).state).toBe('succeeded');
    expect(await states()).toEqual(['attached', 'attached']);

    const detaching = await detach();
    const [order] = await ordersOf(deps, host);
    expect(order?.kind).toBe('detach');
    await report(deps, host, [outcomeOf(order!)]);
    expect(await states()).toContain('cleaning');
    expect((await readOperation(deps.db, member, detaching.id)).state).toBe('running');
    await obey(deps, host);
    expect(await states()).toEqual(['available', 'available']);
    expect(await readOperation(deps.db, member, detaching.id)).toMatchObject({
      state: 'succeeded',
      progress: { done: 2, total: 2 },
    });
  });

  it('releases and cleans in one report', async ({ expect }) => {
    const { database, deps, host, attach, detach, states } = await setUp(1);
    await using _ = database;
    await attach({});
    await obey(deps, host);
    const operation = await detach();
    const [order] = await ordersOf(deps, host);
    const cleaned = { kind: 'clean', attachment_id: null, outcome: 'cleaned' } as const;
    await report(deps, host, [outcomeOf(order!), outcomeOf(order!, cleaned)]);
    expect(await states()).toEqual(['available']);
    expect((await readOperation(deps.db, member, operation.id)).state).toBe('succeeded');
  });

  it('gives all of count or none', async ({ expect }) => {
    const { database, attach, states } = await setUp(2);
    await using _ = database;
    await expect(attach({ count: 3 })).rejects.toMatchObject({ code: 'no-accelerator-left' });
    expect(await states()).toEqual(['available', 'available']);
  });

  it('takes the accelerator asked for, and names who holds it only to those who may know', async ({
    expect,
  }) => {
    const { database, db, host, accelerators, attach } = await setUp(2);
    await using _ = database;
    const wanted = accelerators[1]!;
    const operation = await attach({ accelerator: wanted.id });
    expect(operation.subject).toMatchObject({ accelerator_ids: [wanted.id] });
    await expect(attach({ accelerator: wanted.id })).rejects.toMatchObject({
      code: 'already-attached',
      message: expect.stringContaining('this instance'),
    });
    const other = await addInstance(db, host, { project_id: 'beta' });
    const refused = attach({ accelerator: wanted.id }, callerOf('member', 'beta'), other.id);
    await expect(refused).rejects.toMatchObject({
      code: 'already-attached',
      message: expect.stringContaining('another project'),
      extra: { users: [{ accelerator_id: wanted.id }] },
    });
    await expect(attach({ accelerator: wanted.id }, admin, other.id)).rejects.toMatchObject({
      extra: { users: [{ project_id: 'alpha' }] },
    });
    await expect(attach({ accelerator: other.id })).rejects.toMatchObject({
      code: 'accelerator-not-found',
    });
  });

  it('asks for a choice when several kinds are free, and takes the only one otherwise', async ({
    expect,
  }) => {
    const { database, db, backend, accelerators, attach, dry } = await setUp(1);
    await using _ = database;
    await addAccelerators(db, backend, { count: 2, type: 'ENTROPY' });
    await expect(attach({})).rejects.toMatchObject({
      code: 'choice-needed',
      extra: {
        choices: [
          {
            driver_id: 'generic',
            type: 'CRYPTO',
            backend: 'node-1@virtual',
            free: 1,
            accelerators: [{ id: accelerators[0]?.id, name: accelerators[0]?.name }],
          },
          { driver_id: 'generic', type: 'ENTROPY', backend: 'node-1@virtual', free: 2 },
        ],
      },
    });
    expect(await dry({})).toMatchObject({
      would_succeed: false,
      refusal: { code: 'choice-needed' },
    });
    // Never of two kinds, and not of the one that is short while another is not.
    await expect(attach({ driver: 'generic', count: 3 })).rejects.toMatchObject({
      code: 'no-accelerator-left',
      message: expect.stringMatching(/only (1 CRYPTO, 2 ENTROPY|2 ENTROPY, 1 CRYPTO) are free/),
    });
    expect(await attach({ driver: 'generic', count: 2 })).toMatchObject({
      subject: { types: ['ENTROPY'] },
    });
    await attach({ driver: 'generic' });
    await expect(attach({})).rejects.toMatchObject({ code: 'no-accelerator-left' });
    await expect(attach({ driver: 'genric' })).rejects.toMatchObject({
      code: 'driver-not-found',
      extra: { nearest: ['generic'] },
    });
  });

  it('says why not, the nearest miss first', async ({ expect }) => {
    const { database, db, backend, attach, dry } = await setUp(0);
    await using _ = database;
    const [withheld] = await addAccelerators(db, backend, {
      count: 1,
      state: 'withheld',
      reason: 'not approved',
      name: 'a',
    });
    await addAccelerators(db, backend, {
      count: 1,
      plans: toJson(['pci']),
      type: 'GPU',
      name: 'b',
    });
    await addAccelerators(db, backend, { count: 1, reserved_for: 'beta', name: 'c' });
    const view = await dry({ driver: 'generic' });
    expect(view).toMatchObject({
      would_succeed: false,
      refusal: { code: 'no-accelerator-left' },
      nearest_misses: [
        { accelerator_id: withheld?.id, name: 'a', why_not: ['withheld: not approved'] },
        { name: 'b', why_not: ['hypervisor qemu cannot plug pci'] },
        { name: 'c', why_not: ['reserved for another project'] },
      ],
    });
    await expect(attach({})).rejects.toMatchObject({
      message: expect.stringContaining('withheld: not approved'),
    });
  });

  it('puts what was asked for before what is something else, however little that lacks', async ({
    expect,
  }) => {
    const { database, db, backend, host, dry } = await setUp(0);
    await using _ = database;
    const other = await addBackend(db, host, { name: 'other', driver_id: 'vendor' });
    await addAccelerators(db, other, { count: 1, name: 'a' });
    const asked = { count: 1, state: 'withheld' as const, reason: 'operator', name: 'z' };
    await addAccelerators(db, backend, { ...asked, reserved_for: 'beta', plans: toJson(['pci']) });
    expect((await dry({ driver: 'generic' })).nearest_misses).toMatchObject([
      { name: 'z', why_not: [{}, {}, {}].map(() => expect.any(String)) },
      { name: 'a', why_not: ['driver is vendor, not generic'] },
    ]);
  });

  it('by driver is of a type that the quota leaves room for', async ({ expect }) => {
    const { database, db, clock, backend, attach } = await setUp(2);
    await using _ = database;
    await addAccelerators(db, backend, { count: 2, type: 'ENTROPY' });
    const quota = { project_id: 'alpha', created_at: clock.now() };
    const none = { ...quota, type: 'CRYPTO', accelerators_max: 0 };
    await db.insertInto('quota').values(none).execute();
    for (const _round of [1, 2]) {
      expect(await attach({ driver: 'generic' })).toMatchObject({
        subject: { types: ['ENTROPY'] },
      });
    }
    await expect(attach({ driver: 'generic' })).rejects.toMatchObject({
      code: 'quota-exceeded',
      extra: { quota: { type: 'CRYPTO' } },
    });
  });

  it('refuses an instance or a host that is not ready, saying what keeps it', async ({
    expect,
  }) => {
    const { database, db, clock, host, instance, attach } = await setUp(1);
    await using _ = database;
    const set = (changes: object) =>
      db.updateTable('instance').set(changes).where('id', '=', instance.id).execute();
    const setHost = (changes: object) =>
      db.updateTable('host').set(changes).where('id', '=', host.id).execute();
    await set({ state: 'SHUTOFF' });
    await expect(attach({})).rejects.toMatchObject({ code: 'instance-not-ready' });
    await set({ state: 'PAUSED', is_present: false });
    await expect(attach({})).rejects.toMatchObject({ code: 'instance-not-ready' });
    await set({ is_present: true });
    for (const changes of [
      { status: 'disabled', status_reason: 'repair' },
      { status: 'enabled', lease_expires_at: clock.now() },
      {
        lease_expires_at: new Date('2099-01-01'),
        conditions: toJson([{ kind: 'x', message: 'names differ', blocks_attaching: true }]),
      },
      {
        conditions: toJson([]),
        plugs: toJson([{ hypervisor: 'qemu', healthy: false, reason: 'no folder', plugs: [] }]),
      },
    ]) {
      await setHost(changes);
      await expect(attach({})).rejects.toMatchObject({ code: 'host-not-ready' });
    }
    await setHost({ plugs: toJson([]) });
    await attach({});
  });

  it('does not show another project its instance', async ({ expect }) => {
    const { database, instance, handlers, attach } = await setUp(1);
    await using _ = database;
    const stranger = callerOf('manager', 'beta');
    await expect(attach({}, stranger)).rejects.toMatchObject({ code: 'instance-not-found' });
    const list = handlers.listAttachments(stranger, {
      params: { instance_id: instance.id },
      query: {},
      body: undefined,
    });
    await expect(list).rejects.toMatchObject({ code: 'instance-not-found' });
    await attach({}, member, 'guest');
    await expect(attach({}, member, 'gust')).rejects.toMatchObject({
      code: 'instance-not-found',
      extra: { nearest: ['guest'] },
    });
    const page = await handlers.listAttachments(callerOf('reader', 'alpha'), {
      params: { instance_id: 'guest' },
      query: {},
      body: undefined,
    });
    expect(page.items).toMatchObject([{ state: 'reserved', host: 'node-1', origin: 'cyborg' }]);
  });

  it('changes nothing in a rehearsal and says what it would do', async ({ expect }) => {
    const { database, accelerators, dry, states } = await setUp(2);
    await using _ = database;
    const view = await dry({ count: 2 });
    expect(view.would_succeed).toBe(true);
    expect(view.changes.map((change) => change.subject_id)).toEqual(
      accelerators.map((row) => row.id),
    );
    expect(await states()).toEqual(['available', 'available']);
  });

  it('unwinds the whole request when one accelerator of it cannot be attached', async ({
    expect,
  }) => {
    const { database, db, deps, host, attach, states } = await setUp(3);
    await using _ = database;
    const operation = await attach({ count: 3 });
    await dispatch(deps);
    const [first, second] = await ordersOf(deps, host);
    await report(deps, host, [outcomeOf(first!)]);
    await report(deps, host, [outcomeOf(second!, { outcome: 'failed', message: 'no free slot' })]);
    expect((await readOperation(deps.db, member, operation.id)).state).toBe('running');
    expect((await ordersOf(deps, host)).map((order) => order.kind)).toEqual([
      'detach',
      'detach',
      'detach',
    ]);
    await obey(deps, host);
    expect(await readOperation(deps.db, member, operation.id)).toMatchObject({
      state: 'failed',
      error: expect.stringContaining('no free slot'),
      progress: { done: 3, total: 3 },
    });
    expect(await states()).toEqual(['available', 'available', 'available']);
    const live = await db
      .selectFrom('attachment')
      .where('state', '<>', 'released')
      .selectAll()
      .execute();
    expect(live).toEqual([]);
  });

  it('stays within the quota of the project, whoever races', async ({ expect }) => {
    const { database, db, clock, attach } = await setUp(8);
    await using _ = database;
    await db
      .insertInto('quota')
      .values({ project_id: 'alpha', type: 'CRYPTO', accelerators_max: 3, created_at: clock.now() })
      .execute();
    await expect(attach({ count: 4 })).rejects.toMatchObject({ code: 'quota-exceeded' });
    const answers = await Promise.allSettled(Array.from({ length: 8 }, () => attach({})));
    expect(answers.filter((answer) => answer.status === 'fulfilled')).toHaveLength(3);
    for (const answer of answers) {
      if (answer.status === 'rejected')
        expect(answer.reason).toMatchObject({ code: 'quota-exceeded' });
    }
  });
});

describe('detach-instance', () => {
  it('before the host was told gives the accelerator back at once', async ({ expect }) => {
    const { database, deps, host, attach, detach, states } = await setUp(1);
    await using _ = database;
    const attaching = await attach({});
    const operation = await detach();
    expect(operation).toMatchObject({ state: 'succeeded', progress: { done: 1, total: 1 } });
    expect(await states()).toEqual(['available']);
    expect((await readOperation(deps.db, member, attaching.id)).state).toBe('failed');
    await obey(deps, host);
    expect(await states()).toEqual(['available']);
  });

  it('asked twice is one operation; of nothing is a success that says so', async ({ expect }) => {
    const { database, deps, host, attach, detach } = await setUp(2);
    await using _ = database;
    await attach({ count: 2 });
    await obey(deps, host);
    const first = await detach();
    expect((await detach()).id).toBe(first.id);
    await obey(deps, host);
    const nothing = await detach();
    expect(nothing.state).toBe('succeeded');
    expect(nothing.results[0]?.message).toContain('Nothing of that was attached');
  });

  it('during the attach ends the attach and waits for the cleaning', async ({ expect }) => {
    const { database, deps, host, attach, detach, states } = await setUp(1);
    await using _ = database;
    const attaching = await attach({});
    await dispatch(deps);
    const [order] = await ordersOf(deps, host);
    const operation = await detach();
    await report(deps, host, [outcomeOf(order!)]);
    expect(await states()).toEqual(['reserved']);
    expect((await readOperation(deps.db, member, attaching.id)).state).toBe('failed');
    await obey(deps, host);
    expect((await readOperation(deps.db, member, operation.id)).state).toBe('succeeded');
    expect(await states()).toEqual(['available']);
  });

  it('while a failed attach is unwound takes the unwinding over', async ({ expect }) => {
    const { database, deps, host, attach, detach } = await setUp(1);
    await using _ = database;
    const attaching = await attach({});
    await dispatch(deps);
    const [order] = await ordersOf(deps, host);
    await report(deps, host, [outcomeOf(order!, { outcome: 'failed', message: 'no slot' })]);
    const operation = await detach();
    expect(operation.state).toBe('running');
    expect((await readOperation(deps.db, member, attaching.id)).error).toContain('no slot');
    await obey(deps, host);
    expect((await readOperation(deps.db, member, operation.id)).state).toBe('succeeded');
  });

  it('leaves to Nova what Nova has bound', async ({ expect }) => {
    const { database, db, deps, host, attach, detach, states } = await setUp(1);
    await using _ = database;
    await attach({});
    await obey(deps, host);
    await db.updateTable('attachment').set({ origin: 'nova', plugged_by: 'nova' }).execute();
    await expect(detach()).rejects.toMatchObject({
      code: 'wrong-state',
      message: expect.stringContaining('use the Compute API'),
    });
    expect(await states()).toEqual(['attached']);
  });

  it('by force is an admin’s, lets go at once, and fences off the host', async ({ expect }) => {
    const { database, db, deps, host, attach, detach, states } = await setUp(1);
    await using _ = database;
    await attach({});
    await obey(deps, host);
    await expect(detach({ force: true })).rejects.toMatchObject({ code: 'forbidden' });
    const before = await db.selectFrom('attachment').selectAll().executeTakeFirstOrThrow();
    const operation = await detach({ force: true }, admin);
    expect(operation.state).toBe('succeeded');
    expect(await states()).toEqual(['cleaning']);
    const released = await db
      .selectFrom('event')
      .selectAll()
      .where('kind', '=', 'attachment.released')
      .execute();
    expect(released).toMatchObject([{ user_id: admin.userId, data: { forced: true } }]);
    const [clean] = await ordersOf(deps, host);
    expect(clean?.kind).toBe('clean');
    expect(clean?.epoch).toBeGreaterThan(before.epoch);
    await report(deps, host, [outcomeOf(clean!, { epoch: before.epoch })]);
    expect(await states()).toEqual(['cleaning']);
    await obey(deps, host);
    expect(await states()).toEqual(['available']);
  });

  it('of one leaves the others', async ({ expect }) => {
    const { database, deps, host, accelerators, attach, detach, states } = await setUp(2);
    await using _ = database;
    await attach({ count: 2 });
    await obey(deps, host);
    await detach({ accelerator: accelerators[0]!.id });
    await obey(deps, host);
    expect(await states()).toEqual(['available', 'attached']);
    await expect(detach({ accelerator: host.id })).rejects.toMatchObject({
      code: 'accelerator-not-found',
    });
  });
});

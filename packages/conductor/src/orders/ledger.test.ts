import { connect } from '@cyborg/store/connect';
import { makeTestClock } from '@cyborg/testing/clock';
import { openTestDatabase } from '@cyborg/testing/database';
import { addAccelerators, addBackend, addHost, addInstance, callerOf } from '@cyborg/testing/fleet';
import { quietLog } from '@cyborg/testing/log';
import fc from 'fast-check';
import { sql } from 'kysely';
import { describe, it } from 'vitest';

import { makeAcceleratorHandlers } from '../accelerators/handlers.ts';
import type { AcceleratorEdit } from '../accelerators/update-accelerator.ts';
import { makeAttachmentHandlers } from '../attachments/handlers.ts';
import type { ConductorDeps, Db } from '../deps.ts';
import { makeOperationHandlers } from '../operations/handlers.ts';
import { dispatchAttachments } from '../reconcilers/dispatch-attachments.ts';
import { endOverdueOperations } from '../reconcilers/end-overdue-operations.ts';
import { brokenInvariants, changesWithoutEvent, startAudit } from '../test-audit.ts';
import { dispatch, obey, ordersOf, outcomeOf, report } from '../test-agent.ts';
import { makeTestDeps } from '../test-deps.ts';
import { act } from '../transaction.ts';
import { applyObservations } from './observations.ts';
import type { OrderView } from './orders.ts';
import { listHeld, ordersFingerprint } from './orders.ts';
import type { Outcome } from './outcomes.ts';

const admin = callerOf('admin', 'root');

interface Bench {
  readonly db: Db;
  readonly deps: ConductorDeps;
  readonly host: { readonly id: string };
  readonly instances: readonly { readonly id: string }[];
  readonly handlers: ReturnType<typeof makeAttachmentHandlers>;
}

async function setUp({ count = 3, instances: guests = 2 } = {}) {
  const database = await openTestDatabase();
  const { db } = database;
  const deps = makeTestDeps({ db, clock: makeTestClock() });
  const host = await addHost(db);
  const accelerators = await addAccelerators(db, await addBackend(db, host), { count });
  const instances: { readonly id: string }[] = [];
  for (let n = 0; n < guests; n++) instances.push(await addInstance(db, host));
  const handlers = makeAttachmentHandlers(deps);
  const attach = (body: object = {}, instance = instances[0]) =>
    handlers.createAttachments(admin, {
      params: { instance_id: instance!.id },
      query: {},
      body,
    });
  const detach = (query: object = {}, instance = instances[0]) =>
    handlers.deleteAttachments(admin, {
      params: { instance_id: instance!.id },
      query,
      body: undefined,
    });
  return { database, db, deps, host, accelerators, instances, handlers, attach, detach };
}

describe('an accelerator', () => {
  it('has at most one live attachment, says the database itself', async ({ expect }) => {
    const { database, db, attach } = await setUp({ count: 1 });
    await using _ = database;
    await attach();
    const copy =
      sql`insert into attachment (id, accelerator_id, host_id, instance_id, project_id, user_id, origin,
        state, plugged_by, created_at)
      select '00000000-0000-4000-8000-000000000001', accelerator_id, host_id, instance_id, project_id, user_id,
        origin, 'attaching', plugged_by, created_at from attachment`.execute(db);
    await expect(copy).rejects.toMatchObject({ constraint: 'attachment_live' });
  });

  it('goes to one of the callers who ask for it at once', async ({ expect }) => {
    const { database, db, accelerators, attach, instances } = await setUp({ count: 12 });
    await using _ = database;
    for (const { id } of accelerators) {
      const answers = await Promise.allSettled(
        [0, 1, 0, 1, 0, 1].map((guest) => attach({ accelerator: id }, instances[guest])),
      );
      const refused = answers.filter((answer) => answer.status === 'rejected');
      expect(refused).toHaveLength(5);
      for (const { reason } of refused) expect(reason).toMatchObject({ code: 'already-attached' });
    }
    expect(await brokenInvariants(db)).toEqual([]);
  });

  it.for([1, 2, 3])(
    'is refused only when too few are left: 16 callers, some giving up, round %i',
    async (round, { expect }) => {
      const total = 12;
      const { database, db, deps, attach, accelerators } = await setUp({ count: total });
      await using _ = database;
      let gone = 0;
      const mayGiveUp = Promise.withResolvers<void>();
      const giveUp = async (): Promise<void> => {
        // Takes some, as a reservation does, and gives up before it commits.
        await db
          .transaction()
          .execute(async (tx) => {
            await sql`update accelerator set state = 'reserved' where id in (
              select id from accelerator where state = 'available' order by id limit 2
              for update skip locked)`.execute(tx);
            gone += 1;
            await mayGiveUp.promise;
            throw new Error('gave up');
          })
          .catch(() => undefined);
      };
      const callers = Array.from({ length: 16 }, (_value, index) => 1 + ((index * round) % 3));
      const aborts = Array.from({ length: 4 }, giveUp);
      const asked = callers.map((count) => attach({ count }));
      // Those who give up hold on until somebody waits for them, or until nobody does.
      const allAnswered = new AbortController();
      const looking = someoneWaits(database.url, allAnswered.signal).then(mayGiveUp.resolve);
      const answers = await Promise.allSettled(asked);
      allAnswered.abort();
      await Promise.all([...aborts, looking]);
      const won = answers.reduce(
        (sum, answer, index) => sum + (answer.status === 'fulfilled' ? callers[index]! : 0),
        0,
      );
      const free = await db
        .selectFrom('accelerator')
        .select('id')
        .where('state', '=', 'available')
        .execute();
      expect(gone).toBe(4);
      expect(won + free.length).toBe(total);
      answers.forEach((answer, index) => {
        if (answer.status === 'fulfilled') return;
        expect(answer.reason).toMatchObject({ code: 'no-accelerator-left' });
        expect(callers[index]).toBeGreaterThan(free.length);
      });
      expect(await brokenInvariants(db)).toEqual([]);
      expect(accelerators).toHaveLength(total);
      await dispatchAttachments(deps).pass(new AbortController().signal);
    },
  );
});

describe('an outcome', () => {
  it('may come twice, late, or with an old epoch: only the first current one counts', async ({
    expect,
  }) => {
    const { database, db, deps, host, attach, detach } = await setUp({ count: 1 });
    await using _ = database;
    await attach();
    await dispatch(deps);
    const [first] = await ordersOf(deps, host);
    const snapshot = async () => ({
      accelerators: await db.selectFrom('accelerator').selectAll().execute(),
      attachments: await db.selectFrom('attachment').selectAll().execute(),
      events: (await db.selectFrom('event').select('id').execute()).length,
    });
    const changesNothing = async (outcome: Outcome) => {
      const before = await snapshot();
      await report(deps, host, [outcome]);
      expect(await snapshot()).toEqual(before);
    };
    await changesNothing(outcomeOf(first!, { epoch: first!.epoch - 1 }));
    await changesNothing(outcomeOf(first!, { kind: 'detach', outcome: 'released' }));
    await changesNothing(outcomeOf(first!, { kind: 'clean', outcome: 'cleaned' }));
    await report(deps, host, [outcomeOf(first!)]);
    await changesNothing(outcomeOf(first!));
    await changesNothing(outcomeOf(first!, { outcome: 'failed' }));
    await detach();
    await changesNothing(outcomeOf(first!));
    const [second] = await ordersOf(deps, host);
    await report(deps, host, [outcomeOf(second!)]);
    await changesNothing(outcomeOf(second!));
    const [clean] = await ordersOf(deps, host);
    await changesNothing(outcomeOf(clean!, { epoch: clean!.epoch - 1 }));
    await report(deps, host, [outcomeOf(clean!)]);
    await changesNothing(outcomeOf(clean!));
  });

  it('of another host changes nothing', async ({ expect }) => {
    const { database, db, deps, host, attach } = await setUp({ count: 1 });
    await using _ = database;
    const stranger = await addHost(db);
    await attach();
    await dispatch(deps);
    const [order] = await ordersOf(deps, host);
    await report(deps, stranger, [outcomeOf(order!), outcomeOf(order!, { outcome: 'failed' })]);
    expect(
      (await db.selectFrom('attachment').select('state').executeTakeFirstOrThrow()).state,
    ).toBe('attaching');
    expect(await ordersOf(deps, stranger)).toEqual([]);
  });

  it('that cleaning failed keeps the accelerator out, with the reason', async ({ expect }) => {
    const { database, db, deps, host, attach, detach } = await setUp({ count: 1 });
    await using _ = database;
    await attach();
    await obey(deps, host);
    const operation = await detach();
    await obey(deps, host, (order) =>
      order.kind === 'clean'
        ? outcomeOf(order, { outcome: 'clean_failed', message: 'reset timed out' })
        : outcomeOf(order),
    );
    expect(await db.selectFrom('accelerator').selectAll().executeTakeFirstOrThrow()).toMatchObject({
      state: 'cleaning_failed',
      reason: 'reset timed out',
      instance_id: null,
    });
    expect(
      await db
        .selectFrom('operation')
        .selectAll()
        .where('id', '=', 'id' in operation ? operation.id : '')
        .executeTakeFirstOrThrow(),
    ).toMatchObject({
      state: 'succeeded',
      results: [{ message: expect.stringContaining('reset timed out') }],
    });
    await expect(attach()).rejects.toMatchObject({
      code: 'no-accelerator-left',
      message: expect.stringContaining('cleaning failed: reset timed out'),
    });
  });

  it('keeps what was done to clean it, with the reason why it needs no reset', async ({
    expect,
  }) => {
    const { database, db, deps, host, accelerators, attach, detach } = await setUp({ count: 1 });
    await using _ = database;
    const { updateAccelerator } = makeAcceleratorHandlers(deps);
    const update = (body: AcceleratorEdit) =>
      updateAccelerator(admin, { params: { id: accelerators[0]!.id }, query: {}, body });
    await attach();
    await obey(deps, host);
    await detach();
    const message = 'no reset method';
    await obey(deps, host, (order) =>
      outcomeOf(order, order.kind === 'clean' ? { outcome: 'clean_failed', message } : {}),
    );
    const [before] = await db.selectFrom('accelerator').selectAll().execute();
    await update({ resetless_reason: 'it has no state' });
    const [clean] = await ordersOf(deps, host);
    expect(clean).toMatchObject({ kind: 'clean', resetless_reason: 'it has no state' });
    expect(clean!.epoch).toBeGreaterThan(before!.epoch);
    await report(deps, host, [outcomeOf(clean!, { evidence: ['answers as 1234:11e8'] })]);
    await update({ resetless_reason: 'it has no memory' });
    const events = await db
      .selectFrom('event')
      .select(['kind', 'user_id', 'data'])
      .where('subject_id', '=', accelerators[0]!.id)
      .orderBy('id', 'desc')
      .limit(4)
      .execute();
    expect(events.toReversed()).toMatchObject([
      {
        kind: 'accelerator.cleaning',
        user_id: admin.userId,
        data: { resetless_reason: 'it has no state' },
      },
      {
        kind: 'accelerator.cleaned',
        data: { evidence: ['answers as 1234:11e8'], resetless_reason: 'it has no state' },
      },
      { kind: 'accelerator.available' },
      { kind: 'accelerator.updated', data: { resetless_reason: 'it has no memory' } },
    ]);
  });

  it('that it is still held or retried is told once for each reason', async ({ expect }) => {
    const { database, db, deps, host, attach, detach } = await setUp({ count: 1 });
    await using _ = database;
    await attach();
    await dispatch(deps);
    const [order] = await ordersOf(deps, host);
    const retrying = outcomeOf(order!, { outcome: 'retrying', message: 'guest is booting' });
    await report(deps, host, [retrying]);
    await report(deps, host, [retrying]);
    await report(deps, host, [outcomeOf(order!)]);
    await detach();
    const [back] = await ordersOf(deps, host);
    await report(deps, host, [outcomeOf(back!)]);
    const [clean] = await ordersOf(deps, host);
    const held = outcomeOf(clean!, { outcome: 'held', message: 'pid 42' });
    await report(deps, host, [held]);
    await report(deps, host, [held]);
    await report(deps, host, [outcomeOf(clean!, { outcome: 'refused', message: 'lower epoch' })]);
    const kinds = (await db.selectFrom('event').select('kind').orderBy('id').execute()).map(
      ({ kind }) => kind,
    );
    expect(kinds.filter((kind) => kind === 'attachment.retrying')).toHaveLength(1);
    expect(kinds.filter((kind) => kind === 'accelerator.cleaning-waits')).toHaveLength(1);
    expect(kinds.filter((kind) => kind === 'accelerator.order-refused')).toHaveLength(1);
    await obey(deps, host);
    expect(
      (await db.selectFrom('accelerator').select('state').executeTakeFirstOrThrow()).state,
    ).toBe('available');
  });

  it('that its host refuses it shows why, is told once, and goes on when it is asked for again', async ({
    expect,
  }) => {
    const { database, db, deps, host, attach, detach } = await setUp({ count: 1 });
    await using _ = database;
    await attach();
    await obey(deps, host);
    await detach();
    const [order] = await ordersOf(deps, host);
    const refused = outcomeOf(order!, { outcome: 'refused', message: 'Epoch 5 is older than 9.' });
    await report(deps, host, [refused]);
    await report(deps, host, [refused]);
    const attachment = () => db.selectFrom('attachment').selectAll().executeTakeFirstOrThrow();
    expect(await attachment()).toMatchObject({
      state: 'detaching',
      reason: expect.stringMatching(/^Its host refuses the order: Epoch 5 .* Detach it once more/),
    });
    const told = await db
      .selectFrom('event')
      .select('kind')
      .where('kind', 'in', ['accelerator.order-refused', 'attachment.order-refused'])
      .orderBy('kind')
      .execute();
    expect(told.map(({ kind }) => kind)).toEqual([
      'accelerator.order-refused',
      'attachment.order-refused',
    ]);
    // The operation that waited is over, and the detach is asked for again.
    await db.updateTable('operation').set({ deadline_at: deps.clock.now() }).execute();
    await endOverdueOperations(deps).pass(new AbortController().signal);
    await detach();
    const [again] = await ordersOf(deps, host);
    expect(again?.epoch).toBeGreaterThan(order!.epoch);
    expect(await attachment()).toMatchObject({ state: 'detaching', reason: null });
    expect(await brokenInvariants(db)).toEqual([]);
    await obey(deps, host);
    expect(await attachment()).toMatchObject({ state: 'released' });
  });

  it('that comes while its conductor dies is either whole or not there', async ({ expect }) => {
    const { database, db, deps, host, attach } = await setUp({ count: 1 });
    await using _ = database;
    await attach();
    await dispatch(deps);
    const [order] = await ordersOf(deps, host);
    const died = act(deps, async (current) => {
      const { applyOutcomes } = await import('./outcomes.ts');
      await applyOutcomes(current, deps, { host, outcomes: [outcomeOf(order!)] });
      throw new Error('killed');
    });
    await expect(died).rejects.toThrow('killed');
    expect(await brokenInvariants(db)).toEqual([]);
    expect(await ordersOf(deps, host)).toEqual([order]);
    await obey(deps, host);
    expect(
      (await db.selectFrom('accelerator').select('state').executeTakeFirstOrThrow()).state,
    ).toBe('attached');
  });
});

describe('an observation', () => {
  it('that a guest lost its device has it plugged again under the same name', async ({
    expect,
  }) => {
    const { database, db, deps, host, attach } = await setUp({ count: 1 });
    await using _ = database;
    await attach();
    await obey(deps, host);
    const { items } = await listHeld(db, host.id, undefined);
    const [held] = items;
    const see = (observed: 'plugged' | 'missing' | 'unknown', epoch = held!.epoch) =>
      act(deps, (current) =>
        applyObservations(current, deps, {
          host,
          observations: [{ attachment_id: held!.attachment_id, epoch, observed }],
        }),
      );
    const events = async () => (await db.selectFrom('event').select('id').execute()).length;
    const before = await events();
    await see('plugged');
    await see('missing', held!.epoch - 1);
    expect(await events()).toBe(before);
    expect(await ordersOf(deps, host)).toEqual([]);
    await see('missing');
    const orders = await ordersOf(deps, host);
    expect(orders).toMatchObject([
      {
        kind: 'attach',
        epoch: held!.epoch,
        device_epoch: held!.device_epoch,
        attachment_id: held!.attachment_id,
      },
    ]);
    expect(
      (await db.selectFrom('accelerator').select('state').executeTakeFirstOrThrow()).state,
    ).toBe('attached');
    await report(deps, host, [outcomeOf(orders[0]!, { outcome: 'failed', message: 'no slot' })]);
    expect(await db.selectFrom('attachment').selectAll().executeTakeFirstOrThrow()).toMatchObject({
      state: 'failed',
      reason: 'no slot',
    });
    expect((await listHeld(db, host.id, undefined)).items).toHaveLength(1);
  });

  it('writes nothing when all is as the ledger has it', async ({ expect }) => {
    const { database, db, deps, host, attach } = await setUp({ count: 2 });
    await using _ = database;
    await attach({ count: 2 });
    await obey(deps, host);
    const { items } = await listHeld(db, host.id, undefined);
    const rows = async () =>
      (await sql`select xmin, xmax, * from attachment order by id`.execute(db)).rows;
    const before = await rows();
    const observations = items.map((item) => ({
      attachment_id: item.attachment_id,
      epoch: item.epoch,
      observed: 'plugged' as const,
    }));
    await act(deps, (current) => applyObservations(current, deps, { host, observations }));
    expect(await rows()).toEqual(before);
  });
});

describe('the fingerprint of a host', () => {
  it('differs whenever its orders do', async ({ expect }) => {
    const { database, db, deps, host, attach, detach } = await setUp({ count: 2 });
    await using _ = database;
    const other = await addHost(db);
    const seen: (string | undefined)[] = [];
    const look = async (): Promise<void> => {
      const all = await ordersFingerprint(db, [host.id, other.id]);
      expect(all.has(other.id)).toBe(false);
      seen.push(all.get(host.id));
    };
    await look();
    await attach();
    await dispatch(deps);
    await look();
    await attach();
    await dispatch(deps);
    await look();
    await detach();
    await look();
    await report(
      deps,
      host,
      (await ordersOf(deps, host)).slice(0, 1).map((order) => outcomeOf(order)),
    );
    await look();
    expect(new Set(seen).size).toBe(seen.length);
    await obey(deps, host);
    await look();
    expect(seen.at(-1)).toBeUndefined();
  });
});

/** Returns when a connection waits for another one's lock, or when the signal is aborted. */
async function someoneWaits(url: string, signal: AbortSignal): Promise<void> {
  const { db } = connect({ url, log: quietLog, poolSizeMax: 1 });
  try {
    for (let isWaiting = false; !isWaiting && !signal.aborted;) {
      const { rows } = await sql`select 1 from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'`.execute(db);
      isWaiting = rows.length > 0;
    }
  } finally {
    await db.destroy();
  }
}

const step = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('attach' as const),
      guest: fc.nat(1),
      count: fc.integer({ min: 1, max: 3 }),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constant('detach' as const),
      guest: fc.nat(1),
      pick: fc.option(fc.nat(3)),
      force: fc.constantFrom(false, false, false, true),
    }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('dispatch' as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cancel' as const), pick: fc.nat(7) }) },
  {
    weight: 8,
    arbitrary: fc.record({
      do: fc.constant('outcome' as const),
      pick: fc.nat(7),
      outcome: fc.constantFrom(
        'done',
        'done',
        'done',
        'failed',
        'clean_failed',
        'held',
        'retrying',
        'refused',
      ),
    }),
  },
  { weight: 3, arbitrary: fc.record({ do: fc.constant('repeat' as const), pick: fc.nat(31) }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant('observe' as const),
      pick: fc.nat(3),
      observed: fc.constantFrom('plugged', 'missing', 'unknown'),
    }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

async function take(bench: Bench, history: Outcome[], one: Step): Promise<void> {
  const { deps, db, host, handlers, instances } = bench;
  const guest = (n: number) => ({ instance_id: instances[n]!.id });
  switch (one.do) {
    case 'attach':
      await handlers.createAttachments(admin, {
        params: guest(one.guest),
        query: {},
        body: { count: one.count },
      });
      return;
    case 'detach': {
      const held = await db.selectFrom('accelerator').select('id').orderBy('id').execute();
      const accelerator = one.pick === null ? undefined : held[one.pick % held.length]?.id;
      await handlers.deleteAttachments(admin, {
        params: guest(one.guest),
        query: { force: one.force, ...(accelerator !== undefined && { accelerator }) },
        body: undefined,
      });
      return;
    }
    case 'dispatch':
      await dispatch(deps);
      return;
    case 'cancel': {
      const operations = await db.selectFrom('operation').select('id').orderBy('id').execute();
      const id = operations[one.pick % Math.max(1, operations.length)]?.id;
      if (id === undefined) return;
      await makeOperationHandlers(deps).cancelOperation(admin, {
        params: { id },
        query: {},
        body: undefined,
      });
      return;
    }
    case 'outcome': {
      const orders = await ordersOf(deps, host);
      const order = orders[one.pick % Math.max(1, orders.length)];
      if (order === undefined) return;
      const outcome = chosen(order, one.outcome);
      history.push(outcome);
      await report(deps, host, [outcome]);
      return;
    }
    case 'repeat': {
      const old = history[one.pick % Math.max(1, history.length)];
      if (old !== undefined) await report(deps, host, [old, old]);
      return;
    }
    case 'observe': {
      const { items } = await listHeld(db, host.id, undefined);
      const item = items[one.pick % Math.max(1, items.length)];
      if (item === undefined) return;
      const observed = one.observed as 'plugged' | 'missing' | 'unknown';
      const observations = [{ attachment_id: item.attachment_id, epoch: item.epoch, observed }];
      await act(deps, (current) => applyObservations(current, deps, { host, observations }));
    }
  }
}

function chosen(order: OrderView, wish: string): Outcome {
  const fits =
    wish === 'done' ||
    (wish === 'failed' && order.kind !== 'attach') ||
    (['clean_failed', 'held'].includes(wish) && order.kind !== 'clean');
  const message = `because of ${wish}`;
  return fits
    ? outcomeOf(order)
    : outcomeOf(order, { outcome: wish as Outcome['outcome'], message });
}

describe('any history of requests, outcomes, repetitions and old epochs', () => {
  it('keeps accelerators, attachments, operations and events in step, and epochs rising', async ({
    expect,
  }) => {
    const database = await openTestDatabase();
    await using _ = database;
    const { db } = database;
    await startAudit(db);
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
        const deps = makeTestDeps({ db, clock: makeTestClock() });
        await sql`truncate host, driver, operation, attachment, event cascade`.execute(db);
        const host = await addHost(db);
        await addAccelerators(db, await addBackend(db, host), { count: 4 });
        const instances = [await addInstance(db, host), await addInstance(db, host)];
        await sql`truncate audit, audit_event`.execute(db);
        const bench: Bench = { db, deps, host, instances, handlers: makeAttachmentHandlers(deps) };
        const history: Outcome[] = [];
        const epochs = new Map<string, number>();
        for (const one of steps) {
          await take(bench, history, one).catch((error: unknown) => {
            if (!(error instanceof Error && error.name === 'ServiceError')) throw error;
          });
          expect(await brokenInvariants(db)).toEqual([]);
          for (const { id, epoch } of await db
            .selectFrom('accelerator')
            .select(['id', 'epoch'])
            .execute()) {
            expect(epoch).toBeGreaterThanOrEqual(epochs.get(id) ?? 0);
            epochs.set(id, epoch);
          }
        }
        expect(await changesWithoutEvent(db)).toEqual([]);
        await obey(deps, host);
        for (const instance of instances) {
          await handlers(bench, instance.id);
        }
        await obey(deps, host);
        expect(await brokenInvariants(db)).toEqual([]);
        const open = await db
          .selectFrom('operation')
          .select('id')
          .where('finished_at', 'is', null)
          .execute();
        expect(open).toEqual([]);
        const live = await db
          .selectFrom('attachment')
          .select('id')
          .where('state', '<>', 'released')
          .execute();
        expect(live).toEqual([]);
      }),
      { numRuns: Number(process.env['CYBORG_TEST_RUNS'] ?? 25) },
    );
  }, 120_000);
});

function handlers(bench: Bench, instanceId: string): Promise<unknown> {
  return bench.handlers.deleteAttachments(admin, {
    params: { instance_id: instanceId },
    query: {},
    body: undefined,
  });
}

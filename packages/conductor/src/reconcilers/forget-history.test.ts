import { makeTestClock } from '@cyborg/testing/clock';
import { openTestDatabase } from '@cyborg/testing/database';
import { addAccelerators, addBackend, addHost, addInstance, callerOf } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { makeAttachmentHandlers } from '../attachments/handlers.ts';
import { makeEventHandlers } from '../events/handlers.ts';
import { followEvents } from '../events/read-events.ts';
import { makeJoinToken } from '../hosts/join-tokens.ts';
import type { ConductorLimits } from '../limits.ts';
import { recordEvents, type NewEvent } from '../record-event.ts';
import { obey, ordersOf, outcomeOf, report } from '../test-agent.ts';
import { makeTestDeps } from '../test-deps.ts';
import { act } from '../transaction.ts';
import { forgetHistory, rowsPerPass } from './forget-history.ts';
import { numberEvents } from './number-events.ts';

const admin = callerOf('admin', 'root');
const signal = new AbortController().signal;
const dayMs = 86_400_000;
const daySeconds = 86_400;

const keptFor = {
  eventRetentionSeconds: 10 * daySeconds,
  operationRetentionSeconds: 10 * daySeconds,
};

async function setUp(limits: Partial<ConductorLimits> = keptFor) {
  const database = await openTestDatabase();
  const { db } = database;
  const clock = makeTestClock();
  const deps = makeTestDeps({ db, clock }, limits);
  const write = async (count: number, event: Partial<NewEvent> = {}): Promise<void> => {
    await act(deps, (running) =>
      recordEvents(
        running,
        Array.from({ length: count }, (_value, n) => ({
          kind: 'test.written' as const,
          subjectKind: 'test',
          subjectId: String(n),
          ...event,
        })),
      ),
    );
    while ((await numberEvents(deps).pass(signal)).full);
  };
  const { listEvents } = makeEventHandlers(deps);
  const list = (query: object) => listEvents(admin, { params: {}, query, body: undefined });
  const numbers = async (query: object) => (await list(query)).items.map(({ number }) => number);
  const pass = () => forgetHistory(deps).pass(signal);
  return { database, db, clock, deps, write, list, numbers, pass };
}

async function withGuest(limits?: Partial<ConductorLimits>) {
  const bench = await setUp(limits);
  const { db, deps } = bench;
  const host = await addHost(db, { name: 'node-1' });
  const backend = await addBackend(db, host);
  const [accelerator] = await addAccelerators(db, backend, { count: 1 });
  const instance = await addInstance(db, host);
  const handlers = makeAttachmentHandlers(deps);
  const params = { instance_id: instance.id };
  const attach = async () => {
    await handlers.createAttachments(admin, { params, query: {}, body: {} });
    await obey(deps, host);
  };
  const giveBack = async () => {
    await handlers.deleteAttachments(admin, { params, query: {}, body: undefined });
    for (const outcome of [{}, { evidence: ['reset: done'] }]) {
      const orders = await ordersOf(deps, host);
      await report(
        deps,
        host,
        orders.map((order) => outcomeOf(order, outcome)),
      );
    }
    while ((await numberEvents(deps).pass(signal)).full);
  };
  const held = () => db.selectFrom('attachment').select('state').orderBy('number').execute();
  return { ...bench, host, instance, accelerator: accelerator!, attach, giveBack, held };
}

describe('forget-history', () => {
  it('forgets events that are older than is kept, and no other', async ({ expect }) => {
    const { database, clock, write, numbers, pass } = await setUp();
    await using _ = database;
    await write(3);
    await clock.advance(6 * dayMs);
    await write(2);
    expect(await pass()).toMatchObject({ found: 0 });
    await clock.advance(5 * dayMs);
    expect(await pass()).toEqual({
      found: 3,
      full: false,
      notes: { event: 3, attachment: 0, operation: 0, instance: 0, 'join-token': 0 },
    });
    expect(await numbers({})).toEqual([4, 5]);
    expect(await pass()).toMatchObject({ found: 0 });
    await clock.advance(6 * dayMs);
    await pass();
    expect(await numbers({})).toEqual([]);
    await write(1);
    expect(await numbers({})).toEqual([6]);
  });

  it('keeps everything when told to', async ({ expect }) => {
    const limits = { eventRetentionSeconds: 0, operationRetentionSeconds: 0 };
    const { database, clock, write, numbers, pass } = await setUp(limits);
    await using _ = database;
    await write(2);
    await clock.advance(40_000 * dayMs);
    expect(await pass()).toEqual({ found: 0, full: false, notes: {} });
    expect(await numbers({})).toEqual([1, 2]);
  });

  it('goes by the order of the numbers, so that what stays has no gap', async ({ expect }) => {
    const { database, clock, write, numbers, pass } = await setUp();
    await using _ = database;
    await write(1);
    await clock.advance(dayMs);
    await write(1);
    clock.jumpWallClock(-dayMs);
    await write(1);
    await clock.advance(10 * dayMs + 1);
    expect(await pass()).toMatchObject({ found: 1 });
    expect(await numbers({})).toEqual([2, 3]);
  });

  it('takes no more than so many at once, and says that there are more', async ({ expect }) => {
    const { database, clock, write, numbers, pass } = await setUp();
    await using _ = database;
    await write(rowsPerPass + 5);
    await clock.advance(11 * dayMs);
    expect(await pass()).toMatchObject({ found: rowsPerPass, full: true });
    expect(await numbers({})).toHaveLength(5);
    expect(await pass()).toMatchObject({ found: 5, full: false });
  });

  it('forgets each event once when two servers do it at once', async ({ expect }) => {
    const { database, db, clock, write, pass } = await setUp();
    await using _ = database;
    await write(50);
    await clock.advance(11 * dayMs);
    const passes = await Promise.all([pass(), pass(), pass()]);
    expect(passes.reduce((sum, { found }) => sum + found, 0)).toBe(50);
    expect(await db.selectFrom('event_counter').selectAll().executeTakeFirst()).toMatchObject({
      last: 50,
      forgotten: 50,
    });
  });

  it('forgets operations and attachments that ended, with who held what; current ones stay', async ({
    expect,
  }) => {
    const { database, db, clock, attach, giveBack, held, pass } = await withGuest();
    await using _ = database;
    await attach();
    await giveBack();
    await clock.advance(2 * dayMs);
    await attach();
    await clock.advance(9 * dayMs);
    expect((await pass()).notes).toMatchObject({ attachment: 1, operation: 2, instance: 0 });
    expect(await held()).toEqual([{ state: 'attached' }]);
    await clock.advance(20 * dayMs);
    expect((await pass()).notes).toMatchObject({ attachment: 0, operation: 1 });
    expect(await held()).toEqual([{ state: 'attached' }]);
    expect(await db.selectFrom('accelerator').select('state').execute()).toEqual([
      { state: 'attached' },
    ]);
  });

  it('never forgets an operation that goes on, or an attachment that Placement is to be rid of', async ({
    expect,
  }) => {
    const { database, db, clock, instance, held, pass, deps } = await withGuest();
    await using _ = database;
    await makeAttachmentHandlers(deps).createAttachments(admin, {
      params: { instance_id: instance.id },
      query: {},
      body: {},
    });
    await clock.advance(100 * dayMs);
    await pass();
    expect(await db.selectFrom('operation').select('state').execute()).toHaveLength(1);
    expect(await held()).toHaveLength(1);
    await db
      .updateTable('attachment')
      .set({ state: 'released', allocation: 'made', updated_at: clock.now() })
      .execute();
    await clock.advance(100 * dayMs);
    await pass();
    expect(await held()).toHaveLength(1);
    await db.updateTable('attachment').set({ allocation: null }).execute();
    await pass();
    expect(await held()).toHaveLength(0);
  });

  it('forgets instances that vanished long ago, not those that are only away or hold something', async ({
    expect,
  }) => {
    const { database, db, clock, host, instance, attach, pass } = await withGuest();
    await using _ = database;
    await attach();
    const gone = { is_present: false, missing_since: clock.now() };
    await db
      .updateTable('instance')
      .set({ ...gone, is_vanished: true })
      .execute();
    await addInstance(db, host, { name: 'gone', ...gone, is_vanished: true });
    const away = await addInstance(db, host, { name: 'away', ...gone });
    await clock.advance(9 * dayMs);
    expect((await pass()).notes).toMatchObject({ instance: 0 });
    await clock.advance(2 * dayMs);
    expect((await pass()).notes).toMatchObject({ instance: 1 });
    const left = await db.selectFrom('instance').select('id').execute();
    expect(left.map(({ id }) => id).toSorted()).toEqual([instance.id, away.id].toSorted());
  });

  it('forgets join tokens long after their time', async ({ expect }) => {
    const { database, clock, deps, pass } = await setUp();
    await using _ = database;
    await act(deps, (running) =>
      makeJoinToken(deps, running, {
        caller: admin,
        hostName: 'node-9',
        isReenrol: false,
        isSimulated: false,
      }),
    );
    await clock.advance(10 * dayMs);
    expect((await pass()).notes).toMatchObject({ 'join-token': 0 });
    await clock.advance(dayMs);
    expect((await pass()).notes).toMatchObject({ 'join-token': 1 });
  });

  it('keeps of each accelerator the evidence of its last cleaning and who decided what about it', async ({
    expect,
  }) => {
    const { database, db, clock, accelerator, attach, giveBack, write, list, pass } =
      await withGuest();
    await using _ = database;
    const { id } = accelerator;
    await attach();
    await giveBack();
    await attach();
    await giveBack();
    const decided = { kind: 'accelerator.updated', subjectKind: 'accelerator', userId: 'ann' };
    await write(1, { ...decided, kind: 'accelerator.updated', subjectId: id });
    const before = (await list({ subject_id: id })).items;
    const cleaned = before.filter(({ kind }) => kind === 'accelerator.cleaned');
    expect(cleaned).toHaveLength(2);
    await clock.advance(11 * dayMs);
    while ((await pass()).full);
    await write(1, { subjectId: id });
    const kept = ['accelerator.cleaned', 'accelerator.updated'];
    const of = async (query: object) => (await list({ subject_id: id, ...query })).items;
    expect((await of({})).map(({ kind }) => kind)).toEqual([...kept, 'test.written']);
    expect((await of({}))[0]).toEqual(cleaned[1]);
    expect((await of({ order: 'newest' })).map(({ kind }) => kind)).toEqual([
      'test.written',
      ...kept.toReversed(),
    ]);
    expect(await of({ kind: 'accelerator.cleaned' })).toEqual([cleaned[1]]);
    expect((await list({})).items).toHaveLength(1);
    await db.deleteFrom('accelerator').execute();
    expect((await of({})).map(({ kind }) => kind)).toEqual(['test.written']);
  });
});

describe('a cursor that is older than the events that are kept', () => {
  async function forgetTwoOfFour() {
    const bench = await setUp();
    await bench.write(2);
    await bench.clock.advance(9 * dayMs);
    await bench.write(2);
    await bench.clock.advance(2 * dayMs);
    await bench.pass();
    return bench;
  }
  const refusal = { code: 'event-number-forgotten', extra: { forgotten: 2, newest: 4 } };

  it('is refused with the numbers from which to go on', async ({ expect }) => {
    const { database, list, numbers } = await forgetTwoOfFour();
    await using _ = database;
    await expect(list({ after: 1 })).rejects.toMatchObject(refusal);
    await expect(list({ marker: '1' })).rejects.toMatchObject(refusal);
    await expect(list({ after: 1, order: 'newest' })).rejects.toMatchObject(refusal);
    await expect(list({ marker: '1', order: 'newest' })).rejects.toMatchObject(refusal);
    expect(await numbers({ after: 2 })).toEqual([3, 4]);
    expect(await numbers({ after: 0 })).toEqual([3, 4]);
    expect(await numbers({ marker: '4', order: 'newest' })).toEqual([3]);
    expect(await numbers({ marker: '3', order: 'newest' })).toEqual([]);
  });

  it('ends a stream that is overtaken', async ({ expect }) => {
    const { database, clock, deps, write, pass } = await setUp();
    await using _ = database;
    await write(3);
    const behind = followEvents(deps, admin, { after: 1, limit: 1, signal });
    expect((await behind.next()).value?.number).toBe(2);
    await clock.advance(11 * dayMs);
    await pass();
    await write(1);
    expect((await behind.next()).done).toBe(true);
  });

  it('is not that of a stream that has seen everything, though little of it was for its reader', async ({
    expect,
  }) => {
    const { database, clock, deps, write, pass } = await setUp();
    await using _ = database;
    await write(2);
    let looks = 0;
    const sleep: typeof clock.sleep = (ms, stopped) => {
      looks += 1;
      return clock.sleep(ms, stopped);
    };
    const stop = new AbortController();
    const follower = { ...deps, clock: { ...clock, sleep } };
    const rare = followEvents(follower, admin, {
      after: 1,
      kind: 'test.rare',
      signal: stop.signal,
    });
    const next = rare.next();
    const look = async (count: number): Promise<void> => {
      while (looks < count) await new Promise(setImmediate);
    };
    await look(1);
    await write(4);
    await look(2);
    await clock.advance(deps.limits.recheckMs);
    await look(3);
    await clock.advance(11 * dayMs);
    expect(await pass()).toMatchObject({ found: 6 });
    await write(1, { kind: 'test.rare' });
    expect((await next).value?.number).toBe(7);
    stop.abort();
  });
});

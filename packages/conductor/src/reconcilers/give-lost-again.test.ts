import { makeTestClock } from '@cyborg/testing/clock';
import { openTestDatabase } from '@cyborg/testing/database';
import { addAccelerators, addBackend, addHost, addInstance, callerOf } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { makeAttachmentHandlers } from '../attachments/handlers.ts';
import { applyObservations } from '../orders/observations.ts';
import type { Outcome } from '../orders/outcomes.ts';
import { dispatch, obey, ordersOf, outcomeOf, report } from '../test-agent.ts';
import { brokenInvariants, changesWithoutEvent, startAudit } from '../test-audit.ts';
import { makeTestDeps } from '../test-deps.ts';
import { act } from '../transaction.ts';
import { giveLostAgain } from './give-lost-again.ts';

const admin = callerOf('admin', 'alpha');
const { signal } = new AbortController();
const secondMs = 1000;

/** An instance that has an accelerator. */
async function setUp() {
  const database = await openTestDatabase();
  const { db } = database;
  const clock = makeTestClock();
  const deps = makeTestDeps({ db, clock });
  const host = await addHost(db);
  const backend = await addBackend(db, host);
  await addAccelerators(db, backend, { count: 1 });
  const guest = await addInstance(db, host);
  const params = { instance_id: guest.id };
  await makeAttachmentHandlers(deps).createAttachments(admin, { params, query: {}, body: {} });
  const attachment = () => db.selectFrom('attachment').selectAll().executeTakeFirstOrThrow();
  const observeMissing = async (): Promise<void> => {
    const { id, epoch } = await attachment();
    const observations = [{ attachment_id: id, epoch, observed: 'missing' as const }];
    await act(deps, (current) => applyObservations(current, deps, { host, observations }));
  };
  /** What the agent says of the order to attach. */
  const answer = async (changes: Partial<Outcome>): Promise<void> => {
    const [order] = await ordersOf(deps, host);
    await report(deps, host, [outcomeOf(order!, changes)]);
  };
  const fail = (message: string, more: Partial<Outcome> = {}): Promise<void> =>
    answer({ outcome: 'failed', message, ...more });
  const loseAndFail = async (message: string, more?: Partial<Outcome>): Promise<void> => {
    await obey(deps, host);
    await observeMissing();
    await fail(message, more);
  };
  const pass = () => giveLostAgain(deps).pass(signal);
  const told = async (kind: string): Promise<number> => {
    const rows = await db.selectFrom('event').select('id').where('kind', '=', kind).execute();
    return rows.length;
  };
  return {
    database,
    db,
    clock,
    deps,
    host,
    backend,
    attachment,
    answer,
    fail,
    loseAndFail,
    pass,
    told,
  };
}

describe('what an instance lost and could not be given at once', () => {
  it('is given again by itself, later each time, until it is attached', async ({ expect }) => {
    const { database, db, clock, deps, host, attachment, fail, loseAndFail, pass } = await setUp();
    await using _ = database;
    await startAudit(db);
    await loseAndFail('All 1 hot-plug ports are in use');
    const before = await attachment();
    expect(before).toMatchObject({ state: 'failed', reason: 'All 1 hot-plug ports are in use' });
    for (const seconds of [30, 60, 120, 240, 480, 600, 600]) {
      await clock.advance(seconds * secondMs - 1);
      expect(await pass()).toMatchObject({ found: 0 });
      expect(await ordersOf(deps, host)).toEqual([]);
      await clock.advance(1);
      expect(await pass()).toMatchObject({ found: 1, notes: { given: 1 } });
      const [order] = await ordersOf(deps, host);
      expect(order).toMatchObject({ kind: 'attach', was_attached: true, epoch: before.epoch });
      await fail('All 1 hot-plug ports are in use');
    }
    await clock.advance(600 * secondMs);
    await pass();
    await obey(deps, host);
    expect(await attachment()).toMatchObject({
      id: before.id,
      state: 'attached',
      reason: null,
      again_at: null,
      again_count: 0,
    });
    expect(await pass()).toMatchObject({ found: 0 });
    expect(await changesWithoutEvent(db)).toEqual([]);
    expect(await brokenInvariants(db)).toEqual([]);
  });

  it('says why only when it is something else than before', async ({ expect }) => {
    const { database, clock, attachment, answer, loseAndFail, pass, told } = await setUp();
    await using _ = database;
    await loseAndFail('no port');
    await clock.advance(30 * secondMs);
    await pass();
    expect(await attachment()).toMatchObject({ state: 'attaching', reason: 'no port' });
    await answer({ outcome: 'retrying', message: 'no port' });
    expect(await told('attachment.retrying')).toBe(0);
    await answer({ outcome: 'retrying', message: 'it is migrating' });
    await answer({ outcome: 'retrying', message: 'it is migrating' });
    expect(await told('attachment.retrying')).toBe(1);
  });

  it.for([
    ['its instance', 'instance', { is_present: false }, { is_present: true }],
    ['its card', 'accelerator', { presence: 'absent' }, { presence: 'present' }],
    ['its driver', 'backend', { state: 'stale' }, { state: 'ready' }],
    ['its host', 'host', { lease_expires_at: new Date(0) }, {}],
  ] as const)('waits for %s', async ([, table, away, back], { expect }) => {
    const { database, db, clock, host, loseAndFail, pass } = await setUp();
    await using _ = database;
    await loseAndFail('no');
    await db.updateTable(table).set(away).execute();
    await clock.advance(86_400 * secondMs);
    expect(await pass()).toMatchObject({ found: 0 });
    const { lease_expires_at } = host;
    await db
      .updateTable(table)
      .set(table === 'host' ? { lease_expires_at } : back)
      .execute();
    expect(await pass()).toMatchObject({ found: 1 });
  });

  it('waits for a person when only a person can help', async ({ expect }) => {
    const { database, clock, deps, host, attachment, loseAndFail, pass } = await setUp();
    await using _ = database;
    const message = 'Instance vm-1 still has ua-cyborg-1: detach it first.';
    await loseAndFail(message, { needs_person: true });
    await clock.advance(86_400 * secondMs);
    expect(await pass()).toMatchObject({ found: 0 });
    expect(await ordersOf(deps, host)).toEqual([]);
    expect(await attachment()).toMatchObject({ state: 'failed', reason: message });
  });

  it('is given once when two conductors do it at once', async ({ expect }) => {
    const { database, clock, attachment, loseAndFail, pass, told } = await setUp();
    await using _ = database;
    await loseAndFail('no');
    const before = await told('attachment.attaching');
    await clock.advance(30 * secondMs);
    const passes = await Promise.all([pass(), pass(), pass()]);
    expect(passes.reduce((sum, { notes }) => sum + (notes?.['given'] ?? 0), 0)).toBe(1);
    expect(await told('attachment.attaching')).toBe(before + 1);
    expect(await attachment()).toMatchObject({ state: 'attaching' });
  });
});

describe('an attach that was never made', () => {
  it('is taken back when it fails, and not tried again', async ({ expect }) => {
    const { database, clock, deps, host, fail, pass, attachment } = await setUp();
    await using _ = database;
    await dispatch(deps);
    expect(await ordersOf(deps, host)).toMatchObject([{ kind: 'attach', was_attached: false }]);
    await fail('no port');
    expect(await ordersOf(deps, host)).toMatchObject([{ kind: 'detach', was_attached: false }]);
    await obey(deps, host);
    await clock.advance(86_400 * secondMs);
    expect(await pass()).toMatchObject({ found: 0 });
    expect(await attachment()).toMatchObject({ state: 'released', again_at: null });
  });
});

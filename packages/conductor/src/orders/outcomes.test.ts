import { addHost } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { admin, setUp } from '../../test/attaching.ts';
import { makeAcceleratorHandlers } from '../accelerators/handlers.ts';
import type { AcceleratorEdit } from '../accelerators/update-accelerator.ts';
import { endOverdueOperations } from '../reconcilers/end-overdue-operations.ts';
import { dispatch, obey, ordersOf, outcomeOf, report } from '../test-agent.ts';
import { brokenInvariants } from '../test-audit.ts';
import { act } from '../transaction.ts';
import type { Outcome } from './outcomes.ts';

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
    const limits = { ...deps.limits, hostsReturnSeconds: 0 };
    await endOverdueOperations({ ...deps, limits }).pass(new AbortController().signal);
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

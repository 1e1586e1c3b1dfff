import { nextEpoch } from '@cyborg/model/epoch';
import { makeTestClock } from '@cyborg/testing/clock';
import { openTestDatabase } from '@cyborg/testing/database';
import { addAccelerators, addBackend, addHost, callerOf } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { obey, ordersOf, outcomeOf, report } from '../test-agent.ts';
import { brokenInvariants, changesWithoutEvent, startAudit } from '../test-audit.ts';
import { makeTestDeps } from '../test-deps.ts';
import { deleteAccelerator } from './delete-accelerator.ts';
import { makeAcceleratorHandlers } from './handlers.ts';
import type { AcceleratorEdit } from './update-accelerator.ts';

const admin = callerOf('admin', 'root');

/** One accelerator whose cleaning failed. */
async function setUp() {
  const database = await openTestDatabase();
  const { db } = database;
  const deps = makeTestDeps({ db, clock: makeTestClock() });
  const host = await addHost(db, { name: 'node-1' });
  const backend = await addBackend(db, host);
  const failed = { state: 'cleaning_failed', reason: 'the kernel says that it is busy' } as const;
  const [accelerator] = await addAccelerators(db, backend, { count: 1, name: 'gpu', ...failed });
  const { id, epoch } = accelerator!;
  const { updateAccelerator } = makeAcceleratorHandlers(deps);
  const remove = () =>
    deleteAccelerator(deps, admin, { params: { id }, query: {}, body: undefined });
  const edit = (body: AcceleratorEdit, caller = admin) =>
    updateAccelerator(caller, { params: { id }, query: {}, body });
  const set = (changes: object) => db.updateTable('accelerator').set(changes).execute();
  await startAudit(db);
  return { database, db, deps, host, backend, id, epoch, edit, remove, set };
}

describe('what could not be cleaned', () => {
  it('is cleaned again under a new epoch when an admin asks for it, and then given out', async ({
    expect,
  }) => {
    const { database, db, deps, host, id, epoch, edit } = await setUp();
    await using _ = database;
    expect(await ordersOf(deps, host)).toEqual([]);
    const asked = { state: 'cleaning', reason: 'the driver was mended' } as const;
    expect(await edit(asked)).toMatchObject({ state: 'cleaning', reason: null });
    const [clean] = await ordersOf(deps, host);
    expect(clean).toMatchObject({
      kind: 'clean',
      accelerator_id: id,
      epoch: nextEpoch(epoch, deps.ledger.incarnation),
    });
    // What its first try says late counts no more.
    await report(deps, host, [outcomeOf(clean!, { epoch, evidence: ['late'] })]);
    // Asked for once more, nothing is begun anew.
    expect(await edit({ state: 'cleaning' })).toMatchObject({ state: 'cleaning' });
    expect(await ordersOf(deps, host)).toEqual([clean]);
    await obey(deps, host);
    const events = await db
      .selectFrom('event')
      .select(['kind', 'user_id', 'data'])
      .where('subject_id', '=', id)
      .orderBy('id')
      .execute();
    expect(events).toMatchObject([
      {
        kind: 'accelerator.cleaning',
        user_id: admin.userId,
        data: { operator_reason: 'the driver was mended' },
      },
      { kind: 'accelerator.cleaned' },
      { kind: 'accelerator.available' },
    ]);
    expect(await changesWithoutEvent(db)).toEqual([]);
    expect(await brokenInvariants(db)).toEqual([]);
  });

  it('stays out with the new reason when it fails again, and withheld when it was to be', async ({
    expect,
  }) => {
    const { database, db, deps, host, edit } = await setUp();
    await using _ = database;
    await edit({ state: 'cleaning' });
    await obey(deps, host, (order) =>
      outcomeOf(order, { outcome: 'clean_failed', message: 'still busy' }),
    );
    const stateNow = () =>
      db.selectFrom('accelerator').select(['state', 'reason']).executeTakeFirstOrThrow();
    expect(await stateNow()).toEqual({ state: 'cleaning_failed', reason: 'still busy' });
    // What is withheld meanwhile could else be offered without a word of how it got clean.
    expect(await edit({ state: 'withheld', reason: 'noisy' })).toMatchObject({
      state: 'cleaning_failed',
      reason: 'still busy',
    });
    await edit({ state: 'cleaning' });
    await obey(deps, host);
    expect(await stateNow()).toEqual({ state: 'withheld', reason: 'operator: noisy' });
  });

  it('is cleaned again by admins alone, and nothing else is, each with the way out', async ({
    expect,
  }) => {
    const { database, deps, host, edit, set } = await setUp();
    await using _ = database;
    await set({ reserved_for: 'alpha' });
    await expect(edit({ state: 'cleaning' }, callerOf('manager', 'alpha'))).rejects.toMatchObject({
      code: 'forbidden',
    });
    const refused: readonly (readonly [object, RegExp])[] = [
      [
        { presence: 'absent', absent_since: new Date() },
        /absent.*when its driver reports it again/u,
      ],
      [
        { presence: 'present', absent_since: null, state: 'available' },
        /gpu is available\. Whatever/u,
      ],
      [{ state: 'withheld' }, /gpu is withheld\. Whatever was held/u],
      [{ state: 'orphaned' }, /gpu is orphaned\. Detach it/u],
    ];
    for (const [changes, message] of refused) {
      await set(changes);
      await expect(edit({ state: 'cleaning' })).rejects.toMatchObject({
        code: 'wrong-state',
        message: expect.stringMatching(message),
      });
    }
    expect(await ordersOf(deps, host)).toEqual([]);
  });

  it('goes from the ledger when its hardware does not come back, and an admin says so', async ({
    expect,
  }) => {
    const { database, db, backend, edit, remove, set } = await setUp();
    await using _ = database;
    const refusal = (message: RegExp) => ({
      code: 'in-use',
      message: expect.stringMatching(message),
    });
    await expect(remove()).rejects.toMatchObject(
      refusal(/accelerator-update gpu --state cleaning\.$/u),
    );
    await set({ presence: 'absent', absent_since: new Date() });
    await expect(remove()).rejects.toMatchObject(
      refusal(/does not come back.*accelerator-update \S+ --state available --reason TEXT\.$/u),
    );
    await expect(edit({ state: 'cleaning' })).rejects.toThrow(/does not come back.*--reason TEXT/u);
    // Which card the one is that was put into its slot is settled by that, too.
    const [other] = await addAccelerators(db, backend, { count: 1, name: 'gpu-2', doubt: 'it is' });
    await db.updateTable('backend').set({ inventory_hash: 'as before' }).execute();
    const scrapped = { state: 'available', reason: 'burnt, ticket 4711' } as const;
    expect(await edit(scrapped)).toMatchObject({ state: 'withheld', reason: 'absent' });
    const look = db.selectFrom('backend').select(['inventory_hash', 'discovery_requested']);
    expect(await look.execute()).toEqual([{ inventory_hash: null, discovery_requested: 1 }]);
    await remove();
    const left = await db.selectFrom('accelerator').select('id').execute();
    expect(left).toEqual([{ id: other?.id }]);
  });
});

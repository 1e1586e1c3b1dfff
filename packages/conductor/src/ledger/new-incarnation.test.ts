import { firstEpoch } from '@cyborg/model/epoch';
import { makeTestClock } from '@cyborg/testing/clock';
import { openTestDatabase } from '@cyborg/testing/database';
import { addAccelerators, addBackend, addHost, addInstance, callerOf } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { makeAttachmentHandlers } from '../attachments/handlers.ts';
import { dispatch, obey, ordersOf, outcomeOf, report } from '../test-agent.ts';
import { brokenInvariants } from '../test-audit.ts';
import { makeTestDeps } from '../test-deps.ts';
import { newIncarnation, openLedger } from './open-ledger.ts';

const admin = callerOf('admin', 'alpha');

async function setUp() {
  const database = await openTestDatabase();
  const { db } = database;
  const clock = makeTestClock();
  const before = makeTestDeps({ db, clock });
  const ledger = await openLedger(db, before.rng, clock);
  const deps = { ...before, ledger };
  const host = await addHost(db, { name: 'node-1' });
  const accelerators = await addAccelerators(db, await addBackend(db, host), { count: 1 });
  const params = { instance_id: (await addInstance(db, host)).id };
  const handlers = makeAttachmentHandlers(deps);
  const attach = (accelerator: string) =>
    handlers.createAttachments(admin, { params, query: {}, body: { accelerator } });
  const detach = () => handlers.deleteAttachments(admin, { params, query: {}, body: undefined });
  return { database, db, clock, deps, host, accelerator: accelerators[0]!, attach, detach };
}

describe('a new incarnation', () => {
  it('orders anew what was on its way back, above all that a host has seen', async ({ expect }) => {
    const { database, db, clock, deps, host, accelerator, attach, detach } = await setUp();
    await using _ = database;
    await attach(accelerator.id);
    await obey(deps, host);
    await detach();
    const [before] = await ordersOf(deps, host);
    const refused = outcomeOf(before!, { outcome: 'refused', message: 'Epoch 5 is older than 9.' });
    await report(deps, host, [refused]);

    const { incarnation } = await newIncarnation(db, clock);
    const [order] = await ordersOf(deps, host);
    expect(order).toEqual({ ...before, epoch: firstEpoch(incarnation) + 1 });
    expect(await brokenInvariants(db)).toEqual([]);
    const attachment = await db
      .selectFrom('attachment')
      .select(['state', 'reason'])
      .executeTakeFirstOrThrow();
    expect(attachment).toEqual({ state: 'detaching', reason: null });
    await report(deps, host, [outcomeOf(order!)]);

    await newIncarnation(db, clock);
    const [clean] = await ordersOf(deps, host);
    expect(clean).toMatchObject({ kind: 'clean', epoch: firstEpoch(incarnation + 1) + 1 });
    await obey(deps, host);
    const { state } = await db.selectFrom('accelerator').select('state').executeTakeFirstOrThrow();
    expect(state).toBe('available');
  });

  it('leaves what was on its way to an instance as it is: whether it is wanted, a person knows', async ({
    expect,
  }) => {
    const { database, db, clock, deps, host, accelerator, attach } = await setUp();
    await using _ = database;
    await attach(accelerator.id);
    await dispatch(deps);
    const before = await ordersOf(deps, host);
    expect(before).toMatchObject([{ kind: 'attach' }]);
    const ledger = await newIncarnation(db, clock);
    expect(await ordersOf(deps, host)).toEqual(before);
    // Detached, it is ordered anew.
    const handlers = makeAttachmentHandlers({ ...deps, ledger });
    const params = { instance_id: before[0]?.instance_id ?? '' };
    await handlers.deleteAttachments(admin, { params, query: {}, body: undefined });
    const [order] = await ordersOf(deps, host);
    expect(order?.kind).toBe('detach');
    expect(order?.epoch).toBeGreaterThan(firstEpoch(ledger.incarnation));
  });
});

/** Promise 7 for what the ledger does not know: what a guest has is given to nobody before it is clean. */
import { deviceName, firstEpoch, nextEpoch } from '@cyborg/model/epoch';
import { toJson } from '@cyborg/store/json';
import { makeTestClock } from '@cyborg/testing/clock';
import { openTestDatabase } from '@cyborg/testing/database';
import { addAccelerators, addBackend, addHost, addInstance, callerOf } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { applyUnclaimed, type UnclaimedReport } from '../agents/unclaimed-reports.ts';
import { makeAttachmentHandlers } from '../attachments/handlers.ts';
import { obey, ordersOf, outcomeOf, report } from '../test-agent.ts';
import { brokenInvariants, changesWithoutEvent, startAudit } from '../test-audit.ts';
import { makeTestDeps } from '../test-deps.ts';
import { act } from '../transaction.ts';
import { makeUnclaimedHandlers } from './handlers.ts';
import { holdUnclaimed } from './hold-found.ts';

const admin = callerOf('admin', 'root');
const all = { params: {}, query: {}, body: undefined };
const lostId = '11111111-1111-4111-8111-111111111111';
const lostEpoch = firstEpoch(3) + 7;
const lost = deviceName(lostId, lostEpoch);
const address = '0001:2a:1f.7';

async function setUp() {
  const database = await openTestDatabase();
  const { db } = database;
  const deps = makeTestDeps({ db, clock: makeTestClock() });
  const host = await addHost(db, { name: 'node-1' });
  const backend = await addBackend(db, host);
  const [first, second] = await addAccelerators(db, backend, { count: 2 });
  if (first === undefined || second === undefined) throw new Error('none were made');
  const guest = await addInstance(db, host);
  const other = await addInstance(db, host);
  await startAudit(db);
  const handlers = makeUnclaimedHandlers(deps);
  const attachments = makeAttachmentHandlers(deps);
  return {
    database,
    db,
    deps,
    host,
    backend,
    accelerator: first,
    second,
    guest,
    handlers,
    reportFound: (...found: Omit<UnclaimedReport, 'instance_id'>[]) =>
      act(deps, (current) =>
        applyUnclaimed(deps, current, {
          host,
          found: found.map((item) => ({ instance_id: guest.id, ...item })),
        }),
      ),
    pass: () => holdUnclaimed(deps).pass(new AbortController().signal),
    listed: async () => (await handlers.listUnclaimed(admin, all)).items,
    adopt: (id: string, accelerator?: string) =>
      handlers.adoptUnclaimed(admin, {
        params: { id },
        query: {},
        body: accelerator === undefined ? {} : { accelerator },
      }),
    attachToOther: (accelerator: string) =>
      attachments.createAttachments(admin, {
        params: { instance_id: other.id },
        query: {},
        body: { accelerator },
      }),
    stateOf: async (id: string) =>
      await db
        .selectFrom('accelerator')
        .select(['state', 'reason', 'epoch', 'operation_id'])
        .where('id', '=', id)
        .executeTakeFirstOrThrow(),
    eventsOf: async (id: string) =>
      (
        await db
          .selectFrom('event')
          .select('kind')
          .where('subject_id', '=', id)
          .orderBy('id')
          .execute()
      ).map(({ kind }) => kind),
  };
}

describe('an accelerator that a guest has and the ledger does not know of', () => {
  it('leaves the offer as soon as it is found, and is clean before anybody is given it', async ({
    expect,
  }) => {
    const bench = await setUp();
    await using _ = bench.database;
    const { db, deps, host, accelerator, reportFound } = bench;
    await reportFound({ device_name: lost, accelerator_id: accelerator.id });
    const held = await bench.stateOf(accelerator.id);
    expect(held).toMatchObject({ state: 'cleaning', reason: expect.stringContaining(lost) });
    // Higher than all that the host may have seen of it.
    expect(held.epoch).toBe(nextEpoch(lostEpoch, deps.ledger.incarnation));
    expect(await bench.listed()).toMatchObject([
      { accelerator_id: accelerator.id, accelerator_name: accelerator.name, address: null },
    ]);
    await expect(bench.attachToOther(accelerator.id)).rejects.toThrow(/being cleaned/);

    // Ordered to be released, and said again: nothing changes while the guest has it.
    const [{ id } = { id: '' }] = await bench.listed();
    await bench.handlers.releaseUnclaimed(admin, { params: { id }, query: {}, body: undefined });
    const [clean] = await ordersOf(deps, host);
    const message = `Instance ${bench.guest.id} has it as ${lost}.`;
    await report(deps, host, [outcomeOf(clean!, { outcome: 'held', message })]);
    await reportFound({ device_name: lost, accelerator_id: accelerator.id });
    await bench.pass();
    expect(await bench.stateOf(accelerator.id)).toMatchObject({
      state: 'cleaning',
      reason: message,
    });

    await reportFound();
    await obey(deps, host);
    expect(await bench.stateOf(accelerator.id)).toMatchObject({ state: 'available', reason: null });
    expect(await bench.eventsOf(accelerator.id)).toEqual([
      'accelerator.cleaning',
      'accelerator.cleaning-waits',
      'accelerator.cleaned',
      'accelerator.available',
    ]);
    expect(await bench.eventsOf(id)).toEqual([
      'unclaimed.found',
      'unclaimed.release-ordered',
      'unclaimed.released',
    ]);
    await bench.attachToOther(accelerator.id);
    expect(await brokenInvariants(db)).toEqual([]);
    expect(await changesWithoutEvent(db)).toEqual([]);
  });

  it('is known by the address that the guest has, also when its driver reports it later', async ({
    expect,
  }) => {
    const bench = await setUp();
    await using _ = bench.database;
    const { db, backend, reportFound } = bench;
    // Of another ledger: this one knows no such accelerator.
    const accelerator_id = crypto.randomUUID();
    await reportFound({ device_name: lost, accelerator_id, address: address.toUpperCase() });
    expect(await bench.listed()).toMatchObject([{ accelerator_id: null, address }]);
    const attach_info = { domain: '1', bus: '2a', device: '1f', function: '7' };
    const [function7] = await addAccelerators(db, backend, {
      count: 1,
      state: 'withheld',
      reason: 'not approved',
      plans: toJson(['pci']),
      attach_info: toJson(attach_info),
    });
    await addAccelerators(db, backend, {
      count: 1,
      plans: toJson(['pci']),
      attach_info: toJson({ ...attach_info, function: '6' }),
    });
    expect(await bench.pass()).toEqual({ found: 1, full: false });
    expect(await bench.stateOf(function7?.id ?? '')).toMatchObject({ state: 'cleaning' });
    expect(await bench.pass()).toEqual({ found: 0, full: false });
    expect(await bench.listed()).toMatchObject([{ accelerator_id: function7?.id, address }]);
  });

  it('is left with whom the ledger has it', async ({ expect }) => {
    const bench = await setUp();
    await using _ = bench.database;
    const { deps, host, accelerator, reportFound } = bench;
    await bench.attachToOther(accelerator.id);
    await obey(deps, host);
    await reportFound({ device_name: lost, accelerator_id: accelerator.id });
    expect(await bench.pass()).toEqual({ found: 0, full: false });
    expect(await bench.stateOf(accelerator.id)).toMatchObject({ state: 'attached' });
    const [{ id } = { id: '' }] = await bench.listed();
    await expect(bench.adopt(id)).rejects.toMatchObject({ code: 'already-attached' });
  });

  it('is adopted without its name, as itself and as nothing else; then it is not cleaned', async ({
    expect,
  }) => {
    const bench = await setUp();
    await using _ = bench.database;
    const { db, deps, host, accelerator, second, reportFound } = bench;
    await reportFound({ device_name: lost, accelerator_id: accelerator.id });
    const [{ id } = { id: '' }] = await bench.listed();
    await expect(bench.adopt(id, second.id)).rejects.toMatchObject({
      code: 'wrong-state',
      message: expect.stringContaining(`${accelerator.name} (${accelerator.id})`),
    });
    expect(await bench.adopt(id)).toMatchObject({
      id: lostId,
      state: 'attached',
      accelerator_id: accelerator.id,
      device_name: lost,
    });
    expect(await ordersOf(deps, host)).toEqual([]);
    expect(await bench.stateOf(accelerator.id)).toMatchObject({
      state: 'attached',
      reason: null,
      operation_id: null,
    });
    expect(await brokenInvariants(db)).toEqual([]);
    expect(await changesWithoutEvent(db)).toEqual([]);
  });

  it('is adopted out of the cleaning that a detach waits for, which says so', async ({
    expect,
  }) => {
    const bench = await setUp();
    await using _ = bench.database;
    const { db, deps, host, accelerator, reportFound } = bench;
    const attachments = makeAttachmentHandlers(deps);
    const attached = await bench.attachToOther(accelerator.id);
    await obey(deps, host);
    const instance_id = String('subject' in attached && attached.subject['instance_id']);
    const detach = { params: { instance_id }, query: {}, body: undefined };
    await attachments.deleteAttachments(admin, detach);
    const [order] = await ordersOf(deps, host);
    await report(deps, host, [outcomeOf(order!)]);
    await reportFound({ device_name: lost, accelerator_id: accelerator.id });
    const [{ id } = { id: '' }] = await bench.listed();
    await bench.adopt(id);
    const operation = await db
      .selectFrom('operation')
      .selectAll()
      .where('kind', '=', 'detach-instance')
      .executeTakeFirstOrThrow();
    expect(operation).toMatchObject({
      state: 'failed',
      error: expect.stringContaining('was not cleaned'),
    });
    expect(await brokenInvariants(db)).toEqual([]);
  });

  it('is named by whoever adopts it where nobody knows which one it is', async ({ expect }) => {
    const bench = await setUp();
    await using _ = bench.database;
    // As an agent of before says it.
    await bench.reportFound({ device_name: lost });
    expect(await bench.stateOf(bench.accelerator.id)).toMatchObject({ state: 'available' });
    const [{ id } = { id: '' }] = await bench.listed();
    await expect(bench.adopt(id)).rejects.toThrow(/^accelerator: nobody knows which one/);
    expect(await bench.adopt(id, bench.second.id)).toMatchObject({ state: 'attached' });
  });

  it('says what keeps it from being released, with one event for each reason', async ({
    expect,
  }) => {
    const bench = await setUp();
    await using _ = bench.database;
    const said = { device_name: lost, accelerator_id: bench.accelerator.id };
    await bench.reportFound(said);
    const waits = { device_name: lost, reason: 'The guest did not let go.' };
    await bench.reportFound(waits);
    await bench.reportFound(waits);
    const [found] = await bench.listed();
    // What its host has forgotten meanwhile stays known.
    expect(found).toMatchObject({ accelerator_id: said.accelerator_id, reason: waits.reason });
    const kinds = await bench.eventsOf(found?.id ?? '');
    expect(kinds).toEqual(['unclaimed.found', 'unclaimed.release-waits']);
  });
});

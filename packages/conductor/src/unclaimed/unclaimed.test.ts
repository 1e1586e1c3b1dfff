import { deviceName, firstEpoch } from '@cyborg/model/epoch';
import { makeTestClock } from '@cyborg/testing/clock';
import { openTestDatabase } from '@cyborg/testing/database';
import { addAccelerators, addBackend, addHost, addInstance, callerOf } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { applyUnclaimed } from '../agents/unclaimed-reports.ts';
import { makeAttachmentHandlers } from '../attachments/handlers.ts';
import { listHeld } from '../orders/orders.ts';
import { obey, ordersOf } from '../test-agent.ts';
import { brokenInvariants, changesWithoutEvent, startAudit } from '../test-audit.ts';
import { makeTestDeps } from '../test-deps.ts';
import { act } from '../transaction.ts';
import { makeUnclaimedHandlers } from './handlers.ts';

const admin = callerOf('admin', 'root');
const lostId = '11111111-1111-4111-8111-111111111111';

async function setUp() {
  const database = await openTestDatabase();
  const { db } = database;
  const deps = makeTestDeps({ db, clock: makeTestClock() });
  const host = await addHost(db, { name: 'node-1' });
  const accelerators = await addAccelerators(db, await addBackend(db, host), { count: 2 });
  const instance = await addInstance(db, host);
  await startAudit(db);
  const find = async (device: string, instanceId = instance.id): Promise<string> => {
    const id = deps.rng.uuid();
    await db
      .insertInto('unclaimed')
      .values({
        id,
        host_id: host.id,
        instance_id: instanceId,
        device_name: device,
        first_seen_at: deps.clock.now(),
        created_at: deps.clock.now(),
      })
      .execute();
    return id;
  };
  const handlers = makeUnclaimedHandlers(deps);
  const adopt = (id: string, accelerator = accelerators[0]!.id) =>
    handlers.adoptUnclaimed(admin, { params: { id }, query: {}, body: { accelerator } });
  return { database, db, deps, host, accelerators, instance, find, handlers, adopt };
}

describe('an unclaimed device', () => {
  it('stays claimed although its host, which has not heard of the adoption yet, reports it again', async ({
    expect,
  }) => {
    const { database, deps, host, instance, find, handlers, adopt } = await setUp();
    await using _ = database;
    const device_name = deviceName(lostId, firstEpoch(3) + 7);
    await adopt(await find(device_name));
    const stranger = deviceName(deps.rng.uuid(), 5);
    await act(deps, (current) =>
      applyUnclaimed(deps, current, {
        host,
        found: [device_name, stranger].map((name) => ({
          instance_id: instance.id,
          device_name: name,
        })),
      }),
    );
    const { items } = await handlers.listUnclaimed(admin, {
      params: {},
      query: {},
      body: undefined,
    });
    expect(items.map((item) => item.device_name)).toEqual([stranger]);
  });

  it('is adopted under the name it carries, with a higher epoch, and is detached like any other', async ({
    expect,
  }) => {
    const { database, db, deps, host, accelerators, instance, find, adopt } = await setUp();
    await using _ = database;
    const epoch = firstEpoch(3) + 7;
    const id = await find(deviceName(lostId, epoch));
    expect(await adopt(id)).toMatchObject({
      id: lostId,
      state: 'attached',
      device_name: deviceName(lostId, epoch),
      project_id: 'alpha',
    });
    const { items } = await listHeld(db, host.id, undefined);
    expect(items).toMatchObject([{ attachment_id: lostId, device_epoch: epoch, epoch: epoch + 1 }]);
    expect(await brokenInvariants(db)).toEqual([]);
    await expect(adopt(id)).rejects.toMatchObject({ code: 'unclaimed-not-found' });
    const other = await find(deviceName(deps.rng.uuid(), epoch));
    await expect(adopt(other)).rejects.toMatchObject({ code: 'already-attached' });
    await makeAttachmentHandlers(deps).deleteAttachments(admin, {
      params: { instance_id: instance.id },
      query: {},
      body: undefined,
    });
    await obey(deps, host);
    const [row] = await db
      .selectFrom('accelerator')
      .selectAll()
      .where('id', '=', accelerators[0]!.id)
      .execute();
    expect(row?.state).toBe('available');
    expect(await changesWithoutEvent(db)).toEqual([]);
  });

  it('of an attachment that was released by force comes back to it', async ({ expect }) => {
    const { database, db, deps, host, accelerators, instance, find, adopt } = await setUp();
    await using _ = database;
    const attachments = makeAttachmentHandlers(deps);
    const params = { instance_id: instance.id };
    await attachments.createAttachments(admin, {
      params,
      query: {},
      body: { accelerator: accelerators[0]!.id },
    });
    await obey(deps, host);
    const [held] = (await listHeld(db, host.id, undefined)).items;
    await attachments.deleteAttachments(admin, { params, query: { force: true }, body: undefined });
    const device = deviceName(held!.attachment_id, held!.device_epoch);
    const wrong = await find(device);
    await expect(adopt(wrong, accelerators[1]!.id)).rejects.toMatchObject({ code: 'wrong-state' });
    expect(await adopt(wrong)).toMatchObject({
      id: held!.attachment_id,
      state: 'attached',
      device_name: device,
    });
    expect(await ordersOf(deps, host)).toEqual([]);
    expect(await brokenInvariants(db)).toEqual([]);
    expect(await changesWithoutEvent(db)).toEqual([]);
  });

  it('that is no attachment of ours, or in no known instance, is not adopted', async ({
    expect,
  }) => {
    const { database, deps, find, adopt } = await setUp();
    await using _ = database;
    await expect(adopt(await find('ua-other'))).rejects.toMatchObject({ code: 'wrong-state' });
    const strange = await find(deviceName(lostId, 1), deps.rng.uuid());
    await expect(adopt(strange)).rejects.toMatchObject({ code: 'instance-not-found' });
  });

  it('is released by order only, told once', async ({ expect }) => {
    const { database, db, find, handlers } = await setUp();
    await using _ = database;
    const id = await find(deviceName(lostId, 1));
    const list = async (host?: string) =>
      (
        await handlers.listUnclaimed(admin, {
          params: {},
          query: host === undefined ? {} : { host },
          body: undefined,
        })
      ).items;
    expect(await list('node-1')).toMatchObject([{ id, ordered: null, host: 'node-1' }]);
    await expect(list('node-2')).rejects.toThrow(/nearest: node-1/);
    const release = () =>
      handlers.releaseUnclaimed(admin, { params: { id }, query: {}, body: undefined });
    expect(await release()).toMatchObject({ ordered: 'release' });
    await release();
    const events = await db
      .selectFrom('event')
      .selectAll()
      .where('kind', '=', 'unclaimed.release-ordered')
      .execute();
    expect(events).toMatchObject([{ user_id: admin.userId }]);
  });
});

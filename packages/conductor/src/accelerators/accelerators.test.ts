import { makeTestClock } from '@cyborg/testing/clock';
import { openTestDatabase } from '@cyborg/testing/database';
import { addAccelerators, addBackend, addHost, addInstance, callerOf } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { makeAttachmentHandlers } from '../attachments/handlers.ts';
import { etagOf } from '../etag.ts';
import { obey } from '../test-agent.ts';
import { brokenInvariants, changesWithoutEvent, startAudit } from '../test-audit.ts';
import { makeTestDeps } from '../test-deps.ts';
import { makeAcceleratorHandlers, type AcceleratorQuery } from './handlers.ts';
import type { AcceleratorEdit } from './update-accelerator.ts';

const admin = callerOf('admin', 'root');
const alpha = callerOf('member', 'alpha');

async function setUp(count = 3) {
  const database = await openTestDatabase();
  const { db } = database;
  const deps = makeTestDeps({ db, clock: makeTestClock() });
  const host = await addHost(db, { name: 'node-1' });
  const backend = await addBackend(db, host);
  const accelerators = await addAccelerators(db, backend, { count });
  const handlers = makeAcceleratorHandlers(deps);
  const attachments = makeAttachmentHandlers(deps);
  const hold = async (index: number, projectId: string): Promise<string> => {
    const instance = await addInstance(db, host, { project_id: projectId });
    await attachments.createAttachments(admin, {
      params: { instance_id: instance.id },
      query: {},
      body: { accelerator: accelerators[index]!.id },
    });
    await obey(deps, host);
    return instance.id;
  };
  const list = async (caller: typeof admin, query: AcceleratorQuery = {}) =>
    (await handlers.listAccelerators(caller, { params: {}, query, body: undefined })).items;
  const edit = (
    caller: typeof admin,
    index: number,
    { ifMatch, ...body }: AcceleratorEdit & { readonly ifMatch?: string },
  ) =>
    handlers.updateAccelerator(caller, {
      params: { id: accelerators[index]!.id },
      query: {},
      body,
      ifMatch,
    });
  return {
    database,
    db,
    deps,
    host,
    backend,
    accelerators,
    handlers,
    attachments,
    hold,
    list,
    edit,
  };
}

describe('accelerators', () => {
  it('are shown to whom they concern, without naming other projects’ instances', async ({
    expect,
  }) => {
    const { database, db, host, accelerators, handlers, hold, list } = await setUp(4);
    await using _ = database;
    const own = await hold(0, 'alpha');
    const foreign = await hold(1, 'beta');
    await db
      .updateTable('accelerator')
      .set({ reserved_for: 'alpha' })
      .where('id', '=', accelerators[2]!.id)
      .execute();
    const ids = async (caller: typeof admin, query?: AcceleratorQuery) =>
      (await list(caller, query)).map(({ id }) => accelerators.findIndex((row) => row.id === id));
    expect(await ids(admin)).toEqual([0, 1, 2, 3]);
    expect(await ids(alpha)).toEqual([0, 2]);
    expect(await ids(callerOf('manager', 'alpha'))).toEqual([0, 2]);
    await db
      .insertInto('access_grant')
      .values({
        id: host.id,
        project_id: 'alpha',
        host_id: host.id,
        created_by: 'x',
        created_at: new Date(),
      })
      .execute();
    const manager = callerOf('manager', 'alpha');
    expect(await ids(manager)).toEqual([0, 1, 2, 3]);
    expect((await list(manager))[0]).toMatchObject({ instance_id: own, project_id: 'alpha' });
    expect((await list(manager))[1]).toMatchObject({
      state: 'attached',
      instance_id: null,
      project_id: null,
    });
    expect(await ids(manager, { instance_id: foreign })).toEqual([]);
    expect(await ids(admin, { instance_id: foreign })).toEqual([1]);
    const show = handlers.showAccelerator(alpha, {
      params: { id: accelerators[1]!.id },
      query: {},
      body: undefined,
    });
    await expect(show).rejects.toMatchObject({ code: 'accelerator-not-found' });
  });

  it('are listed by every filter and in pages', async ({ expect }) => {
    const { database, db, backend, accelerators, handlers, hold, list } = await setUp(3);
    await using _ = database;
    await hold(0, 'alpha');
    await db
      .updateTable('accelerator')
      .set({ traits: '["CUSTOM_X"]' })
      .where('id', '=', accelerators[1]!.id)
      .execute();
    const count = async (query: AcceleratorQuery) => (await list(admin, query)).length;
    expect(await count({ host: 'node-1', backend: 'node-1@virtual', driver_id: 'generic' })).toBe(
      3,
    );
    expect(await count({ backend: backend.id })).toBe(3);
    expect(await count({ state: 'attached', project_id: 'alpha' })).toBe(1);
    expect(await count({ type: 'GPU' })).toBe(0);
    expect(await count({ trait: 'CUSTOM_X' })).toBe(1);
    await expect(list(admin, { host: 'node-2' })).rejects.toMatchObject({
      code: 'host-not-found',
      extra: { nearest: ['node-1'] },
    });
    const page = await handlers.listAccelerators(admin, {
      params: {},
      query: { limit: 2 },
      body: undefined,
    });
    expect(page.items).toHaveLength(2);
    expect(await list(admin, { limit: 2, marker: page.next ?? '' })).toMatchObject([
      { id: accelerators[2]!.id, host: 'node-1', backend: 'virtual', presence: 'present' },
    ]);
    await expect(
      list(admin, { marker: Buffer.from('["x"]').toString('base64url') }),
    ).rejects.toMatchObject({
      code: 'invalid-input',
    });
  });

  it('say why a free one is not given out, as long as its backend is not well', async ({
    expect,
  }) => {
    const { database, db, hold, list } = await setUp(2);
    await using _ = database;
    await hold(0, 'alpha');
    await db.updateTable('backend').set({ state: 'stale' }).execute();
    expect(await list(admin)).toMatchObject([
      { state: 'attached', presence: 'stale', reason: null },
      { state: 'available', presence: 'stale', reason: 'backend virtual is stale' },
    ]);
    await db.updateTable('backend').set({ state: 'failed' }).execute();
    expect((await list(admin))[1]).toMatchObject({
      state: 'available',
      presence: 'present',
      reason: 'backend virtual is failed',
    });
    await db.updateTable('backend').set({ state: 'ready' }).execute();
    expect((await list(admin))[1]).toMatchObject({ state: 'available', reason: null });
  });

  it('are edited by role, and only as they were read', async ({ expect }) => {
    const { database, db, accelerators, hold, edit } = await setUp();
    await using _ = database;
    await hold(0, 'alpha');
    expect(await edit(alpha, 0, { name: 'mine', labels: { a: 'b' } })).toMatchObject({
      name: 'mine',
      labels: { a: 'b' },
    });
    await expect(edit(alpha, 0, { description: 'x' })).rejects.toMatchObject({ code: 'forbidden' });
    await edit(callerOf('manager', 'alpha'), 0, { description: 'x' });
    await expect(
      edit(callerOf('manager', 'alpha'), 0, { state: 'withheld' }),
    ).rejects.toMatchObject({
      code: 'forbidden',
    });
    await expect(edit(alpha, 1, { name: 'x' })).rejects.toMatchObject({
      code: 'accelerator-not-found',
    });
    await db
      .updateTable('accelerator')
      .set({ reserved_for: 'alpha' })
      .where('id', '=', accelerators[1]!.id)
      .execute();
    await expect(edit(alpha, 1, { name: 'x' })).rejects.toMatchObject({ code: 'forbidden' });
    const tag = etagOf(accelerators[2]!);
    await edit(admin, 2, { name: 'first', ifMatch: tag });
    await expect(edit(admin, 2, { name: 'second', ifMatch: tag })).rejects.toMatchObject({
      code: 'stale-edit',
    });
  });

  it('lose what a tenant wrote on them when the tenant lets go, and keep what an admin wrote', async ({
    expect,
  }) => {
    const { database, deps, host, accelerators, attachments, hold, list, edit } = await setUp(1);
    await using _ = database;
    await edit(admin, 0, { description: 'rack 4' });
    const instanceId = await hold(0, 'alpha');
    await edit(alpha, 0, { name: 'secret-plan', labels: { customer: 'acme' } });
    await edit(callerOf('manager', 'alpha'), 0, { description: 'for acme' });
    await edit(admin, 0, { labels: { rack: '5' } });
    expect((await list(admin))[0]).toMatchObject({ name: 'secret-plan', description: 'for acme' });
    await attachments.deleteAttachments(admin, {
      params: { instance_id: instanceId },
      query: {},
      body: undefined,
    });
    await obey(deps, host);
    expect((await list(admin))[0]).toMatchObject({
      state: 'available',
      name: accelerators[0]!.name,
      description: 'rack 4',
      labels: { rack: '5' },
    });
    await hold(0, 'beta');
    expect((await list(callerOf('member', 'beta')))[0]).toMatchObject({
      name: accelerators[0]!.name,
      labels: { rack: '5' },
    });
  });

  it('are offered and withheld by an admin, never against what their host does', async ({
    expect,
  }) => {
    const { database, db, deps, host, accelerators, attachments, hold, edit } = await setUp();
    await using _ = database;
    await startAudit(db);
    expect(await edit(admin, 0, { state: 'withheld', reason: 'noisy' })).toMatchObject({
      state: 'withheld',
      reason: 'operator: noisy',
    });
    expect(await edit(admin, 0, { state: 'available' })).toMatchObject({
      state: 'available',
      reason: null,
    });
    const set = (index: number, changes: object) =>
      db
        .updateTable('accelerator')
        .set(changes)
        .where('id', '=', accelerators[index]!.id)
        .execute();
    await set(1, { host_use: 'boot display' });
    await expect(edit(admin, 1, { state: 'available' })).rejects.toMatchObject({
      code: 'wrong-state',
      message: expect.stringContaining('boot display'),
    });
    await set(1, { host_use: null, obstacle: 'divided into 2 virtual functions' });
    await expect(edit(admin, 1, { state: 'available' })).rejects.toMatchObject({
      code: 'wrong-state',
      message: expect.stringContaining('divided into 2 virtual functions'),
    });
    const instance = await hold(2, 'alpha');
    expect(await edit(admin, 2, { state: 'withheld' })).toMatchObject({ state: 'attached' });
    await attachments.deleteAttachments(admin, {
      params: { instance_id: instance },
      query: {},
      body: undefined,
    });
    await obey(deps, host, (order) => ({
      ...order,
      outcome: order.kind === 'clean' ? 'clean_failed' : 'released',
      message: 'stuck',
      evidence: [],
    }));
    await expect(edit(admin, 2, { state: 'available' })).rejects.toMatchObject({
      code: 'invalid-input',
    });
    expect(await edit(admin, 2, { state: 'available', reason: 'wiped by hand' })).toMatchObject({
      state: 'available',
    });
    expect(await changesWithoutEvent(db)).toEqual([]);
    expect(await brokenInvariants(db)).toEqual([]);
  });

  it('change in nothing when rehearsed', async ({ expect }) => {
    const { database, accelerators, handlers, list } = await setUp(1);
    await using _ = database;
    const view = await handlers.updateAccelerator(admin, {
      params: { id: accelerators[0]!.id },
      query: { dry_run: true },
      body: { name: 'new' },
    });
    expect(view).toMatchObject({
      would_succeed: true,
      changes: [{ change: expect.stringContaining('"new"') }],
    });
    expect((await list(admin))[0]?.name).toBe(accelerators[0]!.name);
  });
});

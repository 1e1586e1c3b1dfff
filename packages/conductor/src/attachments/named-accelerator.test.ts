import { makeTestClock } from '@cyborg/testing/clock';
import { openTestDatabase } from '@cyborg/testing/database';
import { addAccelerators, addBackend, addHost, addInstance, callerOf } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { dispatch, obey } from '../test-agent.ts';
import { makeTestDeps } from '../test-deps.ts';
import { makeAttachmentHandlers } from './handlers.ts';

const admin = callerOf('admin', 'root');
const member = callerOf('member', 'alpha');

async function setUp() {
  const database = await openTestDatabase();
  const { db } = database;
  const deps = makeTestDeps({ db, clock: makeTestClock() });
  const host = await addHost(db, { name: 'node-1' });
  const backend = await addBackend(db, host);
  const [near] = await addAccelerators(db, backend, { count: 1, name: 'crypto-0' });
  const other = await addHost(db, { name: 'node-2' });
  const otherBackend = await addBackend(db, other);
  await addAccelerators(db, otherBackend, { count: 1, name: 'crypto-0' });
  await addAccelerators(db, otherBackend, { count: 1, name: 'far-away' });
  const instance = await addInstance(db, host, { name: 'guest' });
  const handlers = makeAttachmentHandlers(deps);
  const params = { instance_id: instance.id };
  const attach = (accelerator: string, caller = member) =>
    handlers.createAttachments(caller, { params, query: {}, body: { accelerator } });
  const detach = (accelerator: string, caller = member) =>
    handlers.deleteAttachments(caller, { params, query: { accelerator }, body: undefined });
  const settle = async () => {
    await dispatch(deps);
    await obey(deps, host);
  };
  if (near === undefined) throw new Error('An accelerator was made.');
  return { database, db, backend, near, attach, detach, settle };
}

describe('an accelerator by name', () => {
  it("is the one on the instance's host, for a tenant who cannot list it", async ({ expect }) => {
    const { database, near, attach, detach, settle } = await setUp();
    await using _ = database;
    expect(await attach('crypto-0')).toMatchObject({ subject: { accelerator_ids: [near.id] } });
    await settle();
    expect(await detach('crypto-0')).toMatchObject({
      kind: 'detach-instance',
      subject: { accelerator_ids: [near.id] },
    });
  });

  it('may be an id in capitals', async ({ expect }) => {
    const { database, near, attach } = await setUp();
    await using _ = database;
    expect(await attach(near.id.toUpperCase())).toMatchObject({
      subject: { accelerator_ids: [near.id] },
    });
  });

  it('on another host is refused, naming the host to those who may see it', async ({ expect }) => {
    const { database, attach } = await setUp();
    await using _ = database;
    await expect(attach('far-away', admin)).rejects.toMatchObject({
      code: 'accelerator-not-found',
      message:
        'Accelerator "far-away" is on host node-2, and instance guest on host node-1; there is crypto-0.',
    });
    await expect(attach('far-away')).rejects.toMatchObject({
      code: 'accelerator-not-found',
      message: expect.not.stringContaining('node-2'),
    });
    await expect(attach('crypt-0')).rejects.toMatchObject({ extra: { nearest: ['crypto-0'] } });
  });

  it('that several have there is a choice, with their ids', async ({ expect }) => {
    const { database, db, backend, near, attach } = await setUp();
    await using _ = database;
    const [twin] = await addAccelerators(db, backend, { count: 1, name: 'crypto-0' });
    await expect(attach('crypto-0')).rejects.toMatchObject({
      code: 'choice-needed',
      message: expect.stringContaining(twin?.id ?? 'none'),
      extra: {
        choices: expect.arrayContaining([
          { backend: 'node-1@virtual', accelerators: [{ id: near.id, name: 'crypto-0' }] },
        ]),
      },
    });
  });

  it('is the one that is there, beside one that was in its place before', async ({ expect }) => {
    const { database, db, backend, near, attach } = await setUp();
    await using _ = database;
    const [twin] = await addAccelerators(db, backend, { count: 1, name: 'crypto-0' });
    const leave = async (id: string): Promise<unknown> =>
      await db
        .updateTable('accelerator')
        .set({ presence: 'absent' })
        .where('id', '=', id)
        .execute();
    await leave(near.id);
    expect(await attach('crypto-0')).toMatchObject({ subject: { accelerator_ids: [twin?.id] } });
    await leave(twin?.id ?? 'none');
    await expect(attach('crypto-0')).rejects.toMatchObject({ code: 'choice-needed' });
  });

  it('that the instance does not hold is refused, telling what it holds', async ({ expect }) => {
    const { database, attach, detach, settle } = await setUp();
    await using _ = database;
    await expect(detach('crypto-0')).rejects.toMatchObject({
      code: 'attachment-not-found',
      message: 'Instance guest does not hold accelerator "crypto-0"; it holds no accelerators.',
    });
    await attach('crypto-0');
    await settle();
    await expect(detach('nothing')).rejects.toMatchObject({
      code: 'accelerator-not-found',
      message: 'There is no accelerator "nothing"; instance guest holds crypto-0.',
    });
  });
});

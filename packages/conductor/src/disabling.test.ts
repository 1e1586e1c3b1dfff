import { makeTestClock } from '@cyborg/testing/clock';
import { openTestDatabase } from '@cyborg/testing/database';
import { addAccelerators, addBackend, addHost, callerOf } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { makeBackendHandlers } from './backends/handlers.ts';
import { makeHostHandlers } from './hosts/handlers.ts';
import { makeServiceHandlers } from './services/handlers.ts';
import { makeTestDeps } from './test-deps.ts';

const admin = callerOf('admin', 'ops');

async function setUp() {
  const database = await openTestDatabase();
  const { db } = database;
  const deps = makeTestDeps({ db, clock: makeTestClock() });
  const host = await addHost(db, { name: 'h' });
  const backend = await addBackend(db, host);
  const instance_id = crypto.randomUUID();
  const held = { state: 'attached' as const, instance_id, project_id: 'beta' };
  await addAccelerators(db, backend, { count: 1, ...held, attachment_id: crypto.randomUUID() });
  await addAccelerators(db, backend, { count: 1, type: 'ENTROPY' });
  const serviceOf = async (name: string): Promise<string> => {
    const id = crypto.randomUUID();
    const place = { host_id: host.id, backend_id: backend.id };
    const facts = { kind: 'function', state: 'up', created_at: deps.clock.now() } as const;
    await db
      .insertInto('service')
      .values({ id, name, ...place, ...facts })
      .execute();
    return id;
  };
  const [crypto1, random] = [
    await serviceOf('crypto.symmetric'),
    await serviceOf('random.entropy'),
  ];
  const [hosts, backends, services] = [
    makeHostHandlers(deps),
    makeBackendHandlers(deps),
    makeServiceHandlers(deps),
  ];
  type Query = { readonly force?: boolean; readonly dry_run?: boolean };
  const body = { status: 'disabled' as const };
  const disable = {
    host: (query: Query = {}) => hosts.updateHost(admin, { params: { host: 'h' }, query, body }),
    backend: (query: Query = {}) =>
      backends.updateBackend(admin, { params: { backend: 'h@virtual' }, query, body }),
    service: (query: Query = {}, id = crypto1) =>
      services.updateService(admin, { params: { id }, query, body }),
  };
  return { database, db, disable, random, instance_id };
}

describe('disabling what is in use (promise 6)', () => {
  it.for(['host', 'backend', 'service'] as const)(
    'of a %s is refused with the users, unless forced; then nothing is detached, and an event says who',
    async (noun, { expect }) => {
      const { database, db, disable, instance_id } = await setUp();
      await using _ = database;
      await expect(disable[noun]()).rejects.toMatchObject({
        code: 'in-use',
        extra: { users: [{ instance_id, project_id: 'beta' }] },
      });
      await expect(disable[noun]()).rejects.toThrow(/^Cannot disable (host|backend|service) /);
      expect(await disable[noun]({ dry_run: true })).toMatchObject({
        would_succeed: false,
        refusal: { code: 'in-use' },
      });
      expect(await disable[noun]({ force: true })).toMatchObject({ status: 'disabled' });
      const [event] = await db
        .selectFrom('event')
        .select(['user_id', 'data'])
        .where('kind', '=', `${noun}.disabled`)
        .execute();
      expect(event).toMatchObject({
        user_id: admin.userId,
        data: { forced: true, kept: [{ instance_id }] },
      });
      const held = db
        .selectFrom('accelerator')
        .select('state')
        .where('instance_id', '=', instance_id);
      expect(await held.execute()).toEqual([{ state: 'attached' }]);
      // Once more changes nothing, so there is nothing to force.
      expect(await disable[noun]()).toMatchObject({ status: 'disabled' });
    },
  );

  it('of a service asks about its own accelerators alone', async ({ expect }) => {
    const { database, disable, random } = await setUp();
    await using _ = database;
    expect(await disable.service({}, random)).toMatchObject({ status: 'disabled' });
  });
});

import { toJson } from '@cyborg/store/json';
import { systemClock } from '@cyborg/service/clock';
import { carriedOut } from '@cyborg/testing/carried-out';
import { openTestDatabase } from '@cyborg/testing/database';
import {
  addAccelerators,
  addBackend,
  addHost,
  addInstance,
  callerOf,
  fleetMadeAt,
} from '@cyborg/testing/fleet';
import { sql } from 'kysely';
import { describe, it } from 'vitest';

import { bind, make, openBench as openNovaBench } from '../../test/requests.ts';
import { makeAuthenticator } from '../agents/credentials.ts';
import { makeAgentHandlers } from '../agents/handlers.ts';
import { makeAttachmentHandlers } from '../attachments/handlers.ts';
import type { Db } from '../deps.ts';
import { etagOfView } from '../etag.ts';
import { changesWithoutEvent, startAudit } from '../test-audit.ts';
import { obey } from '../test-agent.ts';
import { makeTestDeps } from '../test-deps.ts';
import type { DeleteHostInput } from './delete-host.ts';
import { makeHostHandlers } from './handlers.ts';

const admin = callerOf('admin', 'ops');
const member = callerOf('member', 'alpha');
const nothing = { params: {}, query: {} };

/** Two hosts with accelerators and an instance each; those of `node-1` are what the tests are about. */
async function setUp() {
  const database = await openTestDatabase();
  const { db } = database;
  await startAudit(db);
  const host = await addHost(db, { name: 'node-1' });
  const other = await addHost(db, { name: 'node-2' });
  const backend = await addBackend(db, host);
  const otherBackend = await addBackend(db, other);
  const accelerators = await addAccelerators(db, backend, { count: 2 });
  await addAccelerators(db, otherBackend, { count: 1 });
  const instance = await addInstance(db, host);
  await addInstance(db, other);
  const deps = makeTestDeps({ db, clock: systemClock });
  const attachments = makeAttachmentHandlers(deps);
  const at = { params: { instance_id: instance.id } };
  return {
    ...parts(db, deps),
    deps,
    host,
    other,
    otherBackend,
    accelerators,
    instance,
    attach: async () =>
      carriedOut(await attachments.createAttachments(member, { ...at, query: {}, body: {} })),
    giveUp: async () =>
      carriedOut(
        await attachments.deleteAttachments(admin, {
          ...at,
          query: { force: true },
          body: undefined,
        }),
      ),
    [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
  };
}

function parts(db: Db, deps: ReturnType<typeof makeTestDeps>) {
  const hosts = makeHostHandlers(deps);
  return {
    db,
    hosts,
    remove: (query: DeleteHostInput['query'] = {}, ifMatch?: string) =>
      hosts.deleteHost(admin, { params: { host: 'node-1' }, query, body: undefined, ifMatch }),
    /** Its agent was stopped. */
    stop: (hostId: string) =>
      db
        .updateTable('host')
        .set({ agent_instance: null, lease_expires_at: null })
        .where('id', '=', hostId)
        .execute(),
    eventsOf: async (kind: string) => {
      const rows = await db.selectFrom('event').selectAll().where('kind', '=', kind).execute();
      return rows.map(({ subject_id, host_id, user_id, data }) => ({
        subject_id,
        host_id,
        user_id,
        data,
      }));
    },
    hostNames: async () => {
      const rows = await db.selectFrom('host').select('name').orderBy('name').execute();
      return rows.map(({ name }) => name);
    },
  };
}

/** Tables that have rows of the host, without those that tell of the past. */
async function tablesWith(db: Db, hostId: string): Promise<string[]> {
  const { rows } = await sql<{ table_name: string }>`
    select table_name from information_schema.columns
    where table_schema = current_schema() and column_name = 'host_id'
      and table_name not in ('event', 'operation', 'kept_event') order by table_name`.execute(db);
  const found: string[] = [];
  for (const { table_name: table } of rows) {
    const { rows: own } = await sql`
      select 1 from ${sql.table(table)} where host_id = ${hostId}::uuid limit 1`.execute(db);
    if (own.length > 0) found.push(table);
  }
  return found;
}

describe('host-delete', () => {
  it('is refused while the agent holds its lease, and goes once that is revoked', async ({
    expect,
  }) => {
    await using bench = await setUp();
    await expect(bench.remove()).rejects.toMatchObject({
      code: 'wrong-state',
      message: expect.stringMatching(/node-1 is up.*host-revoke node-1/s),
    });
    expect(await bench.remove({ dry_run: true })).toMatchObject({
      would_succeed: false,
      refusal: { code: 'wrong-state' },
    });
    const at = { params: { host: 'node-1' }, query: {}, body: undefined };
    carriedOut(await bench.hosts.revokeHost(admin, at));
    expect(await bench.remove()).toBeNull();
    expect(await bench.hostNames()).toEqual(['node-2']);
  });

  it('takes what the host had, leaves what others have, and tells the numbers', async ({
    expect,
  }) => {
    await using bench = await setUp();
    const { db, host, other, instance } = bench;
    await bench.stop(host.id);
    const made = { id: crypto.randomUUID(), created_at: fleetMadeAt };
    await db
      .insertInto('unclaimed')
      .values({
        ...made,
        host_id: host.id,
        instance_id: instance.id,
        device_name: 'x',
        first_seen_at: fleetMadeAt,
      })
      .execute();
    await db
      .insertInto('access_grant')
      .values({ ...made, project_id: 'alpha', host_id: host.id, created_by: 'ops' })
      .execute();
    const before = await tablesWith(db, other.id);
    const rehearsed = await bench.remove({ dry_run: true });
    expect(rehearsed).toMatchObject({ would_succeed: true });
    expect(JSON.stringify(rehearsed)).toContain(
      '1 installation, 1 backend, 2 devices, 2 deployables, 2 accelerators, 1 instance, 1 unclaimed, 1 grant',
    );
    expect(await bench.hostNames()).toEqual(['node-1', 'node-2']);
    expect(await tablesWith(db, host.id)).toContain('accelerator');

    expect(await bench.remove()).toBeNull();
    expect(await tablesWith(db, host.id)).toEqual([]);
    expect(await tablesWith(db, other.id)).toEqual(before);
    expect(await bench.eventsOf('host.deleted')).toEqual([
      {
        subject_id: host.id,
        host_id: host.id,
        user_id: admin.userId,
        data: {
          name: 'node-1',
          reason: null,
          unclean: 0,
          went: {
            installations: 1,
            backends: 1,
            services: 0,
            devices: 2,
            deployables: 2,
            accelerators: 2,
            instances: 1,
            unclaimed: 1,
            grants: 1,
            join_tokens: 0,
          },
        },
      },
    ]);
    await expect(bench.remove()).rejects.toMatchObject({ code: 'host-not-found' });
  });

  it('is refused for an old version of the host', async ({ expect }) => {
    await using bench = await setUp();
    await bench.stop(bench.host.id);
    const at = { params: { host: 'node-1' }, query: {}, body: undefined };
    const etag = etagOfView(await bench.hosts.showHost(admin, at));
    const body = { labels: { rack: 'r1' } };
    await bench.hosts.updateHost(admin, { ...at, body });
    await expect(bench.remove({}, etag)).rejects.toMatchObject({ code: 'stale-edit' });
    expect(await bench.remove({}, etagOfView(await bench.hosts.showHost(admin, at)))).toBeNull();
  });
});

describe('what is held', () => {
  it.for(['reserved', 'attached', 'orphaned', 'updating'] as const)(
    'stands in the way while it is %s, with who holds it',
    async (state, { expect }) => {
      await using bench = await setUp();
      const { db, deps, host, instance } = bench;
      await bench.attach();
      if (state !== 'reserved') await obey(deps, host);
      if (state === 'orphaned' || state === 'updating') {
        await db
          .updateTable('accelerator')
          .set({ state })
          .where('state', '=', 'attached')
          .execute();
      }
      await bench.stop(host.id);
      const held = await db
        .selectFrom('accelerator')
        .selectAll()
        .where('attachment_id', 'is not', null)
        .executeTakeFirstOrThrow();
      await expect(bench.remove({ reason: 'scrapped' })).rejects.toMatchObject({
        code: 'in-use',
        message: expect.stringMatching(
          new RegExp(
            `${held.name} on node-1 \\(${state} by instance ${instance.id}\\).*--force`,
            's',
          ),
        ),
        extra: {
          users: [
            {
              accelerator_id: held.id,
              attachment_id: held.attachment_id,
              instance_id: instance.id,
              project_id: 'alpha',
            },
          ],
        },
      });
      expect(await bench.hostNames()).toContain('node-1');
    },
  );

  it('by Nova is Nova’s to give back', async ({ expect }) => {
    await using bench = await openNovaBench(1);
    const { remove, stop } = parts(bench.db, bench.deps);
    await bind(bench, await make(bench));
    await stop(bench.host.id);
    await expect(remove()).rejects.toMatchObject({
      code: 'in-use',
      message: expect.stringContaining('with the Compute API'),
    });
  });

  it('on another host by an instance that is still listed here is not torn from it', async ({
    expect,
  }) => {
    await using bench = await setUp();
    const { db, host, other, instance } = bench;
    const at = await db
      .selectFrom('instance')
      .select('id')
      .where('host_id', '=', other.id)
      .executeTakeFirstOrThrow();
    await db
      .updateTable('accelerator')
      .set({ state: 'attached', instance_id: instance.id })
      .where('host_id', '=', other.id)
      .execute();
    await bench.stop(host.id);
    await expect(bench.remove()).rejects.toMatchObject({
      code: 'in-use',
      message: expect.stringContaining('on node-2'),
    });
    await db.updateTable('accelerator').set({ instance_id: at.id }).execute();
    await db.updateTable('accelerator').set({ state: 'available' }).execute();
    expect(await bench.remove()).toBeNull();
  });
});

describe('what is not clean', () => {
  it('stands in the way until somebody says why not, which is kept; who waited for it is told', async ({
    expect,
  }) => {
    await using bench = await setUp();
    const { db, deps, host, accelerators } = bench;
    await bench.attach();
    await obey(deps, host);
    await bench.stop(host.id);
    const attachment = await db.selectFrom('attachment').select('id').executeTakeFirstOrThrow();
    const operation = await bench.giveUp();
    const dirty = await db
      .selectFrom('accelerator')
      .selectAll()
      .where('state', '=', 'cleaning')
      .executeTakeFirstOrThrow();
    // Another one, whose cleaning has failed, and one of which an operation waits to hear that it is clean.
    const failed = accelerators.find(({ id }) => id !== dirty.id);
    await db
      .updateTable('accelerator')
      .set({ state: 'cleaning_failed', reason: 'no reset' })
      .where('id', '=', failed?.id ?? '')
      .execute();
    await sql`update operation set state = 'running', finished_at = null, progress_done = 0,
      results = jsonb_set(results, '{0,outcome}', '"pending"') where id = ${operation.id}`.execute(
      db,
    );
    await db
      .updateTable('accelerator')
      .set({ operation_id: operation.id })
      .where('id', '=', dirty.id)
      .execute();
    const refused = { code: 'wrong-state', message: expect.stringContaining('--reason') };
    await expect(bench.remove()).rejects.toMatchObject(refused);
    await expect(bench.remove()).rejects.toMatchObject({
      message: expect.stringContaining(`${dirty.name} (cleaning)`),
    });
    expect(await bench.remove({ dry_run: true, reason: 'scrapped' })).toMatchObject({
      would_succeed: true,
      changes: expect.arrayContaining([
        expect.objectContaining({ change: `${dirty.name} goes although it is cleaning` }),
      ]),
    });

    expect(await bench.remove({ reason: 'scrapped' })).toBeNull();
    const told = await bench.eventsOf('accelerator.deleted');
    expect(told.map(({ subject_id }) => subject_id).toSorted()).toEqual(
      accelerators.map(({ id }) => id).toSorted(),
    );
    expect(told.find(({ subject_id }) => subject_id === failed?.id)).toMatchObject({
      user_id: admin.userId,
      data: { state_before: 'cleaning_failed', why_unclean: 'no reset', reason: 'scrapped' },
    });
    expect(await bench.eventsOf('host.deleted')).toMatchObject([
      { data: { reason: 'scrapped', unclean: 2 } },
    ]);
    const ended = await db
      .selectFrom('operation')
      .selectAll()
      .where('id', '=', operation.id)
      .executeTakeFirstOrThrow();
    expect(ended).toMatchObject({
      state: 'succeeded',
      results: [{ message: expect.stringContaining('host node-1 was deleted: scrapped') }],
    });
    expect(await changesWithoutEvent(db)).not.toContainEqual(
      expect.objectContaining({ id: dirty.id, state: 'cleaning_failed' }),
    );
    // The past is still there.
    expect(
      await db
        .selectFrom('attachment')
        .select('state')
        .where('id', '=', attachment.id)
        .executeTakeFirst(),
    ).toEqual({ state: 'released' });
    const kinds = (await bench.eventsOf('attachment.attached')).map(({ data }) => data);
    expect(kinds).toMatchObject([{ accelerator_id: dirty.id }]);
  });
});

describe('a deployment', () => {
  it('loses the name of the host, and goes when it was for that one alone', async ({ expect }) => {
    await using bench = await setUp();
    const { db, host, other } = bench;
    await addBackend(db, other, { driver_id: 'acme', name: 'cards' });
    const deploy = async (driverId: string, selectors: readonly object[]): Promise<void> => {
      const id = crypto.randomUUID();
      const at = { created_at: fleetMadeAt };
      await db
        .insertInto('deployment')
        .values({ id, driver_id: driverId, version: '1.0.0', ...at })
        .execute();
      for (const [index, selector] of selectors.entries()) {
        const rule = { name: `b${index}`, kind: 'virtual', config: toJson({}) };
        await db
          .insertInto('deployment_backend')
          .values({
            id: crypto.randomUUID(),
            deployment_id: id,
            ...rule,
            selector: toJson(selector),
            ...at,
          })
          .execute();
      }
    };
    await deploy('generic', [
      { kind: 'hosts', host_ids: [host.id, other.id] },
      { kind: 'hosts', host_ids: [host.id] },
      { kind: 'all', except_host_ids: [host.id] },
      { kind: 'labels', labels: { rack: 'r1' } },
    ]);
    await deploy('acme', [{ kind: 'hosts', host_ids: [host.id] }]);
    await bench.stop(host.id);
    expect(await bench.remove({ dry_run: true })).toMatchObject({
      changes: expect.arrayContaining([
        expect.objectContaining({ subject_id: 'acme' }),
        expect.objectContaining({ change: 'backend b0 does not name node-1 any more' }),
      ]),
    });
    expect(await bench.remove()).toBeNull();
    const left = await db
      .selectFrom('deployment_backend')
      .select(['name', 'selector'])
      .orderBy('name')
      .execute();
    expect(left).toEqual([
      { name: 'b0', selector: { kind: 'hosts', host_ids: [other.id] } },
      { name: 'b2', selector: { kind: 'all' } },
      { name: 'b3', selector: { kind: 'labels', labels: { rack: 'r1' } } },
    ]);
    const deployments = await db
      .selectFrom('deployment')
      .select(['driver_id', 'generation'])
      .execute();
    expect(deployments).toEqual([{ driver_id: 'generic', generation: 2 }]);
    const told = await bench.eventsOf('driver.uninstalled');
    expect(told.map(({ subject_id, data }) => [subject_id, data['backends']])).toEqual([
      ['acme', ['b0']],
      ['generic', ['b0', 'b1']],
    ]);
  });
});

describe('an agent of a host that was deleted', () => {
  it('is as unknown as a revoked one, and joins anew under the same name', async ({ expect }) => {
    await using database = await openTestDatabase();
    const deps = makeTestDeps({ db: database.db, clock: systemClock });
    const bench = parts(database.db, deps);
    const agents = makeAgentHandlers(deps);
    const token = async (): Promise<string> => {
      const body = { host: 'node-1' };
      return carriedOut(await bench.hosts.createJoinToken(admin, { ...nothing, body })).token;
    };
    const join = (joinToken: string) =>
      agents.enroll(null, {
        ...nothing,
        body: {
          token: joinToken,
          host: { name: 'node-1', node_name: 'node-1' },
          instance: crypto.randomUUID(),
          version: '0.1.0',
          facts: {},
        },
      });
    const first = await join(await token());
    const at = { params: { host: 'node-1' }, query: {}, body: undefined };
    const reenrol = carriedOut(await bench.hosts.reenrollHost(admin, at)).token;
    const second = await join(reenrol);
    const open = carriedOut(await bench.hosts.reenrollHost(admin, at)).token;
    const third = await join(open);
    const unused = carriedOut(await bench.hosts.reenrollHost(admin, at)).token;
    await database.db
      .updateTable('host')
      .set({ revoked_at: null, lease_expires_at: null })
      .execute();
    expect(await bench.remove()).toBeNull();
    expect(await bench.eventsOf('host.deleted')).toMatchObject([
      { data: { went: { join_tokens: 1 } } },
    ]);

    const authenticator = makeAuthenticator(deps);
    for (const { credential } of [first, second, third]) {
      expect(await authenticator.authenticateAgent(credential)).toBeUndefined();
    }
    const lease = {
      instance: crypto.randomUUID(),
      version: '0.1.0',
      ledger: deps.ledger,
      facts: {},
      hypervisors: [],
      leaving: false,
    };
    // A replica that has not forgotten the credential yet.
    const old = { id: third.host_id, name: 'node-1' };
    await expect(agents.renewLease(old, { ...nothing, body: lease })).rejects.toMatchObject({
      code: 'not-authenticated',
    });
    await expect(join(unused)).rejects.toMatchObject({ code: 'enrolment-refused' });

    const anew = await join(await token());
    expect(anew.host_id).not.toBe(third.host_id);
    expect(await authenticator.authenticateAgent(anew.credential)).toMatchObject({
      id: anew.host_id,
    });
    expect(await bench.hostNames()).toEqual(['node-1']);
  });
});

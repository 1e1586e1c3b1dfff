import { carriedOut } from '@cyborg/testing/carried-out';
import { createHash } from 'node:crypto';

import { makeTestClock, type TestClock } from '@cyborg/testing/clock';
import { openTestDatabase, type TestDatabase } from '@cyborg/testing/database';
import { addAccelerators, addBackend, addHost, addInstance, callerOf } from '@cyborg/testing/fleet';
import { systemClock } from '@cyborg/service/clock';
import { describe, it } from 'vitest';

import type { ConductorDeps } from '../deps.ts';
import { makeHostHandlers } from '../hosts/handlers.ts';
import { makeTestDeps } from '../test-deps.ts';
import { makeAuthenticator } from './credentials.ts';
import { makeAgentHandlers, type AgentHandlers } from './handlers.ts';
import { markHostsDown } from './lease.ts';
import type { ReportBody } from './report.ts';

const admin = callerOf('admin', 'ops');
const uuid = (): string => crypto.randomUUID();
const nothing = { params: {}, query: {} };

interface Bench extends AsyncDisposable {
  readonly database: TestDatabase;
  readonly clock: TestClock;
  readonly deps: ConductorDeps;
  readonly agents: AgentHandlers;
  token(host?: string): Promise<string>;
  join(name: string): Promise<{ id: string; name: string; credential: string }>;
  /** Holds the lease of a host of the fixture. */
  renew(host: { id: string; name: string }, instance: string): Promise<unknown>;
}

async function openBench(): Promise<Bench> {
  const database = await openTestDatabase();
  const clock = makeTestClock();
  // Timers of the process, wall clock of the test.
  const deps = makeTestDeps({
    db: database.db,
    clock: { ...systemClock, now: () => clock.now() },
  });
  const agents = makeAgentHandlers(deps);
  const hosts = makeHostHandlers(deps);
  return {
    database,
    clock,
    deps,
    agents,
    async token(host) {
      const body = host === undefined ? {} : { host };
      return carriedOut(await hosts.createJoinToken(admin, { ...nothing, body })).token;
    },
    async join(name) {
      const made = await hosts.createJoinToken(admin, { ...nothing, body: {} });
      const { token } = carriedOut(made);
      const answer = await agents.enroll(null, { ...nothing, body: enrolment(token, name) });
      return { id: answer.host_id, name, credential: answer.credential };
    },
    renew: (host, instance) => agents.renewLease(host, { ...nothing, body: lease(deps, instance) }),
    [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
  };
}

function enrolment(token: string, name: string): Parameters<AgentHandlers['enroll']>[1]['body'] {
  return {
    token,
    host: { name, node_name: name },
    instance: uuid(),
    version: '0.1.0',
    facts: { kernel: '6.1' },
  };
}

function lease(
  deps: ConductorDeps,
  instance: string,
): Parameters<AgentHandlers['renewLease']>[1]['body'] {
  return {
    instance,
    version: '0.1.0',
    ledger: deps.ledger,
    facts: {},
    hypervisors: [{ hypervisor: 'qemu', healthy: true, reason: null, plugs: ['virtio-rng'] }],
    leaving: false,
  };
}

function report(
  deps: ConductorDeps,
  instance: string,
  parts: Partial<ReportBody> = {},
): { params: object; query: object; body: ReportBody } {
  return {
    ...nothing,
    body: {
      instance,
      ledger: deps.ledger,
      outcomes: [],
      installations: [],
      backends: [],
      listings: [],
      observations: [],
      unclaimed: null,
      ...parts,
    },
  };
}

function listing(
  instances: readonly { id: string; name?: string; project_id?: string | null }[],
): ReportBody['listings'][number] {
  return {
    hypervisor: 'qemu',
    instances: instances.map(({ id, name = 'guest', project_id = null }) => ({
      id,
      name,
      project_id,
      state: 'ACTIVE',
      plugs: ['virtio-rng'],
    })),
    unknown_ids: [],
    unknown_count: 0,
  };
}

describe('enrolment', () => {
  it('gives a credential for a token, once, and knows the host by it', async ({ expect }) => {
    await using bench = await openBench();
    const token = await bench.token();
    const enrolled = await bench.agents.enroll(null, { ...nothing, body: enrolment(token, 'h1') });
    const authenticator = makeAuthenticator(bench.deps);

    expect(await authenticator.authenticateAgent(enrolled.credential)).toEqual({
      id: enrolled.host_id,
      name: 'h1',
    });
    expect(await authenticator.authenticateAgent('x')).toBeUndefined();
    await bench.renew({ id: enrolled.host_id, name: 'h1' }, uuid());
    bench.clock.jumpWallClock(1000);
    await expect(
      bench.agents.enroll(null, { ...nothing, body: enrolment(token, 'h2') }),
    ).rejects.toMatchObject({ code: 'enrolment-refused' });
    await expect(
      bench.agents.enroll(null, { ...nothing, body: enrolment(token, 'h1') }),
    ).rejects.toThrow(/was used/);
    const kept = await bench.database.db.selectFrom('join_token').selectAll().execute();
    expect(JSON.stringify(kept)).not.toContain(token);
    const host = await bench.database.db.selectFrom('host').selectAll().executeTakeFirstOrThrow();
    expect(host.credential_hash).toBe(
      createHash('sha256').update(enrolled.credential).digest('hex'),
    );
  });

  it('answers again when the first answer was lost', async ({ expect }) => {
    await using bench = await openBench();
    const token = await bench.token();
    const body = enrolment(token, 'h1');
    const lost = await bench.agents.enroll(null, { ...nothing, body });
    const again = await bench.agents.enroll(null, { ...nothing, body });
    expect(again.host_id).toBe(lost.host_id);
    expect(again.credential).not.toBe(lost.credential);
  });

  it('refuses a token that has expired or is for another host', async ({ expect }) => {
    await using bench = await openBench();
    const bound = await bench.token('h1');
    await expect(
      bench.agents.enroll(null, { ...nothing, body: enrolment(bound, 'h2') }),
    ).rejects.toThrow(/is for host h1/);
    bench.clock.jumpWallClock(3_600_001);
    await expect(
      bench.agents.enroll(null, { ...nothing, body: enrolment(bound, 'h1') }),
    ).rejects.toThrow(/expired/);
  });

  it('needs host-reenroll for a known host, which revokes the old credential alone', async ({
    expect,
  }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    const host = await bench.join('h1');
    const backend = await addBackend(db, host);
    const [accelerator] = await addAccelerators(db, backend, { count: 1, state: 'attached' });
    await expect(bench.join('h1')).rejects.toThrow(/host-reenroll h1/);

    const hosts = makeHostHandlers(bench.deps);
    const made = await hosts.reenrollHost(admin, {
      ...nothing,
      params: { host: 'h1' },
      body: undefined,
    });
    const { token } = carriedOut(made);
    const atOnce = makeAuthenticator(bench.deps);
    expect(await atOnce.authenticateAgent(host.credential)).toBeUndefined();
    const again = await bench.agents.enroll(null, { ...nothing, body: enrolment(token, 'h1') });

    const authenticator = makeAuthenticator(bench.deps);
    expect(again.host_id).toBe(host.id);
    expect(await authenticator.authenticateAgent(host.credential)).toBeUndefined();
    expect(await authenticator.authenticateAgent(again.credential)).toBeDefined();
    const kept = await db
      .selectFrom('accelerator')
      .selectAll()
      .where('id', '=', accelerator?.id ?? '')
      .executeTakeFirst();
    expect(kept).toEqual(accelerator);
  });
});

describe('leases', () => {
  it('are held by one agent at a time, until they end', async ({ expect }) => {
    await using bench = await openBench();
    const host = await bench.join('h1');
    const [first, second] = [uuid(), uuid()];
    await bench.renew(host, first);
    await expect(bench.renew(host, second)).rejects.toMatchObject({
      code: 'agent-already-running',
    });
    await expect(bench.agents.report(host, report(bench.deps, second))).rejects.toMatchObject({
      code: 'agent-already-running',
    });
    const told = await bench.database.db
      .selectFrom('event')
      .select('data')
      .where('kind', '=', 'host.second-agent')
      .execute();
    expect(told).toMatchObject([{ data: { agent_instance: second } }]);
    bench.clock.jumpWallClock(15_001);
    await bench.renew(host, second);
    await expect(bench.renew(host, first)).rejects.toMatchObject({ code: 'agent-already-running' });
  });

  it('of two agents that come at once exactly one gets', async ({ expect }) => {
    await using bench = await openBench();
    const host = await bench.join('h1');
    const outcomes = await Promise.allSettled([
      bench.renew(host, uuid()),
      bench.renew(host, uuid()),
    ]);
    expect(outcomes.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
  });

  it('of many hosts that renew within a moment are one statement', async ({ expect }) => {
    await using bench = await openBench();
    const hosts = [];
    for (let index = 0; index < 8; index++) hosts.push(await bench.join(`h${index}`));
    await Promise.all(hosts.map((host) => bench.renew(host, uuid())));
    expect(await writersOf(bench)).toBe(1);
    const { rows } = await bench.database.pool.query(
      'select count(*) from host where agent_instance is not null',
    );
    expect(rows[0].count).toBe(8);
  });

  it('that run out are told once, and end at once when the agent leaves', async ({ expect }) => {
    await using bench = await openBench();
    const host = await bench.join('h1');
    const instance = uuid();
    await bench.renew(host, instance);
    bench.clock.jumpWallClock(15_001);
    expect(await markHostsDown(bench.deps)).toBe(1);
    expect(await markHostsDown(bench.deps)).toBe(0);
    await bench.renew(host, instance);
    await bench.agents.renewLease(host, {
      ...nothing,
      body: { ...lease(bench.deps, instance), leaving: true },
    });
    const kinds = await bench.database.db
      .selectFrom('event')
      .select('kind')
      .where('kind', 'in', ['host.up', 'host.down'])
      .orderBy('id')
      .execute();
    expect(kinds.map(({ kind }) => kind)).toEqual(['host.up', 'host.down', 'host.up', 'host.down']);
  });
});

/** Transactions that the rows of all hosts come from. */
async function writersOf({ database }: Bench): Promise<number> {
  const { rows } = await database.pool.query(`select count(distinct xmin::text) from host`);
  return rows[0].count;
}

describe('ledgers (promise 4)', () => {
  it('refuse an agent of another ledger in every call', async ({ expect }) => {
    await using bench = await openBench();
    const host = await addHost(bench.database.db);
    const instance = host.agent_instance ?? '';
    const ledger = { id: uuid(), incarnation: 1 };
    const calls = [
      () =>
        bench.agents.renewLease(host, {
          ...nothing,
          body: { ...lease(bench.deps, instance), ledger },
        }),
      () => bench.agents.report(host, report(bench.deps, instance, { ledger })),
      () =>
        bench.agents.offerInventories(host, {
          ...nothing,
          body: { instance, ledger, backends: [] },
        }),
      () =>
        bench.agents.putInventory(host, {
          query: {},
          params: { backend_id: uuid() },
          body: { instance, ledger, hash: 'h', generation: 1, devices: [], services: [] },
        }),
    ];
    for (const call of calls) {
      await expect(Promise.resolve().then<unknown>(call)).rejects.toMatchObject({
        code: 'wrong-ledger',
      });
    }
  });

  it('of an older incarnation than the agent has seen are refused; a newer one is told by the lease', async ({
    expect,
  }) => {
    await using bench = await openBench();
    const host = await addHost(bench.database.db);
    const instance = host.agent_instance ?? '';
    const seen = { id: bench.deps.ledger.id, incarnation: 2 };
    const body = { ...lease(bench.deps, instance), ledger: seen };
    await expect(
      Promise.resolve().then(() => bench.agents.renewLease(host, { ...nothing, body })),
    ).rejects.toMatchObject({ code: 'wrong-ledger' });

    const restored = makeAgentHandlers({
      ...bench.deps,
      ledger: { id: bench.deps.ledger.id, incarnation: 3 },
    });
    await expect(
      Promise.resolve().then(() =>
        restored.report(host, report(bench.deps, instance, { ledger: seen })),
      ),
    ).rejects.toMatchObject({ code: 'wrong-ledger' });
    expect(await restored.renewLease(host, { ...nothing, body })).toMatchObject({
      ledger: { incarnation: 3 },
    });
  });

  it('that are empty give no order at all, whatever the host has plugged', async ({ expect }) => {
    await using bench = await openBench();
    const host = await bench.join('h1');
    const instance = uuid();
    await bench.renew(host, instance);
    const guest = uuid();
    const deviceName = `ua-cyborg-${uuid()}-4294967297`;
    const found = { instance_id: guest, device_name: deviceName };
    await bench.agents.report(
      host,
      report(bench.deps, instance, {
        listings: [listing([{ id: guest }])],
        observations: [{ attachment_id: uuid(), epoch: 1, observed: 'plugged' }],
        unclaimed: [found],
      }),
    );
    const desired = await bench.agents.showDesired(host, { ...nothing, body: undefined });
    expect(desired).toMatchObject({ orders: [], release_unclaimed: [], installations: [] });
    const unclaimed = await bench.database.db.selectFrom('unclaimed').selectAll().execute();
    expect(unclaimed).toMatchObject([{ ...found, ordered: null }]);
  });
});

describe('the desired state', () => {
  it('waits until something changes, and answers at once then', async ({ expect }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    const host = await addHost(db);
    const first = await bench.agents.showDesired(host, { ...nothing, body: undefined });
    const next = bench.agents.showDesired(host, {
      params: {},
      query: { revision: first.revision, wait_seconds: 20 },
      body: undefined,
    });
    const backend = await addBackend(db, host, { state: 'pending' });
    bench.deps.wake.wake([`host:${host.id}`]);
    const answer = await next;
    expect(answer.revision).not.toBe(first.revision);
    expect(answer.installations).toMatchObject([
      { driver_id: 'generic', wanted: 'present', backends: [{ id: backend.id, generation: 1 }] },
    ]);
  });

  it('answers the same revision when the time is over, and when the agent hangs up', async ({
    expect,
  }) => {
    await using bench = await openBench();
    const host = await addHost(bench.database.db);
    const { revision } = await bench.agents.showDesired(host, { ...nothing, body: undefined });
    const hangUp = new AbortController();
    const waiting = bench.agents.showDesired(host, {
      params: {},
      query: { revision, wait_seconds: 30 },
      body: undefined,
      signal: hangUp.signal,
    });
    hangUp.abort();
    expect((await waiting).revision).toBe(revision);
  });
});

describe('reports of installations and backends', () => {
  it('walk an installation to ready, and mark a backend stale with its age (promise 5)', async ({
    expect,
  }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    const host = await addHost(db);
    const instance = host.agent_instance ?? '';
    const backend = await addBackend(db, host, { state: 'pending', generation: 2 });
    await db.updateTable('installation').set({ state: 'pending', running_version: null }).execute();
    const [accelerator] = await addAccelerators(db, backend, { count: 1 });
    const say = (state: 'ready' | 'stale', reason: string | null = null): Promise<null> =>
      bench.agents.report(
        host,
        report(bench.deps, instance, {
          installations: [
            {
              installation_id: backend.installation_id,
              generation: 1,
              state: 'ready',
              running_version: '1.0.0',
              reason: null,
            },
          ],
          backends: [{ backend_id: backend.id, generation: 2, discovery: 0, state, reason }],
        }),
      );
    const read = (): Promise<object> =>
      db.selectFrom('backend').selectAll().executeTakeFirstOrThrow();
    await say('ready');
    expect(await db.selectFrom('installation').selectAll().executeTakeFirst()).toMatchObject({
      state: 'ready',
      running_version: '1.0.0',
    });
    expect(await read()).toMatchObject({ state: 'ready', observed_generation: 2 });

    const since = bench.clock.now();
    await say('stale', 'the driver crashed');
    bench.clock.jumpWallClock(60_000);
    await say('stale', 'the driver crashed');
    expect(await read()).toMatchObject({
      state: 'stale',
      stale_since: since,
      reason: 'the driver crashed',
    });
    const kept = await db.selectFrom('accelerator').selectAll().executeTakeFirst();
    expect(kept).toEqual(accelerator);
    await say('ready');
    expect(await read()).toMatchObject({ state: 'ready', stale_since: null });
  });

  it('of an older generation do not count for the new wish', async ({ expect }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    const host = await addHost(db);
    const { installation_id } = await addBackend(db, host);
    await db
      .updateTable('installation')
      .set({ state: 'updating', wanted_version: '2.0.0', generation: 2 })
      .execute();
    const installation = {
      installation_id,
      generation: 1,
      state: 'ready' as const,
      running_version: '1.0.0',
      reason: null,
    };
    await bench.agents.report(
      host,
      report(bench.deps, host.agent_instance ?? '', { installations: [installation] }),
    );
    expect(await db.selectFrom('installation').select('state').executeTakeFirst()).toEqual({
      state: 'updating',
    });
  });
});

describe('listings of instances', () => {
  async function openListing(): Promise<
    Bench & {
      host: { id: string; name: string };
      look: (...instances: { id: string; project_id?: string | null }[]) => Promise<null>;
    }
  > {
    const bench = await openBench();
    const host = await addHost(bench.database.db);
    const look = (...instances: { id: string; project_id?: string | null }[]): Promise<null> =>
      bench.agents.report(
        host,
        report(bench.deps, host.agent_instance ?? '', { listings: [listing(instances)] }),
      );
    return { ...bench, host, look };
  }
  const readOne = async ({ database }: Bench, id: string): Promise<object | undefined> =>
    database.db.selectFrom('instance').selectAll().where('id', '=', id).executeTakeFirst();

  it('add instances with the project their hypervisor tells, which an operator may correct', async ({
    expect,
  }) => {
    await using bench = await openListing();
    const id = uuid();
    await bench.look({ id, project_id: 'alpha' });
    expect(await readOne(bench, id)).toMatchObject({
      project_id: 'alpha',
      project_source: 'hypervisor',
    });
    await bench.database.db
      .updateTable('instance')
      .set({ project_id: 'beta', project_source: 'operator' })
      .execute();
    await bench.look({ id, project_id: 'alpha' });
    expect(await readOne(bench, id)).toMatchObject({ project_id: 'beta' });
  });

  it('make an instance vanish only by two looks that lack it, 60 s apart', async ({ expect }) => {
    await using bench = await openListing();
    const id = uuid();
    await bench.look({ id });
    await bench.look();
    bench.clock.jumpWallClock(59_000);
    await bench.look();
    expect(await readOne(bench, id)).toMatchObject({ is_present: false, is_vanished: false });
    bench.clock.jumpWallClock(1000);
    await bench.look();
    expect(await readOne(bench, id)).toMatchObject({ is_present: false, is_vanished: true });
    await bench.look({ id });
    expect(await readOne(bench, id)).toMatchObject({
      is_present: true,
      is_vanished: false,
      missing_since: null,
    });
  });

  it('conclude nothing about what did not answer', async ({ expect }) => {
    await using bench = await openListing();
    const [named, other] = [uuid(), uuid()];
    await bench.look({ id: named }, { id: other });
    const say = (unknown: { unknown_ids: string[]; unknown_count: number }): Promise<null> =>
      bench.agents.report(
        bench.host,
        report(bench.deps, hostInstance, { listings: [{ ...listing([]), ...unknown }] }),
      );
    const { agent_instance: hostInstance } = await bench.database.db
      .selectFrom('host')
      .select('agent_instance')
      .executeTakeFirstOrThrow()
      .then((row) => ({ agent_instance: row.agent_instance ?? '' }));
    await say({ unknown_ids: [], unknown_count: 1 });
    expect(await readOne(bench, other)).toMatchObject({ is_present: true });
    await say({ unknown_ids: [named], unknown_count: 1 });
    expect(await readOne(bench, named)).toMatchObject({ is_present: true });
    expect(await readOne(bench, other)).toMatchObject({ is_present: false });
  });

  it('never move an instance that its own host still has; the other host shows it', async ({
    expect,
  }) => {
    await using bench = await openListing();
    const { db } = bench.database;
    const home = await addHost(db, { name: 'home' });
    const guest = await addInstance(db, home);
    await bench.look({ id: guest.id });
    expect(await readOne(bench, guest.id)).toMatchObject({ host_id: home.id });
    const conditions = (): Promise<unknown> =>
      db
        .selectFrom('host')
        .select('conditions')
        .where('id', '=', bench.host.id)
        .executeTakeFirstOrThrow()
        .then((row) => row.conditions);
    expect(await conditions()).toMatchObject([{ message: expect.stringContaining('home') }]);

    await db
      .updateTable('instance')
      .set({ is_present: false, missing_since: bench.clock.now(), missing_seen: 1 })
      .execute();
    await bench.look({ id: guest.id });
    expect(await readOne(bench, guest.id)).toMatchObject({
      host_id: bench.host.id,
      is_present: true,
    });
    expect(await conditions()).toEqual([]);
  });

  it('leave an instance where its accelerators are', async ({ expect }) => {
    await using bench = await openListing();
    const { db } = bench.database;
    const home = await addHost(db);
    const guest = await addInstance(db, home, {
      is_present: false,
      missing_since: bench.clock.now(),
    });
    const [accelerator] = await addAccelerators(db, await addBackend(db, home), {
      count: 1,
      state: 'attached',
    });
    await db
      .insertInto('attachment')
      .values({
        id: uuid(),
        accelerator_id: accelerator?.id ?? null,
        host_id: home.id,
        instance_id: guest.id,
        project_id: 'alpha',
        user_id: 'u',
        origin: 'cyborg',
        state: 'attached',
        plugged_by: 'agent',
        created_at: bench.clock.now(),
      })
      .execute();
    await bench.look({ id: guest.id });
    expect(await readOne(bench, guest.id)).toMatchObject({ host_id: home.id });
  });
});

describe('a revoked credential', () => {
  it('is refused at once here, and its lease cannot be renewed', async ({ expect }) => {
    await using bench = await openBench();
    const host = await bench.join('h1');
    const authenticator = makeAuthenticator(bench.deps);
    expect(await authenticator.authenticateAgent(host.credential)).toBeDefined();
    const hosts = makeHostHandlers(bench.deps, () => authenticator.forget());
    await hosts.revokeHost(admin, { ...nothing, params: { host: 'h1' }, body: undefined });
    expect(await authenticator.authenticateAgent(host.credential)).toBeUndefined();
    await expect(bench.renew(host, uuid())).rejects.toMatchObject({ code: 'not-authenticated' });
  });
});

import { systemClock } from '@cyborg/service/clock';
import { toJson } from '@cyborg/store/json';
import { makeTestClock, type TestClock } from '@cyborg/testing/clock';
import { openTestDatabase, type TestDatabase } from '@cyborg/testing/database';
import { addAccelerators, addBackend, addHost, addInstance, callerOf } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { makeBackendHandlers } from './backends/handlers.ts';
import { makeCallerHandlers } from './caller/handlers.ts';
import type { ConductorDeps } from './deps.ts';
import { makeDeviceHandlers } from './devices/handlers.ts';
import { makeDriverHandlers } from './drivers/handlers.ts';
import { etagOf } from './etag.ts';
import { makeGrantHandlers } from './grants/handlers.ts';
import { makeHostHandlers } from './hosts/handlers.ts';
import { makeInstanceHandlers } from './instances/handlers.ts';
import { newIncarnation, openLedger } from './ledger/open-ledger.ts';
import { forgetReplica, registerReplica, renewReplica } from './ledger/replicas.ts';
import { makeServiceHandlers } from './services/handlers.ts';
import { makeTestDeps } from './test-deps.ts';

const admin = callerOf('admin', 'ops');
const manager = callerOf('manager', 'alpha');
const member = callerOf('member', 'alpha');
const stranger = callerOf('member', 'beta');

interface Bench extends AsyncDisposable {
  readonly database: TestDatabase;
  readonly clock: TestClock;
  readonly deps: ConductorDeps;
}

async function openBench(): Promise<Bench> {
  const database = await openTestDatabase();
  const clock = makeTestClock();
  const deps = makeTestDeps({ db: database.db, clock: { ...systemClock, now: () => clock.now() } });
  return {
    database,
    clock,
    deps,
    [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
  };
}

const all = { params: {}, query: {}, body: undefined };
const of = <P extends object>(params: P): { params: P; query: object; body: undefined } => ({
  params,
  query: {},
  body: undefined,
});

/** Two hosts; `granted` is granted to project alpha, which holds one accelerator of the other. */
async function openFleet(bench: Bench): Promise<{ held: string; guest: string }> {
  const { db } = bench.database;
  const granted = await addHost(db, { name: 'granted' });
  const other = await addHost(db, { name: 'other' });
  const guest = await addInstance(db, other, { name: 'web' });
  await addInstance(db, other, { name: 'lonely', project_id: null, project_source: null });
  await addAccelerators(db, await addBackend(db, granted), { count: 2 });
  const backend = await addBackend(db, other);
  await addAccelerators(db, backend, { count: 1 });
  const [held] = await addAccelerators(db, backend, {
    count: 1,
    state: 'attached',
    project_id: 'alpha',
    instance_id: guest.id,
  });
  for (const { id, host_id, kind } of await db.selectFrom('backend').selectAll().execute()) {
    await db
      .insertInto('service')
      .values({
        id: crypto.randomUUID(),
        host_id,
        backend_id: id,
        name: 'crypto.symmetric',
        kind: 'function',
        state: 'up',
        created_at: bench.clock.now(),
      })
      .execute();
    if (kind === '') throw new Error('a backend without a kind');
  }
  const grants = makeGrantHandlers(bench.deps);
  await grants.createGrant(admin, {
    ...all,
    body: { project_id: 'alpha', host: 'granted' },
  });
  return { held: held?.id ?? '', guest: guest.id };
}

describe('scope (promise 9)', () => {
  it('shows an admin all, a manager what is granted or held, a member what is held', async ({
    expect,
  }) => {
    await using bench = await openBench();
    await openFleet(bench);
    const hosts = makeHostHandlers(bench.deps);
    const backends = makeBackendHandlers(bench.deps);
    const devices = makeDeviceHandlers(bench.deps);
    const services = makeServiceHandlers(bench.deps);
    const instances = makeInstanceHandlers(bench.deps);
    const counts = async (caller: typeof admin): Promise<readonly number[]> =>
      Promise.all([
        hosts.listHosts(caller, all).then(({ items }) => items.length),
        backends.listBackends(caller, all).then(({ items }) => items.length),
        devices.listDevices(caller, all).then(({ items }) => items.length),
        services
          .listServices(caller, { ...all, query: { name: 'crypto.symmetric' } })
          .then(({ items }) => items.length),
        instances.listInstances(caller, all).then(({ items }) => items.length),
      ]);
    expect(await counts(admin)).toEqual([2, 2, 4, 2, 2]);
    expect(await counts(manager)).toEqual([1, 1, 3, 1, 1]);
    expect(await counts(member)).toEqual([0, 1, 1, 1, 1]);
    expect(await counts(stranger)).toEqual([0, 0, 0, 0, 0]);
  });

  it('answers 404 for what is out of scope, and does not tell its name', async ({ expect }) => {
    await using bench = await openBench();
    const { guest } = await openFleet(bench);
    const hosts = makeHostHandlers(bench.deps);
    const backends = makeBackendHandlers(bench.deps);
    const instances = makeInstanceHandlers(bench.deps);
    await expect(hosts.showHost(manager, of({ host: 'other' }))).rejects.toMatchObject({
      code: 'host-not-found',
      message: 'There is no host "other"; there is granted.',
      extra: { nearest: [] },
    });
    await expect(backends.showBackend(manager, of({ backend: 'other@virtual' }))).rejects.toThrow(
      'There is no backend "other@virtual"; the nearest: granted@virtual.',
    );
    await expect(
      instances.showInstance(stranger, of({ instance_id: guest })),
    ).rejects.toMatchObject({ code: 'instance-not-found', extra: { nearest: [] } });
  });

  it('counts for a member only what the project holds', async ({ expect }) => {
    await using bench = await openBench();
    await openFleet(bench);
    const services = makeServiceHandlers(bench.deps);
    const page = await services.listServices(member, { ...all, query: {} });
    expect(page.items).toMatchObject([{ accelerators_total: 1, accelerators_free: 0 }]);
  });

  it('of a grant of one backend is that backend alone', async ({ expect }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    const host = await addHost(db, { name: 'h' });
    await addBackend(db, host, { name: 'pci' });
    await addBackend(db, host, { name: 'virtual' });
    await makeGrantHandlers(bench.deps).createGrant(admin, {
      ...all,
      body: { project_id: 'alpha', host: 'h', backend: 'virtual' },
    });
    const page = await makeBackendHandlers(bench.deps).listBackends(manager, all);
    expect(page.items.map(({ name }) => name)).toEqual(['virtual']);
  });
});

describe('grants', () => {
  it('are created once, told apart by backend, and taken back', async ({ expect }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    await addBackend(db, await addHost(db, { name: 'h' }), { name: 'pci' });
    const grants = makeGrantHandlers(bench.deps);
    const body = { project_id: 'alpha', host: 'h' };
    const made = await grants.createGrant(admin, { ...all, body, idempotencyKey: 'k' });
    expect(await grants.createGrant(admin, { ...all, body, idempotencyKey: 'k' })).toEqual(made);
    await expect(grants.createGrant(admin, { ...all, body })).rejects.toMatchObject({
      code: 'already-exists',
    });
    await grants.createGrant(admin, { ...all, body: { ...body, backend: 'pci' } });
    await expect(
      grants.createGrant(admin, { ...all, body: { ...body, backend: 'pcie' } }),
    ).rejects.toMatchObject({ code: 'backend-not-found', extra: { nearest: ['pci'] } });
    await expect(
      grants.createGrant(admin, { ...all, body: { ...body, host: 'hh' } }),
    ).rejects.toMatchObject({ code: 'host-not-found', extra: { nearest: ['h'] } });
    if ('dry_run' in made) throw new Error('a dry run');
    await grants.deleteGrant(admin, of({ id: made.id }));
    const { items } = await grants.listGrants(admin, all);
    expect(items).toMatchObject([{ host: 'h', backend: 'pci', project_id: 'alpha' }]);
    await expect(grants.deleteGrant(admin, of({ id: made.id }))).rejects.toMatchObject({
      code: 'grant-not-found',
    });
  });
});

describe('hosts', () => {
  it('are paged by name', async ({ expect }) => {
    await using bench = await openBench();
    for (const name of ['c', 'a', 'b']) await addHost(bench.database.db, { name });
    const hosts = makeHostHandlers(bench.deps);
    const first = await hosts.listHosts(admin, { ...all, query: { limit: 2 } });
    expect(first.items.map(({ name }) => name)).toEqual(['a', 'b']);
    const marker = first.next ?? '';
    const second = await hosts.listHosts(admin, { ...all, query: { limit: 2, marker } });
    expect(second).toMatchObject({ items: [{ name: 'c' }], next: null });
    await expect(
      hosts.listHosts(admin, { ...all, query: { marker: 'nonsense' } }),
    ).rejects.toMatchObject({ code: 'invalid-input' });
  });

  it('are changed by whoever read them last', async ({ expect }) => {
    await using bench = await openBench();
    const host = await addHost(bench.database.db, { name: 'h' });
    const hosts = makeHostHandlers(bench.deps);
    const ifMatch = etagOf(host);
    const change = { ...of({ host: 'h' }), body: { status: 'disabled' as const, reason: 'RAM' } };
    const dry = await hosts.updateHost(admin, { ...change, query: { dry_run: true } });
    expect(dry).toMatchObject({ would_succeed: true, changes: [{ subject_id: host.id }, {}] });
    expect(await hosts.updateHost(admin, { ...change, ifMatch })).toMatchObject({
      status: 'disabled',
      status_reason: 'RAM',
    });
    await expect(hosts.updateHost(admin, { ...change, ifMatch })).rejects.toMatchObject({
      code: 'stale-edit',
    });
  });
});

describe('services', () => {
  it('list the control services, agents and functions, with what is down and why', async ({
    expect,
  }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    await registerReplica(bench.deps, { name: 'srv', role: 'all', version: '0.1.0' });
    const host = await addHost(db, { name: 'h', lease_expires_at: bench.clock.now() });
    const backend = await addBackend(db, host);
    await addAccelerators(db, backend, { count: 2, type: 'ENTROPY' });
    await addAccelerators(db, backend, { count: 3 });
    const [random, crypto1] = [crypto.randomUUID(), crypto.randomUUID()];
    for (const [id, name] of [
      [random, 'random.entropy'],
      [crypto1, 'crypto.symmetric'],
    ] as const) {
      await db
        .insertInto('service')
        .values({
          id,
          host_id: host.id,
          backend_id: backend.id,
          name,
          kind: 'function',
          state: 'up',
          created_at: bench.clock.now(),
        })
        .execute();
    }
    const services = makeServiceHandlers(bench.deps);
    const { items } = await services.listServices(admin, all);
    expect(items).toMatchObject([
      { name: 'cyborg-api', kind: 'control', state: 'up', host: 'srv' },
      { name: 'cyborg-conductor', kind: 'control', state: 'up' },
      { name: 'cyborg-agent', kind: 'control', state: 'down', host: 'h' },
      {
        name: 'crypto.symmetric',
        state: 'down',
        reason: 'its host is down',
        accelerators_total: 3,
      },
      { name: 'random.entropy', backend: 'virtual', accelerators_total: 2, accelerators_free: 2 },
    ]);
    const seen = [];
    let marker: string | undefined;
    do {
      const query = marker === undefined ? { limit: 2 } : { limit: 2, marker };
      const page = await services.listServices(admin, { ...all, query });
      seen.push(...page.items.map(({ id }) => id));
      marker = page.next ?? undefined;
    } while (marker !== undefined);
    expect(seen).toEqual(items.map(({ id }) => id));
    const id = items[2]?.id ?? '';
    expect(await services.showService(admin, of({ id }))).toMatchObject({ name: 'cyborg-agent' });
    const disable = { ...of({ id: random }), body: { status: 'disabled' as const } };
    expect(await services.updateService(admin, disable)).toMatchObject({ status: 'disabled' });
    await expect(
      services.updateService(admin, { ...disable, params: { id } }),
    ).rejects.toMatchObject({ code: 'wrong-state' });
    bench.clock.jumpWallClock(15_001);
    expect((await services.listServices(admin, all)).items[0]).toMatchObject({ state: 'down' });
    expect(await renewReplica(bench.deps)).toBe(true);
    await forgetReplica(bench.deps);
    expect(await renewReplica(bench.deps)).toBe(false);
  });
});

describe('backends and devices', () => {
  it('count what they have, and a backend can be disabled', async ({ expect }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    const backend = await addBackend(db, await addHost(db, { name: 'h' }), {
      stale_since: bench.clock.now(),
    });
    await addAccelerators(db, backend, { count: 2 });
    await addAccelerators(db, backend, { count: 1, state: 'cleaning_failed', reason: 'no reset' });
    const backends = makeBackendHandlers(bench.deps);
    const change = {
      ...of({ backend: 'h@virtual' }),
      body: { status: 'disabled' as const },
      ifMatch: etagOf(backend),
    };
    expect(await backends.updateBackend(admin, change)).toMatchObject({
      status: 'disabled',
      accelerators_total: 3,
      accelerators_free: 2,
      accelerators_cleaning_failed: 1,
      version: '1.0.0',
    });
    await expect(backends.updateBackend(admin, change)).rejects.toMatchObject({
      code: 'stale-edit',
    });
    const { items } = await makeDeviceHandlers(bench.deps).listDevices(admin, {
      ...all,
      query: { backend: 'h@virtual', type: 'CRYPTO' },
    });
    expect(items).toHaveLength(3);
    expect(items[0]).toMatchObject({ presence: 'stale', accelerators_total: 1 });
    expect(items.filter((item) => item.accelerators_cleaning_failed === 1)).toHaveLength(1);
  });

  it('and hosts and services say how much of them could not be cleaned, to who sees it', async ({
    expect,
  }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    const host = await addHost(db, { name: 'h' });
    await addAccelerators(db, await addBackend(db, host), { count: 2 });
    const second = await addBackend(db, host, { name: 'second' });
    const [failed] = await addAccelerators(db, second, { count: 1, state: 'cleaning_failed' });
    await addHost(db, { name: 'bare' });
    await db
      .insertInto('service')
      .values({
        id: crypto.randomUUID(),
        host_id: host.id,
        backend_id: second.id,
        name: 'crypto.symmetric',
        kind: 'function',
        state: 'up',
        created_at: bench.clock.now(),
      })
      .execute();
    const hosts = makeHostHandlers(bench.deps);
    const countsOf = {
      accelerators_total: 3,
      accelerators_free: 2,
      accelerators_cleaning_failed: 1,
    };
    const { items } = await hosts.listHosts(admin, all);
    expect(items).toMatchObject([{ accelerators_cleaning_failed: 0 }, { name: 'h', ...countsOf }]);
    expect(await hosts.showHost(admin, of({ host: 'h' }))).toMatchObject(countsOf);
    const services = await makeServiceHandlers(bench.deps).listServices(admin, all);
    expect(services.items.filter(({ kind }) => kind === 'function')).toMatchObject([
      { accelerators_total: 1, accelerators_free: 0, accelerators_cleaning_failed: 1 },
    ]);
    await db
      .updateTable('accelerator')
      .set({ state: 'withheld', reason: 'not approved' })
      .where('id', '=', failed!.id)
      .execute();
    expect(await hosts.showHost(admin, of({ host: 'h' }))).toMatchObject({
      accelerators_cleaning_failed: 0,
    });
  });
});

describe('instances', () => {
  it('list those that run first, and are found by a unique name', async ({ expect }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    const host = await addHost(db, { name: 'h' });
    await addInstance(db, host, { name: 'a', state: 'SHUTOFF' });
    await addInstance(db, host, { name: 'z' });
    const instances = makeInstanceHandlers(bench.deps);
    const first = await instances.listInstances(admin, { ...all, query: { limit: 1 } });
    expect(first.items).toMatchObject([{ name: 'z', host: 'h', presence: 'present' }]);
    const query = { limit: 1, marker: first.next ?? '' };
    const second = await instances.listInstances(admin, { ...all, query });
    expect(second.items).toMatchObject([{ name: 'a' }]);
    expect(await instances.showInstance(admin, of({ instance_id: 'z' }))).toMatchObject({
      name: 'z',
    });
    await addInstance(db, host, { name: 'z' });
    await expect(instances.showInstance(admin, of({ instance_id: 'z' }))).rejects.toMatchObject({
      code: 'invalid-input',
    });
  });

  it('belong to the project an admin says', async ({ expect }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    const { id } = await addInstance(db, await addHost(db), { project_id: null });
    const instances = makeInstanceHandlers(bench.deps);
    const view = await instances.updateInstance(admin, {
      ...of({ instance_id: id }),
      body: { project_id: 'alpha' },
    });
    expect(view).toMatchObject({ project_id: 'alpha', project_source: 'operator' });
    expect(await instances.showInstance(member, of({ instance_id: id }))).toEqual(view);
  });
});

describe('drivers and the caller', () => {
  it('are shown with versions and hosts', async ({ expect }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    await addBackend(db, await addHost(db));
    for (const version of ['1.10.0', '1.9.0']) {
      await db
        .insertInto('driver_version')
        .values({
          driver_id: 'generic',
          version,
          state: version === '1.10.0' ? 'uploaded' : 'approved',
          is_builtin: false,
          manifest: toJson({ kinds: [], default_backends: [] }),
          created_at: bench.clock.now(),
        })
        .execute();
    }
    const { items } = await makeDriverHandlers(bench.deps).listDrivers(admin, all);
    expect(items).toMatchObject([{ id: 'generic', version: '1.9.0', hosts_ready: 1 }]);
    expect(items[0]?.versions.map(({ version }) => version)).toEqual(['1.10.0', '1.9.0', '1.0.0']);
    expect(await makeCallerHandlers().showCaller(member, all)).toMatchObject({
      project_id: 'alpha',
      roles: ['member', 'reader'],
    });
  });
});

describe('the ledger', () => {
  it('is made once, whoever comes first, and begins a new incarnation on request', async ({
    expect,
  }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    const [first, second] = await Promise.all([
      openLedger(db, bench.deps.rng, bench.clock),
      openLedger(db, bench.deps.rng, bench.clock),
    ]);
    expect(second).toEqual(first);
    expect(await newIncarnation(db, bench.clock)).toEqual({ id: first.id, incarnation: 2 });
  });
});

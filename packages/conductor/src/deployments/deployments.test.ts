import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { systemClock } from '@cyborg/service/clock';
import { toJson } from '@cyborg/store/json';
import { makeTestClock, type TestClock } from '@cyborg/testing/clock';
import { openTestDatabase, type TestDatabase } from '@cyborg/testing/database';
import { addAccelerators, addHost, callerOf } from '@cyborg/testing/fleet';
import { sql } from 'kysely';
import { describe, it } from 'vitest';

import { makeAgentHandlers, type AgentHandlers } from '../agents/handlers.ts';
import type { ConductorDeps } from '../deps.ts';
import { makeDiscoveryHandlers } from '../discoveries/handlers.ts';
import type { DryRunView } from '../dry-run.ts';
import { registerBuiltinDrivers, type BuiltinManifest } from '../ledger/builtin-drivers.ts';
import type { OperationView } from '../operations/read-operations.ts';
import { makeTestDeps } from '../test-deps.ts';
import { advanceHostOperations } from './advance-operations.ts';
import { makeDeploymentHandlers, type DeploymentHandlers } from './handlers.ts';
import { rollOut } from './roll-out.ts';
import type { UninstallQuery } from './uninstall.ts';
import type { UpdateBody } from './update.ts';
import type { InstallBody } from './wishes.ts';

const manifestFile = join(import.meta.dirname, '../../../../drivers/generic/manifest.json');
const generic: BuiltinManifest = JSON.parse(readFileSync(manifestFile, 'utf8'));
const version = generic.version;
const admin = callerOf('admin', 'ops');
const manager = callerOf('manager', 'alpha');
const params = { driver_id: 'generic' };
const never = new AbortController().signal;

type Host = Awaited<ReturnType<typeof addHost>>;

interface Bench extends AsyncDisposable {
  readonly database: TestDatabase;
  readonly clock: TestClock;
  readonly deps: ConductorDeps;
  readonly agents: AgentHandlers;
  readonly deployments: DeploymentHandlers;
  install(body?: InstallBody, caller?: typeof admin): Promise<OperationView>;
  update(body?: UpdateBody, caller?: typeof admin): Promise<OperationView>;
  uninstall(query?: UninstallQuery, caller?: typeof admin): Promise<OperationView>;
  /** Every reconciler once. */
  pass(): Promise<void>;
  /** The host does what is wanted of it; `fail` says of which driver versions it cannot. */
  obey(host: Host, fail?: string): Promise<void>;
  operation(id: string): Promise<OperationView>;
}

async function openBench(limits: Parameters<typeof makeTestDeps>[1] = {}): Promise<Bench> {
  const database = await openTestDatabase();
  const clock = makeTestClock();
  const deps = makeTestDeps(
    { db: database.db, clock: { ...systemClock, now: () => clock.now() } },
    limits,
  );
  await registerBuiltinDrivers(deps, [generic]);
  const agents = makeAgentHandlers(deps);
  const deployments = makeDeploymentHandlers(deps);
  const reconcilers = [rollOut(deps), advanceHostOperations(deps)];
  return {
    database,
    clock,
    deps,
    agents,
    deployments,
    install: async (body = {}, caller = admin) =>
      operationOf(await deployments.installDriver(caller, { params, query: {}, body })),
    update: async (body = {}, caller = admin) =>
      operationOf(await deployments.updateDriver(caller, { params, query: {}, body })),
    uninstall: async (query = {}, caller = admin) =>
      operationOf(await deployments.uninstallDriver(caller, { params, query, body: undefined })),
    async pass() {
      for (const reconciler of reconcilers) await reconciler.pass(never);
    },
    obey: (host, fail) => obey(agents, deps, { host, fail }),
    async operation(id) {
      const row = await database.db
        .selectFrom('operation')
        .selectAll()
        .where('id', '=', id)
        .executeTakeFirstOrThrow();
      return { ...row, progress: { done: row.progress_done, total: row.progress_total } };
    },
    [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
  };
}

function operationOf(answer: OperationView | DryRunView): OperationView {
  if ('dry_run' in answer) throw new Error('a dry run');
  return answer;
}

/** A host as its agent would be: reads the desired state, does it, reports. */
async function obey(
  agents: AgentHandlers,
  deps: ConductorDeps,
  { host, fail }: { host: Host; fail: string | undefined },
): Promise<void> {
  const desired = await agents.showDesired(host, { params: {}, query: {}, body: undefined });
  await agents.report(host, {
    params: {},
    query: {},
    body: {
      instance: host.agent_instance ?? '',
      ledger: deps.ledger,
      outcomes: [],
      listings: [],
      observations: [],
      unclaimed: null,
      installations: desired.installations.map((one) => {
        const isFailed = one.wanted === 'present' && one.version === fail;
        return {
          installation_id: one.id,
          generation: one.generation,
          state: one.wanted === 'removed' ? 'removed' : isFailed ? 'failed' : 'ready',
          running_version: one.wanted === 'removed' || isFailed ? null : one.version,
          reason: isFailed ? 'it does not start' : null,
        };
      }),
      backends: desired.installations.flatMap((one) => [
        ...one.backends.map((backend) => ({
          backend_id: backend.id,
          generation: backend.generation,
          discovery: backend.discovery,
          state: 'ready' as const,
          reason: null,
        })),
        ...one.removed_backends.map((backend) => ({
          backend_id: backend.id,
          generation: backend.generation,
          discovery: 0,
          state: 'removed' as const,
          reason: null,
        })),
      ]),
    },
  });
}

async function grant(bench: Bench, host: Host, backend: string | null = null): Promise<void> {
  await bench.database.db
    .insertInto('access_grant')
    .values({
      id: crypto.randomUUID(),
      project_id: 'alpha',
      host_id: host.id,
      backend_name: backend,
      created_by: 'admin',
      created_at: bench.clock.now(),
    })
    .execute();
}

async function approve(bench: Bench, other: string): Promise<void> {
  const { kinds, default_backends } = generic;
  await bench.database.db
    .insertInto('driver_version')
    .values({
      driver_id: 'generic',
      version: other,
      state: 'approved',
      is_builtin: false,
      manifest: toJson({ kinds, default_backends }),
      created_at: bench.clock.now(),
    })
    .execute();
}

describe('install-driver', () => {
  it('rolls the default backends out to every host and ends when all are ready', async ({
    expect,
  }) => {
    await using bench = await openBench();
    const hosts = [await addHost(bench.database.db), await addHost(bench.database.db)];
    const { id } = await bench.install();
    await bench.pass();
    for (const host of hosts) await bench.obey(host);
    await bench.pass();
    const done = await bench.operation(id);
    expect(done).toMatchObject({ state: 'succeeded', progress: { done: 4, total: 4 } });
    const view = await bench.deployments.showDeployment(admin, {
      params,
      query: {},
      body: undefined,
    });
    expect(view).toMatchObject({
      version,
      backends: [
        { name: 'pci', hosts: null, labels: null },
        { name: 'virtual', hosts: null, labels: null },
      ],
    });
    expect(view.installations.map(({ state }) => state)).toEqual(['ready', 'ready']);
  });

  it('comes to hosts that join later, and not to disabled ones', async ({ expect }) => {
    await using bench = await openBench();
    await bench.install();
    const late = await addHost(bench.database.db);
    const off = await addHost(bench.database.db, { status: 'disabled' });
    await bench.pass();
    const rows = await bench.database.db.selectFrom('backend').select('host_id').execute();
    expect(rows.map(({ host_id }) => host_id)).toEqual([late.id, late.id]);
    expect(rows.map(({ host_id }) => host_id)).not.toContain(off.id);
  });

  it('of what is installed succeeds and says so; of another version names update-driver', async ({
    expect,
  }) => {
    await using bench = await openBench();
    const host = await addHost(bench.database.db);
    await bench.install();
    await bench.pass();
    await bench.obey(host);
    expect(await bench.install()).toMatchObject({
      state: 'succeeded',
      subject: { already_installed: true },
    });
    await approve(bench, '0.2.0');
    await expect(bench.install({ version: '0.2.0' })).rejects.toMatchObject({
      code: 'use-update-driver',
    });
  });

  it('names unknown drivers, versions, hosts and kinds with the nearest', async ({ expect }) => {
    await using bench = await openBench();
    await addHost(bench.database.db, { name: 'node-1' });
    const body = {};
    await expect(
      bench.deployments.installDriver(admin, { params: { driver_id: 'genric' }, query: {}, body }),
    ).rejects.toMatchObject({ code: 'driver-not-found', extra: { nearest: ['generic'] } });
    await expect(bench.install({ version: '9.9.9' })).rejects.toMatchObject({
      code: 'driver-version-not-found',
    });
    await expect(bench.install({ hosts: ['node-2'] })).rejects.toMatchObject({
      code: 'host-not-found',
      extra: { nearest: ['node-1'] },
    });
    await expect(bench.install({ backends: [{ name: 'x', kind: 'usb' }] })).rejects.toThrow(
      /kind is "usb"; this driver has pci, virtual, static/,
    );
  });

  it('names backend, key, value and what is allowed of a wrong configuration', async ({
    expect,
  }) => {
    await using bench = await openBench();
    const wrong = (config: Record<string, unknown>): Promise<OperationView> =>
      bench.install({ backends: [{ name: 'soft', kind: 'virtual', config }] });
    await expect(wrong({ crypto: 'many' })).rejects.toThrow(
      'backend soft: config.crypto is "many": it must be integer.',
    );
    await expect(wrong({ cripto: 1 })).rejects.toThrow(
      /config\.cripto: there is no such key; allowed: crypto, entropy/,
    );
    await expect(wrong({ crypto: 1000 })).rejects.toThrow(
      /config\.crypto is 1000: it must be <= 256/,
    );
  });

  it('refuses backends that claim one function, naming both', async ({ expect }) => {
    await using bench = await openBench();
    await addHost(bench.database.db);
    await bench.install();
    const second = (config: Record<string, unknown>): Promise<OperationView> =>
      bench.install({ backends: [{ name: 'gpus', kind: 'pci', config }] });
    await expect(second({})).rejects.toMatchObject({
      code: 'backend-overlap',
      extra: { backends: ['pci', 'gpus'] },
    });
    await expect(second({ classes: ['0302'] })).rejects.toMatchObject({ code: 'backend-overlap' });
    await expect(second({ classes: [], rules: [{ class: '0108' }] })).resolves.toBeDefined();
  });

  it('refuses rules that meet on a function the ledger knows', async ({ expect }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    const host = await addHost(db, { name: 'h' });
    await bench.install({ backends: [{ name: 'pci' }] });
    await bench.pass();
    const backend = await db.selectFrom('backend').selectAll().executeTakeFirstOrThrow();
    await addAccelerators(db, backend, { count: 1, type: 'GPU' });
    await db
      .updateTable('device')
      .set({ address: '0000:21:00.0', vendor_id: '0x10de', class: '0x030200' })
      .execute();
    await expect(
      bench.install({
        backends: [
          { name: 'n', kind: 'pci', config: { classes: [], rules: [{ vendor: '10de' }] } },
        ],
      }),
    ).rejects.toThrow(/both claim 0000:21:00.0 on host h/);
    expect(host.name).toBe('h');
  });

  it('of a dry run changes nothing and tells what it would do', async ({ expect }) => {
    await using bench = await openBench();
    const answer = await bench.deployments.installDriver(admin, {
      params,
      query: { dry_run: true },
      body: {},
    });
    expect(answer).toMatchObject({ would_succeed: true, refusal: null });
    expect(await bench.database.db.selectFrom('deployment').selectAll().execute()).toEqual([]);
  });
});

describe('install-driver without hosts and backends', () => {
  const demo = (hosts: readonly string[]): InstallBody => ({
    backends: [
      { name: 'demo-pci', kind: 'pci', hosts, config: { offer: 'all' } },
      { name: 'demo-virtual', kind: 'virtual', hosts },
    ],
  });
  const onHosts = async (bench: Bench): Promise<string[]> => {
    await bench.pass();
    const { rows } = await sql<{ name: string }>`
      select concat(h.name, '@', b.name) as name from backend b join host h on h.id = b.host_id
      where b.state <> 'removing' order by name`.execute(bench.database.db);
    return rows.map(({ name }) => name);
  };

  it('leaves hosts alone that other backends of the driver serve, and says so', async ({
    expect,
  }) => {
    await using bench = await openBench();
    for (const name of ['demo', 'own']) await addHost(bench.database.db, { name });
    await bench.install({
      backends: [
        { name: 'pci', hosts: ['own'] },
        { name: 'virtual', hosts: ['own'] },
      ],
    });
    await bench.install(demo(['demo']));
    const before = await onHosts(bench);
    expect(before).toEqual(['demo@demo-pci', 'demo@demo-virtual', 'own@pci', 'own@virtual']);
    expect(await bench.install()).toMatchObject({ subject: { already_installed: true } });
    expect(await onHosts(bench)).toEqual(before);
    await addHost(bench.database.db, { name: 'late' });
    expect(await onHosts(bench), 'later hosts get the defaults').toEqual(
      [...before, 'late@pci', 'late@virtual'].toSorted(),
    );
  });

  it('succeeds where other backends serve every host, and those to come', async ({ expect }) => {
    await using bench = await openBench();
    await addHost(bench.database.db, { name: 'h' });
    await bench.install({ backends: [{ name: 'gpus', kind: 'pci' }] });
    const before = await onHosts(bench);
    expect(await bench.install()).toMatchObject({
      state: 'succeeded',
      subject: { already_installed: true },
    });
    await addHost(bench.database.db, { name: 'late' });
    expect(await onHosts(bench)).toEqual([...before, 'late@gpus']);
  });

  it('comes back to hosts that it was uninstalled from', async ({ expect }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    const hosts = [await addHost(db, { name: 'a' }), await addHost(db, { name: 'b' })];
    await bench.install(demo(['a', 'b']));
    await bench.pass();
    for (const host of hosts) await bench.obey(host);
    await bench.uninstall({ host: ['a'] });
    for (const host of hosts) await bench.obey(host);
    const back = await bench.install();
    expect(back.subject).not.toHaveProperty('already_installed');
    expect(await onHosts(bench)).toEqual(['a@pci', 'a@virtual', 'b@demo-pci', 'b@demo-virtual']);
    await bench.uninstall();
    for (const host of hosts) await bench.obey(host);
    await bench.install();
    expect(await onHosts(bench)).toEqual(['a@pci', 'a@virtual', 'b@pci', 'b@virtual']);
  });

  it('of a manager is for granted hosts that nothing serves', async ({ expect }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    for (const name of ['a', 'b', 'c']) await addHost(db, { name });
    const [a, b] = await db.selectFrom('host').selectAll().orderBy('name').execute();
    for (const host of [a, b]) if (host !== undefined) await grant(bench, host);
    await bench.install(demo(['a', 'c']));
    await bench.install({}, manager);
    const all = ['a@demo-pci', 'a@demo-virtual', 'b@pci', 'b@virtual', 'c@demo-pci'];
    expect(await onHosts(bench)).toEqual([...all, 'c@demo-virtual']);
    expect(await bench.install({}, manager)).toMatchObject({
      subject: { already_installed: true },
    });
  });
});

describe('managers (promise 9)', () => {
  it('install on granted hosts only, with delegable keys only', async ({ expect }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    const mine = await addHost(db, { name: 'mine' });
    await addHost(db, { name: 'theirs' });
    await expect(bench.install({}, manager)).rejects.toMatchObject({ code: 'host-not-found' });
    await grant(bench, mine);
    await expect(bench.install({ hosts: ['theirs'] }, manager)).rejects.toMatchObject({
      code: 'host-not-found',
    });
    const soft = (config: Record<string, unknown>): Promise<OperationView> =>
      bench.install({ backends: [{ name: 'soft', kind: 'virtual', config }] }, manager);
    await expect(soft({ entropy_source: '/dev/urandom' })).rejects.toMatchObject({
      code: 'key-not-delegable',
    });
    await soft({ crypto: 2 });
    await bench.pass();
    const rows = await db.selectFrom('backend').select(['host_id', 'name']).execute();
    expect(rows).toEqual([{ host_id: mine.id, name: 'soft' }]);
  });

  it('hear in the operation only of hosts that are granted', async ({ expect }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    const mine = await addHost(db, { name: 'mine' });
    await addHost(db, { name: 'theirs' });
    await grant(bench, mine);
    const soft = { backends: [{ name: 'soft', kind: 'virtual' }] };
    await bench.install(soft);
    const { id } = await bench.install(soft, manager);
    await bench.pass();
    const row = await db
      .selectFrom('operation')
      .select('results')
      .where('id', '=', id)
      .executeTakeFirstOrThrow();
    expect(row.results.map(({ host }) => host)).toEqual(['mine']);
  });

  it('change nothing that also runs on hosts of others', async ({ expect }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    const mine = await addHost(db, { name: 'mine' });
    const theirs = await addHost(db, { name: 'theirs' });
    await grant(bench, mine);
    await bench.install();
    await bench.pass();
    const config = { crypto: 1 };
    await expect(
      bench.update({ backends: [{ name: 'virtual', config }] }, manager),
    ).rejects.toMatchObject({ code: 'forbidden' });
    await approve(bench, '0.2.0');
    await expect(bench.update({}, manager)).rejects.toMatchObject({ code: 'forbidden' });
    await expect(bench.uninstall({ host: ['theirs'] }, manager)).rejects.toMatchObject({
      code: 'host-not-found',
    });
    await bench.uninstall({}, manager);
    const left = await db
      .selectFrom('backend')
      .select('host_id')
      .where('state', '<>', 'removing')
      .execute();
    expect(new Set(left.map(({ host_id }) => host_id))).toEqual(new Set([theirs.id]));
    await expect(bench.uninstall({ force: true }, manager)).rejects.toMatchObject({
      code: 'forbidden',
    });
  });
});

describe('update-driver', () => {
  it('goes to the newest approved version, a batch of hosts at a time', async ({ expect }) => {
    await using bench = await openBench();
    const hosts = [];
    for (const name of ['a', 'b', 'c']) hosts.push(await addHost(bench.database.db, { name }));
    await bench.install();
    await bench.pass();
    for (const host of hosts) await bench.obey(host);
    await approve(bench, '0.2.0');
    const { id } = await bench.update({ version: '0.2.0', rollout: { batch: 1 } });
    const updating = async (): Promise<number> => {
      const rows = await bench.database.db
        .selectFrom('installation')
        .select('id')
        .where('wanted_version', '=', '0.2.0')
        .execute();
      return rows.length;
    };
    for (const [index, host] of hosts.entries()) {
      await bench.pass();
      await bench.pass();
      expect(await updating()).toBe(index + 1);
      await bench.obey(host);
    }
    await bench.pass();
    expect(await bench.operation(id)).toMatchObject({ state: 'succeeded' });
  });

  it('stops a batched roll-out at the first host that fails', async ({ expect }) => {
    await using bench = await openBench();
    const [first, second] = [
      await addHost(bench.database.db, { name: 'a' }),
      await addHost(bench.database.db, { name: 'b' }),
    ];
    await bench.install({ rollout: { batch: 1 }, backends: [{ name: 'virtual' }] });
    for (const host of [first, second]) {
      await bench.pass();
      await bench.obey(host);
    }
    await approve(bench, '0.2.0');
    const { id } = await bench.update();
    await bench.pass();
    await bench.obey(first, '0.2.0');
    await bench.pass();
    await bench.pass();
    const done = await bench.operation(id);
    expect(done).toMatchObject({ state: 'failed', error: expect.stringContaining('a@virtual') });
    expect(done.results).toMatchObject([
      { outcome: 'failed', message: 'it does not start' },
      { outcome: 'failed', message: expect.stringContaining('not begun') },
    ]);
  });

  it('merges configuration keys, and null returns one to its default', async ({ expect }) => {
    await using bench = await openBench();
    const host = await addHost(bench.database.db);
    await bench.install({ backends: [{ name: 'virtual', config: { crypto: 2, entropy: 2 } }] });
    await bench.pass();
    await bench.obey(host);
    const { id } = await bench.update({
      backends: [{ name: 'virtual', config: { crypto: null, entropy: 3 } }],
    });
    // Looked at before the roll-out has told the host: what it says is of the earlier configuration.
    await advanceHostOperations(bench.deps).pass(never);
    expect(await bench.operation(id)).toMatchObject({ state: 'running' });
    await bench.pass();
    const backend = await bench.database.db
      .selectFrom('backend')
      .selectAll()
      .executeTakeFirstOrThrow();
    expect(backend).toMatchObject({ config: { entropy: 3 }, generation: 2 });
    expect(await bench.operation(id)).toMatchObject({ state: 'running' });
    await bench.obey(host);
    await bench.pass();
    expect(await bench.operation(id)).toMatchObject({ state: 'succeeded' });
  });

  it('succeeds and says so when nothing newer is approved', async ({ expect }) => {
    await using bench = await openBench();
    const host = await addHost(bench.database.db);
    await bench.install();
    await bench.pass();
    await bench.obey(host);
    expect(await bench.update()).toMatchObject({
      state: 'succeeded',
      subject: { version, already_installed: true },
    });
  });

  it('refuses a stale edit and a downgrade of what is in use', async ({ expect }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    await addHost(db);
    await bench.install({ backends: [{ name: 'virtual' }] });
    await bench.pass();
    await expect(
      bench.deployments.updateDriver(admin, { params, query: {}, body: {}, ifMatch: '"x"' }),
    ).rejects.toMatchObject({ code: 'stale-edit' });
    await approve(bench, '0.0.9');
    const backend = await db.selectFrom('backend').selectAll().executeTakeFirstOrThrow();
    await addAccelerators(db, backend, { count: 1, state: 'attached' });
    await expect(bench.update({ version: '0.0.9' })).rejects.toMatchObject({ code: 'in-use' });
  });
});

describe('uninstall-driver (promise 6)', () => {
  it('of what is not installed says so, naming driver and host', async ({ expect }) => {
    await using bench = await openBench();
    for (const name of ['a', 'b']) await addHost(bench.database.db, { name });
    await expect(bench.uninstall()).rejects.toMatchObject({
      code: 'deployment-not-found',
      message: expect.stringContaining('Driver generic is not installed'),
    });
    await bench.install({ hosts: ['a'] });
    await expect(bench.uninstall({ host: ['a', 'b'] })).rejects.toMatchObject({
      code: 'deployment-not-found',
      message: expect.stringContaining('Driver generic is not installed on host b'),
    });
    await expect(bench.uninstall({ host: ['b'], backend: 'pci' })).rejects.toThrow(
      /Backend pci of driver generic is not installed on host b/,
    );
    expect(await bench.uninstall({ host: ['a'] })).toMatchObject({ state: 'succeeded' });
  });

  async function openUsed(
    project_id: string,
  ): Promise<Bench & { host: Host; held: { id: string } }> {
    const bench = await openBench();
    const { db } = bench.database;
    const host = await addHost(db);
    await bench.install({ backends: [{ name: 'virtual' }] });
    await bench.pass();
    await bench.obey(host);
    const backend = await db.selectFrom('backend').selectAll().executeTakeFirstOrThrow();
    await addAccelerators(db, backend, { count: 2 });
    const [held] = await addAccelerators(db, backend, {
      count: 1,
      state: 'attached',
      project_id,
      instance_id: crypto.randomUUID(),
      attachment_id: crypto.randomUUID(),
    });
    if (held === undefined) throw new Error('no accelerator');
    return { ...bench, host, held };
  }

  it('is refused with the users while something is in use, whoever uses it', async ({ expect }) => {
    await using bench = await openUsed('beta');
    await grant(bench, bench.host);
    await expect(bench.uninstall()).rejects.toMatchObject({
      code: 'in-use',
      extra: { users: [{ accelerator_id: bench.held.id, project_id: 'beta' }] },
    });
    // A foreign instance is not named to a manager.
    await expect(bench.uninstall({}, manager)).rejects.toMatchObject({
      code: 'in-use',
      extra: { users: [{ accelerator_id: bench.held.id, project_id: null, instance_id: null }] },
    });
    const rows = await bench.database.db.selectFrom('backend').select('state').execute();
    expect(rows).toEqual([{ state: 'ready' }]);
  });

  it('keeps what is attached as orphaned when an admin asks for that, and its actor is an event', async ({
    expect,
  }) => {
    await using bench = await openUsed('beta');
    const { db } = bench.database;
    const { id } = await bench.uninstall({ keep_attached: true });
    await bench.obey(bench.host);
    await bench.pass();
    expect(await bench.operation(id)).toMatchObject({ state: 'succeeded' });
    const left = await db.selectFrom('accelerator').select(['id', 'state']).execute();
    expect(left).toEqual([{ id: bench.held.id, state: 'orphaned' }]);
    const events = await db
      .selectFrom('event')
      .select(['kind', 'user_id'])
      .where('kind', 'in', ['driver.forced-uninstall', 'accelerator.orphaned'])
      .execute();
    expect(events.map(({ user_id }) => user_id)).toEqual([admin.userId, admin.userId]);

    // Wanted again: the same backend row, so what it kept finds its driver.
    await bench.install({ backends: [{ name: 'virtual' }] });
    await bench.pass();
    const backend = await db.selectFrom('backend').selectAll().executeTakeFirstOrThrow();
    expect(backend.state).toBe('pending');
  });

  it('takes everything away that nobody holds, and the operation waits for the hosts', async ({
    expect,
  }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    const host = await addHost(db);
    await bench.install();
    await bench.pass();
    await bench.obey(host);
    const backend = await db.selectFrom('backend').selectAll().executeTakeFirstOrThrow();
    await addAccelerators(db, backend, { count: 3 });
    const { id } = await bench.uninstall();
    await bench.pass();
    expect(await bench.operation(id)).toMatchObject({ state: 'running' });
    await bench.obey(host);
    await bench.pass();
    expect(await bench.operation(id)).toMatchObject({ state: 'succeeded' });
    for (const table of ['deployment', 'backend', 'device', 'accelerator'] as const) {
      expect(await db.selectFrom(table).selectAll().execute(), table).toEqual([]);
    }
    await bench.install();
    await bench.pass();
    await bench.obey(host);
    const again = await db.selectFrom('installation').select('state').execute();
    expect(again).toEqual([{ state: 'ready' }]);
  });

  it('of one host stays so: the roll-out leaves it out until it is installed there again', async ({
    expect,
  }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    const host = await addHost(db, { name: 'out' });
    await addHost(db, { name: 'in' });
    await bench.install({ backends: [{ name: 'virtual' }] });
    await bench.pass();
    await bench.uninstall({ host: ['out'] });
    await bench.obey(host);
    await bench.pass();
    const count = async (): Promise<number> =>
      (await db.selectFrom('backend').select('id').execute()).length;
    expect(await count()).toBe(1);
    await bench.install({ backends: [{ name: 'virtual', hosts: ['out'] }] });
    await bench.pass();
    expect(await count()).toBe(2);
  });

  it('and an attach at the same moment: never both', async ({ expect }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    const host = await addHost(db);
    await bench.install({ backends: [{ name: 'virtual' }] });
    await bench.pass();
    await bench.obey(host);
    const backend = await db.selectFrom('backend').selectAll().executeTakeFirstOrThrow();
    const [free] = await addAccelerators(db, backend, { count: 1 });
    const reserved = Promise.withResolvers<void>();
    const attach = db.transaction().execute(async (tx) => {
      await tx
        .updateTable('accelerator')
        .set({ state: 'reserved' })
        .where('id', '=', free?.id ?? '')
        .execute();
      reserved.resolve();
      await tx.selectNoFrom((eb) => eb.fn('pg_sleep', [eb.val(0.3)]).as('slept')).execute();
    });
    await reserved.promise;
    await expect(bench.uninstall()).rejects.toMatchObject({ code: 'in-use' });
    await attach;
  });
});

describe('operations on hosts', () => {
  it('wait while hosts are down, and fail after the configured time', async ({ expect }) => {
    await using bench = await openBench({ waitForHostSeconds: 60 });
    await addHost(bench.database.db, { name: 'gone', lease_expires_at: new Date(0) });
    const { id } = await bench.install({ backends: [{ name: 'virtual' }] });
    await bench.pass();
    expect(await bench.operation(id)).toMatchObject({ state: 'waiting' });
    bench.clock.jumpWallClock(60_000);
    await bench.pass();
    expect(await bench.operation(id)).toMatchObject({
      state: 'failed',
      error: expect.stringContaining('it is down'),
    });
  });

  it('of discoveries end when every backend has looked', async ({ expect }) => {
    await using bench = await openBench();
    const host = await addHost(bench.database.db, { name: 'h' });
    await bench.install();
    await bench.pass();
    await bench.obey(host);
    const { createDiscovery } = makeDiscoveryHandlers(bench.deps);
    const query = {};
    const asked = operationOf(
      await createDiscovery(admin, { params: {}, query, body: { backend: 'h@pci' } }),
    );
    await bench.pass();
    expect(await bench.operation(asked.id)).toMatchObject({ state: 'running' });
    await bench.obey(host);
    await bench.pass();
    expect(await bench.operation(asked.id)).toMatchObject({ state: 'succeeded' });
    await expect(
      createDiscovery(admin, { params: {}, query, body: { backend: 'pcie' } }),
    ).rejects.toMatchObject({ code: 'backend-not-found', extra: { nearest: ['pci'] } });
    await expect(
      createDiscovery(manager, { params: {}, query, body: { host: 'h' } }),
    ).rejects.toMatchObject({ code: 'host-not-found' });
  });
});

import { toJson } from '@cyborg/store/json';
import { systemClock } from '@cyborg/service/clock';
import { carriedOut } from '@cyborg/testing/carried-out';
import { openTestDatabase } from '@cyborg/testing/database';
import { addAccelerators, addBackend, addHost, addInstance, callerOf } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { makeAgentHandlers } from '../agents/handlers.ts';
import { makeAttachmentHandlers } from '../attachments/handlers.ts';
import { brokenInvariants } from '../test-audit.ts';
import { obey, ordersOf, outcomeOf, report } from '../test-agent.ts';
import { makeTestDeps } from '../test-deps.ts';
import type { ConductorDeps } from '../deps.ts';
import { listHeld } from '../orders/orders.ts';
import { settleOrphans } from '../reconcilers/settle-orphans.ts';
import { uninstallDrained } from '../reconcilers/uninstall-drained.ts';
import { bind, listed, make, member, openBench } from '../../test/requests.ts';
import { advanceHostOperations } from './advance-operations.ts';
import { makeDeploymentHandlers } from './handlers.ts';
import { rollOut } from './roll-out.ts';
import type { UninstallQuery } from './uninstall.ts';

const admin = callerOf('admin', 'alpha');
const manager = callerOf('manager', 'alpha');
const never = new AbortController().signal;
const params = { driver_id: 'generic' };
const reportless = {
  outcomes: [],
  listings: [],
  observations: [],
  installations: [],
  unclaimed: null,
};

type Host = Awaited<ReturnType<typeof addHost>>;

/** The driver's part of the ledger, of a fleet whose rows were written by a fixture. */
function steer(deps: ConductorDeps, host: { readonly id: string }) {
  const { db } = deps;
  const deployments = makeDeploymentHandlers(deps);
  const agents = makeAgentHandlers(deps);
  const passes = [rollOut, advanceHostOperations, uninstallDrained, settleOrphans];
  const pass = async (): Promise<void> => {
    for (const make of passes) await make(deps).pass(never);
  };
  return {
    pass,
    async deploy(): Promise<void> {
      const backend = await db.selectFrom('backend').selectAll().executeTakeFirstOrThrow();
      const { wanted_version: version } = await db
        .selectFrom('installation')
        .select('wanted_version')
        .executeTakeFirstOrThrow();
      const made = { created_at: deps.clock.now() };
      const id = crypto.randomUUID();
      const rest = { rollout: toJson({}), ...made };
      await db
        .insertInto('deployment')
        .values({ id, driver_id: backend.driver_id, version, ...rest })
        .execute();
      const { name, kind, config } = backend;
      const wanted = { name, kind, config: toJson(config), selector: toJson({ kind: 'all' }) };
      const row = { id: crypto.randomUUID(), deployment_id: id, ...wanted, ...made };
      await db.insertInto('deployment_backend').values(row).execute();
    },
    async uninstall(query: UninstallQuery, caller = admin): Promise<string> {
      const asked = { params, query, body: undefined };
      const answer = await deployments.uninstallDriver(caller, asked);
      if ('dry_run' in answer) throw new Error('a dry run');
      return answer.id;
    },
    rehearse: (query: UninstallQuery) =>
      deployments.uninstallDriver(admin, {
        params,
        query: { ...query, dry_run: true },
        body: undefined,
      }),
    /** The host takes away what it is told to take away. */
    async takeAway(): Promise<void> {
      const row = await db
        .selectFrom('host')
        .selectAll()
        .where('id', '=', host.id)
        .executeTakeFirstOrThrow();
      const desired = await agents.showDesired(row, { params: {}, query: {}, body: undefined });
      const backends = desired.installations.flatMap(({ removed_backends: removed }) =>
        removed.map(({ id, generation }) => ({
          backend_id: id,
          generation,
          discovery: 0,
          state: 'removed' as const,
          reason: null,
        })),
      );
      const installations = desired.installations
        .filter(({ wanted }) => wanted === 'removed')
        .map(({ id, generation }) => ({
          installation_id: id,
          generation,
          state: 'removed' as const,
          running_version: null,
          reason: null,
        }));
      const from = { instance: row.agent_instance ?? '', ledger: deps.ledger };
      const body = { ...from, ...reportless, backends, installations };
      await agents.report(row, { params: {}, query: {}, body });
      await pass();
    },
    operation: (id: string) =>
      db.selectFrom('operation').selectAll().where('id', '=', id).executeTakeFirstOrThrow(),
    states: async () => {
      const rows = await db.selectFrom('accelerator').select('state').orderBy('state').execute();
      return rows.map(({ state }) => state);
    },
    backend: () => db.selectFrom('backend').selectAll().executeTakeFirst(),
  };
}

async function setUp() {
  const database = await openTestDatabase();
  const { db } = database;
  const deps = makeTestDeps({ db, clock: systemClock });
  const host: Host = await addHost(db, { name: 'h' });
  const backend = await addBackend(db, host);
  await addAccelerators(db, backend, { count: 2 });
  const guest = await addInstance(db, host, { name: 'vm' });
  const fleet = steer(deps, host);
  await fleet.deploy();
  const attachments = makeAttachmentHandlers(deps);
  const attach = () =>
    attachments.createAttachments(admin, {
      params: { instance_id: guest.id },
      query: {},
      body: {},
    });
  return { ...fleet, database, db, deps, host, guest, attach };
}

describe('uninstall-driver --force', () => {
  it('detaches and cleans first, gives out nothing meanwhile, and goes when nothing is held', async ({
    expect,
  }) => {
    const bench = await setUp();
    await using _ = bench.database;
    const { db, deps, host } = bench;
    await bench.attach();
    await obey(deps, host);
    expect(await bench.rehearse({ force: true })).toMatchObject({
      changes: [
        { change: expect.stringContaining('is removed') },
        { change: expect.stringContaining('is detached first') },
      ],
    });
    const id = await bench.uninstall({ force: true });
    await bench.pass();
    expect(await bench.backend()).toMatchObject({
      state: 'draining',
      reason: expect.stringContaining('when everything that it gave out is detached'),
    });
    expect(await bench.operation(id)).toMatchObject({
      state: 'running',
      results: [
        { outcome: 'pending', message: expect.stringMatching(/waits until.*attached by instance/) },
        { outcome: 'pending' },
      ],
    });
    await expect(bench.attach()).rejects.toThrow();
    // The host has been told nothing of it: the driver must be there to release and clean.
    await bench.takeAway();
    expect(await bench.backend()).toMatchObject({ state: 'draining' });

    await obey(deps, host);
    await bench.pass();
    expect(await bench.backend()).toMatchObject({ state: 'removing' });
    await bench.takeAway();
    expect(await bench.operation(id)).toMatchObject({ state: 'succeeded' });
    expect(await bench.states()).toEqual([]);
    expect(await bench.backend()).toBeUndefined();
    const attachment = await db.selectFrom('attachment').selectAll().executeTakeFirst();
    expect(attachment).toMatchObject({ state: 'released' });
    const told = await db
      .selectFrom('event')
      .select(['data', 'user_id'])
      .where('kind', '=', 'driver.forced-uninstall')
      .execute();
    expect(told).toMatchObject([
      {
        user_id: admin.userId,
        data: { kept: [], detached: [{ instance_id: bench.guest.id }] },
      },
    ]);
    expect(await brokenInvariants(db)).toEqual([]);
  });

  it('ends what has only been promised at once', async ({ expect }) => {
    const bench = await setUp();
    await using _ = bench.database;
    await bench.attach();
    const id = await bench.uninstall({ force: true });
    // A reservation that no host had been told of ends at once.
    expect(await bench.states()).not.toContain('reserved');
    await bench.pass();
    await bench.takeAway();
    expect(await bench.operation(id)).toMatchObject({ state: 'succeeded' });
    expect(await bench.states()).toEqual([]);
  });

  it('keeps what cannot be cleaned, without its driver', async ({ expect }) => {
    const bench = await setUp();
    await using _ = bench.database;
    const { db, deps, host } = bench;
    await bench.attach();
    await obey(deps, host);
    const id = await bench.uninstall({ force: true });
    await obey(deps, host, (order) =>
      order.kind === 'clean'
        ? outcomeOf(order, { outcome: 'clean_failed', message: 'it has no reset' })
        : outcomeOf(order),
    );
    await bench.pass();
    await bench.takeAway();
    expect(await bench.operation(id)).toMatchObject({ state: 'succeeded' });
    const left = await db.selectFrom('accelerator').select(['state', 'reason']).execute();
    expect(left).toMatchObject([{ state: 'cleaning_failed' }]);
  });

  it('that waits for a guest can be given up with --keep-attached', async ({ expect }) => {
    const bench = await setUp();
    await using _ = bench.database;
    const { db, deps, host } = bench;
    await bench.attach();
    await obey(deps, host);
    await bench.uninstall({ force: true });
    // There is no deployment any more, but there is still something to uninstall.
    await expect(bench.uninstall({})).rejects.toMatchObject({ code: 'in-use' });
    const id = await bench.uninstall({ keep_attached: true });
    await bench.takeAway();
    expect(await bench.operation(id)).toMatchObject({ state: 'succeeded' });
    expect(await db.selectFrom('accelerator').select(['state', 'reason']).execute()).toEqual([
      { state: 'orphaned', reason: 'its driver was uninstalled by force' },
    ]);
  });

  it('ends a detach whose cleaning is given up with --keep-attached, and says so', async ({
    expect,
  }) => {
    const bench = await setUp();
    await using _ = bench.database;
    const { db, deps, host } = bench;
    await bench.attach();
    await obey(deps, host);
    const detach = carriedOut(
      await makeAttachmentHandlers(deps).deleteAttachments(admin, {
        params: { instance_id: bench.guest.id },
        query: {},
        body: undefined,
      }),
    );
    const [order] = await ordersOf(deps, host);
    await report(deps, host, [outcomeOf(order!)]);
    await bench.uninstall({ keep_attached: true });
    expect(await bench.operation(detach.id)).toMatchObject({
      state: 'succeeded',
      results: [{ outcome: 'succeeded', message: expect.stringContaining('uninstalled by force') }],
    });
    const kept = await db.selectFrom('accelerator').selectAll().execute();
    expect(kept.filter(({ state }) => state === 'cleaning_failed')).toMatchObject([
      { reason: 'its driver was uninstalled by force', operation_id: null },
    ]);
  });

  it('is for admins, in both its forms', async ({ expect }) => {
    const bench = await setUp();
    await using _ = bench.database;
    for (const query of [{ force: true }, { keep_attached: true }]) {
      await expect(bench.uninstall(query, manager)).rejects.toMatchObject({ code: 'forbidden' });
    }
  });
});

describe('a forced uninstall of what Nova holds', () => {
  async function boundByNova() {
    const bench = await openBench(1);
    const { db, deps, host } = bench;
    const fleet = steer(deps, host);
    await fleet.deploy();
    const [arq = ''] = await make(bench);
    const instance = await addInstance(db, host, { name: 'web' });
    await bind(bench, [arq], { instance: instance.id });
    return { bench, fleet, arq, instance };
  }

  it('is refused with --force, naming the server and the Compute API, and changes nothing', async ({
    expect,
  }) => {
    const { bench, fleet, instance } = await boundByNova();
    await using _ = bench;
    await expect(fleet.uninstall({ force: true })).rejects.toMatchObject({
      code: 'in-use',
      message: expect.stringMatching(/Nova plugged.*Compute API.*--keep-attached/s),
      extra: { users: [{ instance_id: instance.id, state: 'attached' }] },
    });
    expect(await fleet.states()).toEqual(['attached']);
    expect(await fleet.backend()).toMatchObject({ state: 'ready' });
    expect((await listed(bench, member))[0]).toMatchObject({ state: 'Bound' });
  });

  it('with --keep-attached leaves it bound, orphaned, and the agent goes on looking at it', async ({
    expect,
  }) => {
    const { bench, fleet, arq } = await boundByNova();
    await using _ = bench;
    const id = await fleet.uninstall({ keep_attached: true });
    await fleet.takeAway();
    expect(await fleet.operation(id)).toMatchObject({ state: 'succeeded' });
    expect(await fleet.states()).toEqual(['orphaned']);
    expect((await listed(bench, member))[0]).toMatchObject({ state: 'Bound' });
    const { items } = await listHeld(bench.db, bench.host.id, undefined);
    expect(items).toMatchObject([{ attachment_id: arq, plugged_by: 'nova' }]);
    expect(await brokenInvariants(bench.db)).toEqual([]);
  });

  it('is cleaned by nobody when its server goes, and says so', async ({ expect }) => {
    const { bench, fleet, arq } = await boundByNova();
    await using _ = bench;
    await fleet.uninstall({ keep_attached: true });
    await fleet.takeAway();
    await bench.arqs.remove(member, [arq]);
    await fleet.pass();
    const left = await bench.db.selectFrom('accelerator').select(['state', 'reason']).execute();
    expect(left).toMatchObject([
      { state: 'cleaning_failed', reason: expect.stringContaining('uninstalled by force') },
    ]);
  });
});

import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { systemClock } from '@cyborg/service/clock';
import { toJson } from '@cyborg/store/json';
import { makeTestClock } from '@cyborg/testing/clock';
import { openTestDatabase } from '@cyborg/testing/database';
import { addHost, callerOf } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { makeAgentHandlers } from '../agents/handlers.ts';
import { registerBuiltinDrivers, type BuiltinManifest } from '../ledger/builtin-drivers.ts';
import { readOperation } from '../operations/read-operations.ts';
import { makeTestDeps } from '../test-deps.ts';
import { advanceHostOperations } from './advance-operations.ts';
import { makeDeploymentHandlers } from './handlers.ts';
import { rollOut } from './roll-out.ts';
import type { UpdateBody } from './update.ts';
import { readDeployment } from './view.ts';

const manifestFile = join(import.meta.dirname, '../../../../drivers/generic/manifest.json');
const generic: BuiltinManifest = JSON.parse(readFileSync(manifestFile, 'utf8'));
const admin = callerOf('admin', 'ops');
const params = { driver_id: 'generic' };
const never = new AbortController().signal;
const wrong = { exclude: [{ address: 'ffff:ff:1f.7' }] };
const sentence = 'exclude[0].address is "ffff:ff:1f.7"; there is no such bus';

type Host = Awaited<ReturnType<typeof addHost>>;

/** Hosts a and b with backend pci, whose driver takes everything but `wrong`. */
async function setUp(rollout: UpdateBody['rollout'] = {}) {
  const database = await openTestDatabase();
  const { db } = database;
  const clock = makeTestClock();
  const deps = makeTestDeps({ db, clock: { ...systemClock, now: () => clock.now() } });
  await registerBuiltinDrivers(deps, [{ ...generic, version: '1.0.0' }]);
  const { kinds, default_backends } = generic;
  const manifest = toJson({ kinds, default_backends });
  const other = { driver_id: 'generic', state: 'approved', is_builtin: false, manifest } as const;
  for (const version of ['1.1.0', '1.2.0']) {
    await db
      .insertInto('driver_version')
      .values({ ...other, version, created_at: clock.now() })
      .execute();
  }
  const agents = makeAgentHandlers(deps);
  const handlers = makeDeploymentHandlers(deps);
  const hosts = [await addHost(db, { name: 'a' }), await addHost(db, { name: 'b' })] as const;
  const update = async (body: UpdateBody) => {
    const answer = await handlers.updateDriver(admin, { params, query: {}, body });
    if ('dry_run' in answer) throw new Error('a dry run');
    return answer;
  };
  const bench = {
    db,
    update,
    hosts,
    configure: (config: Record<string, unknown>) => update({ backends: [{ name: 'pci', config }] }),
    operation: (id: string) => readOperation(db, admin, id),
    deployment: () => readDeployment(db, admin, 'generic'),
    async pass(): Promise<void> {
      for (const one of [rollOut(deps), advanceHostOperations(deps)]) await one.pass(never);
    },
    async obey(host: Host): Promise<void> {
      const desired = await agents.showDesired(host, { params: {}, query: {}, body: undefined });
      const installations = desired.installations.map(({ id, generation, version }) => ({
        installation_id: id,
        generation,
        state: 'ready' as const,
        running_version: version,
        reason: null,
      }));
      const backends = desired.installations.flatMap((one) =>
        one.backends.map(({ id, generation, discovery, config }) => {
          const isWrong =
            JSON.stringify(config).includes('ffff:ff:1f.7') && one.version === '1.0.0';
          const said = isWrong
            ? { state: 'failed' as const, reason: sentence, refused: true }
            : { state: 'ready' as const, reason: null };
          return { backend_id: id, generation, discovery, ...said };
        }),
      );
      const { ledger } = deps;
      const rest = { outcomes: [], listings: [], observations: [], unclaimed: null };
      const instance = host.agent_instance ?? '';
      const body = { instance, ledger, installations, backends, ...rest };
      await agents.report(host, { params: {}, query: {}, body });
    },
    [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
  };
  const backends = [{ name: 'pci', kind: 'pci' }];
  await handlers.installDriver(admin, {
    params,
    query: {},
    body: { backends, version: '1.0.0', rollout },
  });
  for (const host of hosts) {
    await bench.pass();
    await bench.obey(host);
  }
  await bench.pass();
  return bench;
}

describe('a configuration that the driver refuses', () => {
  it('fails the operation with the driver’s sentence, host by host', async ({ expect }) => {
    await using bench = await setUp();
    const [a, b] = bench.hosts;
    const { id } = await bench.configure(wrong);
    await bench.pass();
    await bench.obey(a);
    await bench.pass();
    expect(await bench.operation(id)).toMatchObject({ state: 'running', progress: { done: 1 } });
    await bench.obey(b);
    await bench.pass();
    expect(await bench.operation(id)).toMatchObject({
      state: 'failed',
      error: `a@pci: ${sentence} (and 1 more)`,
      results: [
        { host: 'a', outcome: 'failed', message: sentence },
        { host: 'b', outcome: 'failed', message: sentence },
      ],
    });
    const { id: better } = await bench.configure({ exclude: [] });
    await bench.pass();
    for (const host of bench.hosts) await bench.obey(host);
    await bench.pass();
    expect(await bench.operation(better)).toMatchObject({ state: 'succeeded' });
  });

  it('comes to no more hosts of a paced roll-out than may fail, until it is resumed', async ({
    expect,
  }) => {
    await using bench = await setUp({ batch: 1 });
    const [a] = bench.hosts;
    const { id } = await bench.configure(wrong);
    await bench.pass();
    await bench.obey(a);
    await bench.pass();
    await bench.pass();
    const told = async (): Promise<string[]> => {
      const rows = await bench.db
        .selectFrom('backend')
        .innerJoin('host', 'host.id', 'host_id')
        .select(['host.name', 'config'])
        .orderBy('host.name')
        .execute();
      return rows.filter(({ config }) => 'exclude' in config).map(({ name }) => name);
    };
    expect(await told()).toEqual(['a']);
    expect(await bench.operation(id)).toMatchObject({
      state: 'failed',
      results: [
        { outcome: 'failed', message: sentence },
        { outcome: 'failed', message: 'not begun: the roll-out stopped when host a failed' },
      ],
    });
    expect(await bench.deployment()).toMatchObject({ rollout_state: 'stopped' });

    await bench.update({ act: 'resume' });
    expect(await bench.deployment()).not.toMatchObject({ rollout_state: 'stopped' });
    await bench.obey(a);
    await bench.pass();
    expect(await bench.deployment()).toMatchObject({ rollout_state: 'stopped' });
    expect(await told()).toEqual(['a']);
  });

  it('is tried again with a version that may take it', async ({ expect }) => {
    await using bench = await setUp({ batch: 1 });
    const [a, b] = bench.hosts;
    await bench.configure(wrong);
    await bench.pass();
    await bench.obey(a);
    await bench.pass();
    const { id } = await bench.update({ version: '1.1.0' });
    for (const host of [a, b]) {
      await bench.pass();
      await bench.obey(host);
    }
    await bench.pass();
    expect(await bench.operation(id)).toMatchObject({ state: 'succeeded' });
  });
});

describe('an operation whose configuration a later one replaces', () => {
  it('ends, and says which; what a host had come to stays', async ({ expect }) => {
    await using bench = await setUp();
    const [a, b] = bench.hosts;
    const { id: first } = await bench.configure(wrong);
    await bench.pass();
    await bench.obey(a);
    await bench.pass();
    const { id: second } = await bench.configure({ exclude: [] });
    const { id: third } = await bench.configure({ exclude: null });
    await bench.pass();
    const overtakenBy = (id: string): string =>
      `Overtaken: operation ${id} gave backend pci another configuration.`;
    expect(await bench.operation(first)).toMatchObject({
      state: 'failed',
      results: [
        { host: 'a', message: sentence },
        { host: 'b', message: overtakenBy(second) },
      ],
    });
    expect(await bench.operation(second)).toMatchObject({
      state: 'failed',
      error: `a@pci: ${overtakenBy(third)} (and 1 more)`,
    });
    for (const host of [a, b]) await bench.obey(host);
    await bench.pass();
    expect(await bench.operation(third)).toMatchObject({ state: 'succeeded' });
  });
});

describe('a rollback', () => {
  it('that is asked for twice is refused, and goes to no version that was left', async ({
    expect,
  }) => {
    await using bench = await setUp();
    await bench.update({ version: '1.1.0' });
    await bench.update({ version: '1.2.0' });
    await bench.update({ act: 'rollback' });
    await expect(bench.update({ act: 'rollback' })).rejects.toMatchObject({
      code: 'wrong-state',
      message: expect.stringMatching(/from 1\.2\.0 to 1\.1\.0 already.*--version 1\.2\.0/),
    });
    expect(await bench.deployment()).toMatchObject({ version: '1.1.0', previous_version: null });
    await bench.update({ version: '1.2.0' });
    await bench.update({ act: 'rollback' });
    expect(await bench.deployment()).toMatchObject({ version: '1.1.0' });
  });
});

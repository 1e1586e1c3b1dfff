import { systemClock } from '@cyborg/service/clock';
import { makeTestClock, type TestClock } from '@cyborg/testing/clock';
import { openTestDatabase, type TestDatabase } from '@cyborg/testing/database';
import { addAccelerators, addBackend, addHost } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { makeAgentHandlers, type AgentHandlers } from '../agents/handlers.ts';
import type { ConductorDeps } from '../deps.ts';
import { removeAbsent } from '../reconcilers/remove-absent.ts';
import { makeTestDeps } from '../test-deps.ts';

type Host = Awaited<ReturnType<typeof addHost>>;
type Backend = Awaited<ReturnType<typeof addBackend>>;

interface Bench extends AsyncDisposable {
  readonly database: TestDatabase;
  readonly clock: TestClock;
  readonly deps: ConductorDeps;
  /** That were sent to the database by what is tested. */
  readonly statements: { count: number };
  readonly agents: AgentHandlers;
  readonly host: Host;
  readonly backend: Backend;
  put(devices: readonly unknown[], more?: Put): Promise<null>;
  accelerators(): Promise<{ key: string; state: string; reason: string | null }[]>;
}

interface Put {
  readonly backend?: Backend;
  readonly hash?: string;
  readonly generation?: number;
  readonly services?: readonly unknown[];
}

async function openBench(limits: Parameters<typeof makeTestDeps>[1] = {}): Promise<Bench> {
  const database = await openTestDatabase();
  const clock = makeTestClock();
  const statements = { count: 0 };
  const db = database.db.withPlugin({
    transformQuery: ({ node }) => {
      statements.count += 1;
      return node;
    },
    transformResult: async ({ result }) => result,
  });
  const deps = makeTestDeps({ db, clock: { ...systemClock, now: () => clock.now() } }, limits);
  const agents = makeAgentHandlers(deps);
  const host = await addHost(database.db, { name: 'h', first_inventory_at: null });
  const backend = await addBackend(database.db, host, { name: 'pci', kind: 'pci' });
  return {
    database,
    clock,
    deps,
    statements,
    agents,
    host,
    backend,
    put: (devices, more = {}) =>
      agents.putInventory(host, {
        params: { backend_id: (more.backend ?? backend).id },
        query: {},
        body: {
          instance: host.agent_instance ?? '',
          ledger: deps.ledger,
          hash: more.hash ?? JSON.stringify(devices).slice(0, 200) + String(Math.random()),
          generation: more.generation ?? 1,
          devices,
          services: more.services ?? [],
        },
      }),
    accelerators: () =>
      database.db
        .selectFrom('accelerator')
        .select(['key', 'state', 'reason'])
        .where('backend_id', '=', backend.id)
        .orderBy('key')
        .execute(),
    [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
  };
}

interface Card {
  readonly address?: string;
  readonly offered?: boolean;
  readonly hostUse?: string | null;
  readonly reason?: string | null;
  readonly obstacle?: string | null;
  readonly health?: string;
  readonly traits?: readonly string[];
  readonly model?: string;
}

function card(key: string, given: Card = {}): Record<string, unknown> {
  const { address = `0000:${key}:00.0`, offered = true, hostUse = null } = given;
  return {
    key,
    address,
    vendor_id: '0x10de',
    device_id: '0x2330',
    class: '0x030200',
    type: 'GPU',
    vendor: 'NVIDIA',
    model: given.model ?? null,
    serial: null,
    numa_node: 0,
    iommu_group: 7,
    kernel_driver: null,
    offered,
    reason: null,
    health: { status: given.health ?? 'healthy', reason: null },
    info: { link: 'x16', a: 'b' },
    deployables: [
      {
        key,
        name: `h_${key}`,
        resource_class: 'PGPU',
        traits: given.traits ?? ['OWNER_CYBORG', 'CUSTOM_H100'],
        accelerators: [
          {
            key,
            name: `gpu-${key}`,
            type: 'GPU',
            plans: ['pci'],
            offered,
            reason: given.reason ?? null,
            ...(given.obstacle !== undefined && { obstacle: given.obstacle }),
            host_use: hostUse,
            attach_info: { bus: key },
          },
        ],
      },
    ],
  };
}

const gpuService = {
  name: 'gpu.compute',
  kind: 'function',
  state: 'up',
  reason: null,
  accelerators_total: 1,
  accelerators_offered: 1,
};

describe('a first inventory', () => {
  it('enters devices, deployables, v2 attributes, accelerators and services', async ({
    expect,
  }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    const cards = [
      card('21'),
      card('22', { offered: false }),
      card('23', { hostUse: 'ext4 on /' }),
    ];
    await bench.put(cards, { services: [gpuService] });
    expect(await bench.accelerators()).toEqual([
      { key: '21', state: 'available', reason: null },
      { key: '22', state: 'withheld', reason: 'not approved' },
      { key: '23', state: 'withheld', reason: 'host uses it: ext4 on /' },
    ]);
    const attributes = await db
      .selectFrom('attribute')
      .innerJoin('deployable', 'deployable.id', 'attribute.deployable_id')
      .select(['attribute.key', 'attribute.value'])
      .where('deployable.key', '=', '21')
      .orderBy('attribute.key')
      .execute();
    expect(attributes).toEqual([
      { key: 'rc', value: 'PGPU' },
      { key: 'trait0', value: 'OWNER_CYBORG' },
      { key: 'trait1', value: 'CUSTOM_H100' },
    ]);
    expect(await db.selectFrom('service').select(['name', 'state']).execute()).toEqual([
      { name: 'gpu.compute', state: 'up' },
    ]);
    expect(await db.selectFrom('host').select('first_inventory_at').executeTakeFirst()).toEqual({
      first_inventory_at: bench.clock.now(),
    });
    const events = await db.selectFrom('event').select('kind').orderBy('id').execute();
    expect(events.map(({ kind }) => kind)).toEqual([
      'device.added',
      'device.added',
      'device.added',
      'service.added',
      'backend.first-inventory',
    ]);
  });

  it('of 2,000 devices is one transaction of a few statements', async ({ expect }) => {
    await using bench = await openBench();
    const devices = Array.from({ length: 2000 }, (_, index) => card(String(index)));
    bench.statements.count = 0;
    await bench.put(devices);
    expect(bench.statements.count).toBeLessThan(30);
    expect(await bench.accelerators()).toHaveLength(2000);
  });
});

describe('an unchanged inventory', () => {
  it('is not asked for and writes no row', async ({ expect }) => {
    await using bench = await openBench();
    await bench.put([card('21')], { hash: 'one' });
    const before = await rowsOf(bench);
    const offer = (hash: string, generation = 1): Promise<{ readonly wanted: readonly string[] }> =>
      bench.agents.offerInventories(bench.host, {
        params: {},
        query: {},
        body: {
          instance: bench.host.agent_instance ?? '',
          ledger: bench.deps.ledger,
          backends: [{ backend_id: bench.backend.id, hash, generation }],
        },
      });
    expect(await offer('one')).toEqual({ wanted: [] });
    expect(await offer('two')).toEqual({ wanted: [bench.backend.id] });
    expect(await offer('two', 0)).toEqual({ wanted: [] });
    await bench.put([card('21')], { hash: 'one' });
    expect(await rowsOf(bench)).toBe(before);
  });

  it('with another hash and the same facts changes no device and has no event', async ({
    expect,
  }) => {
    await using bench = await openBench();
    await bench.put([card('21')], { hash: 'one', services: [gpuService] });
    const read = async (): Promise<unknown> => [
      await bench.database.db.selectFrom('device').selectAll().execute(),
      await bench.database.db.selectFrom('accelerator').selectAll().execute(),
      await bench.database.db.selectFrom('event').selectAll().execute(),
    ];
    const before = await read();
    await bench.put([card('21')], { hash: 'two', services: [gpuService] });
    expect(await read()).toEqual(before);
  });
});

/** Where every row is and which transaction wrote it: differs after any insert, update or delete. */
async function rowsOf({ database }: Bench): Promise<string> {
  const tables = ['host', 'backend', 'device', 'deployable', 'attribute', 'accelerator', 'service'];
  const parts = [...tables, 'event', 'installation'].map(
    (table) => `select '${table}' || ctid || ' ' || xmin as at from ${table}`,
  );
  const { rows } = await database.pool.query(
    `select string_agg(at, ',' order by at) as at from (${parts.join(' union all ')}) as everything`,
  );
  return rows[0].at;
}

describe('what is not reported any more (promise 3)', () => {
  it('becomes absent with a since-time, and available again when it returns', async ({
    expect,
  }) => {
    await using bench = await openBench();
    await bench.put([card('21'), card('22')]);
    bench.clock.jumpWallClock(5000);
    const since = bench.clock.now();
    await bench.put([card('21')]);
    bench.clock.jumpWallClock(5000);
    await bench.put([card('21', { model: 'H100' })]);
    const device = (): Promise<object> =>
      bench.database.db
        .selectFrom('device')
        .select(['presence', 'absent_since'])
        .where('key', '=', '22')
        .executeTakeFirstOrThrow();
    expect(await device()).toEqual({ presence: 'absent', absent_since: since });
    expect(await bench.accelerators()).toMatchObject([
      { key: '21', state: 'available' },
      { key: '22', state: 'withheld', reason: 'absent' },
    ]);
    await bench.put([card('21'), card('22')]);
    expect(await device()).toEqual({ presence: 'present', absent_since: null });
    expect(await bench.accelerators()).toMatchObject([{}, { key: '22', state: 'available' }]);
  });

  it('keeps its attachment while it is attached, even when all of it is gone', async ({
    expect,
  }) => {
    await using bench = await openBench();
    await bench.put([card('21')]);
    const held = { state: 'attached', attachment_id: crypto.randomUUID() } as const;
    await bench.database.db.updateTable('accelerator').set(held).execute();
    await bench.put([]);
    const row = await bench.database.db.selectFrom('accelerator').selectAll().executeTakeFirst();
    expect(row).toMatchObject({ ...held, presence: 'absent', absent_since: bench.clock.now() });
  });

  it('is removed after the configured grace when free, and never with a grace of 0', async ({
    expect,
  }) => {
    for (const [absentGraceSeconds, left] of [
      [0, ['21', '22']],
      [60, ['22']],
    ] as const) {
      await using bench = await openBench({ absentGraceSeconds });
      await bench.put([card('21'), card('22')]);
      await bench.database.db
        .updateTable('accelerator')
        .set({ state: 'attached', attachment_id: crypto.randomUUID() })
        .where('key', '=', '22')
        .execute();
      await bench.put([]);
      const pass = (): Promise<unknown> => removeAbsent(bench.deps).pass(AbortSignal.abort());
      bench.clock.jumpWallClock(59_000);
      await pass();
      expect(await bench.accelerators()).toHaveLength(2);
      bench.clock.jumpWallClock(1000);
      await pass();
      expect((await bench.accelerators()).map(({ key }) => key)).toEqual(left);
    }
  });
});

describe('changes', () => {
  it('of facts are told once each, and v2 attributes follow their traits', async ({ expect }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    await bench.put([card('21')]);
    await db.deleteFrom('event').execute();
    await bench.put([card('21', { hostUse: 'swap on it', traits: ['CUSTOM_B'] })]);
    const events = await db.selectFrom('event').select(['kind', 'data']).execute();
    expect(events).toMatchObject([
      { kind: 'accelerator.withheld', data: { reason: 'host uses it: swap on it' } },
    ]);
    const values = await db
      .selectFrom('attribute')
      .select(['key', 'value'])
      .orderBy('key')
      .execute();
    expect(values).toEqual([
      { key: 'rc', value: 'PGPU' },
      { key: 'trait0', value: 'CUSTOM_B' },
    ]);
  });

  it('never touch who holds an accelerator, nor its epoch', async ({ expect }) => {
    await using bench = await openBench();
    await bench.put([card('21')]);
    await bench.database.db
      .updateTable('accelerator')
      .set({ state: 'reserved', epoch: 77 })
      .execute();
    await bench.put([card('21', { hostUse: 'somebody', health: 'failed' })]);
    expect(
      await bench.database.db.selectFrom('accelerator').selectAll().executeTakeFirst(),
    ).toMatchObject({ state: 'reserved', epoch: 77, host_use: 'somebody', health: 'failed' });
  });

  it('obey an operator who withheld or approved', async ({ expect }) => {
    await using bench = await openBench();
    await bench.put([card('21'), card('22', { offered: false })]);
    await bench.database.db
      .updateTable('accelerator')
      .set({ operator_choice: 'withhold', operator_reason: 'RMA', state: 'withheld' })
      .where('key', '=', '21')
      .execute();
    await bench.database.db
      .updateTable('accelerator')
      .set({ operator_choice: 'offer', state: 'available', reason: null })
      .where('key', '=', '22')
      .execute();
    const changed = { traits: ['CUSTOM_C'] };
    await bench.put([card('21', changed), card('22', { ...changed, offered: false })]);
    expect(await bench.accelerators()).toMatchObject([
      { key: '21', state: 'withheld', reason: 'operator: RMA' },
      { key: '22', state: 'available' },
    ]);
  });

  it('withhold what the driver says cannot be given, whoever offered it before', async ({
    expect,
  }) => {
    await using bench = await openBench();
    const bare = { offered: false, reason: 'not approved' };
    const all = (changes: Card): unknown[] => ['21', '22', '23'].map((key) => card(key, changes));
    await bench.put(all(bare));
    await bench.database.db
      .updateTable('accelerator')
      .set({ operator_choice: 'offer', state: 'available', reason: null })
      .where('key', '<>', '23')
      .execute();
    await bench.put([
      card('21', { offered: false, reason: 'divided into 2 virtual functions' }),
      card('22', { ...bare, obstacle: 'no IOMMU group' }),
      card('23', { ...bare, obstacle: 'no IOMMU group' }),
    ]);
    expect(await bench.accelerators()).toMatchObject([
      { state: 'withheld', reason: 'cannot be given: divided into 2 virtual functions' },
      { state: 'withheld', reason: 'cannot be given: no IOMMU group' },
      { state: 'withheld', reason: 'not approved: no IOMMU group' },
    ]);
    await bench.put(all(bare));
    expect(await bench.accelerators()).toMatchObject([
      { state: 'available' },
      { state: 'available' },
      { state: 'withheld', reason: 'not approved' },
    ]);
  });

  it('give an orphaned accelerator its driver back', async ({ expect }) => {
    await using bench = await openBench();
    await bench.put([card('21')]);
    const { db } = bench.database;
    await db.updateTable('accelerator').set({ state: 'orphaned' }).execute();
    await db.updateTable('backend').set({ inventory_hash: null }).execute();
    await bench.put([card('21')]);
    expect(await bench.accelerators()).toMatchObject([{ state: 'attached' }]);
  });

  it('of a service that is offered no more bring it down', async ({ expect }) => {
    await using bench = await openBench();
    await bench.put([card('21')], { services: [gpuService] });
    await bench.put([]);
    expect(
      await bench.database.db.selectFrom('service').select(['state', 'reason']).execute(),
    ).toEqual([{ state: 'down', reason: 'not offered any more' }]);
  });
});

describe('nonsense', () => {
  const base = card('21');
  const cases: [string, unknown, RegExp][] = [
    ['a device that is a text', 'gpu', /devices\[0\]: expected an object, got "gpu"/],
    ['an unknown type', { ...base, type: 'TOASTER' }, /devices\[0\]\.type: expected one of GPU/],
    ['an unknown field', { ...base, extra: 1 }, /devices\[0\]\.extra: expected no such field/],
    ['a number for a text', { ...base, model: 5 }, /devices\[0\]\.model: expected a text/],
    ['NUL in a text', { ...base, key: 'a\u0000' }, /devices\[0\]\.key: expected a text/],
    ['a NUMA node of 2^40', { ...base, numa_node: 2 ** 40 }, /numa_node: expected an integer/],
    ['a missing list', { ...base, deployables: undefined }, /deployables: expected a list/],
  ];
  for (const [name, device, message] of cases) {
    it(`is refused with the field named: ${name}; the last good inventory stays`, async ({
      expect,
    }) => {
      await using bench = await openBench();
      await bench.put([card('21')]);
      await expect(bench.put([device])).rejects.toThrow(message);
      expect(await bench.accelerators()).toMatchObject([{ key: '21', state: 'available' }]);
    });
  }

  it('like one key twice is refused', async ({ expect }) => {
    await using bench = await openBench();
    await expect(bench.put([card('21'), card('21')])).rejects.toThrow(
      /this one is twice, got "21"/,
    );
  });

  it('like a backend of another host is 404', async ({ expect }) => {
    await using bench = await openBench();
    const other = await addHost(bench.database.db);
    const foreign = await addBackend(bench.database.db, other);
    await addAccelerators(bench.database.db, foreign, { count: 1 });
    await expect(bench.put([], { backend: foreign })).rejects.toMatchObject({
      code: 'backend-not-found',
    });
  });

  it('like an older generation than is wanted is left aside', async ({ expect }) => {
    await using bench = await openBench();
    await bench.database.db.updateTable('backend').set({ generation: 2 }).execute();
    await bench.put([card('21')], { generation: 1 });
    expect(await bench.accelerators()).toEqual([]);
  });
});

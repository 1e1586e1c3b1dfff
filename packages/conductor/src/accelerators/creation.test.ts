import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { systemClock } from '@cyborg/service/clock';
import { makeTestClock } from '@cyborg/testing/clock';
import { openTestDatabase, type TestDatabase } from '@cyborg/testing/database';
import { addAccelerators, addBackend, addHost, callerOf } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { makeAgentHandlers, type AgentHandlers } from '../agents/handlers.ts';
import type { ConductorDeps } from '../deps.ts';
import { registerBuiltinDrivers, type BuiltinManifest } from '../ledger/builtin-drivers.ts';
import { makeTestDeps } from '../test-deps.ts';
import {
  makeAcceleratorCreationHandlers,
  type AcceleratorCreationHandlers,
} from './creation-handlers.ts';
import type { CreateBody } from './create-accelerator.ts';
import type { AcceleratorView } from './view.ts';

const manifestFile = join(import.meta.dirname, '../../../../drivers/generic/manifest.json');
const generic: BuiltinManifest = JSON.parse(readFileSync(manifestFile, 'utf8'));
const admin = callerOf('admin', 'ops');
const manager = callerOf('manager', 'alpha');

type Host = Awaited<ReturnType<typeof addHost>>;

interface Bench extends AsyncDisposable {
  readonly database: TestDatabase;
  readonly deps: ConductorDeps;
  readonly agents: AgentHandlers;
  readonly host: Host;
  readonly handlers: AcceleratorCreationHandlers;
  create(body: CreateBody, caller?: typeof admin): Promise<AcceleratorView>;
  remove(id: string, caller?: typeof admin): Promise<unknown>;
}

async function openBench(): Promise<Bench> {
  const database = await openTestDatabase();
  const { db } = database;
  const clock = makeTestClock();
  const deps = makeTestDeps({ db, clock: { ...systemClock, now: () => clock.now() } });
  await registerBuiltinDrivers(deps, [{ ...generic, version: '1.0.0' }]);
  const host = await addHost(db, { name: 'h' });
  const handlers = makeAcceleratorCreationHandlers(deps);
  for (const kind of ['pci', 'virtual', 'static']) await addBackend(db, host, { name: kind, kind });
  return {
    database,
    deps,
    agents: makeAgentHandlers(deps),
    host,
    handlers,
    async create(body, caller = admin) {
      const made = await handlers.createAccelerator(caller, { params: {}, query: {}, body });
      if ('dry_run' in made) throw new Error('a dry run');
      return made;
    },
    remove: (id, caller = admin) =>
      handlers.deleteAccelerator(caller, { params: { id }, query: {}, body: undefined }),
    [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
  };
}

/** What the host is to run, of one backend. */
async function desiredConfig(
  bench: Bench,
  name: string,
): Promise<Readonly<Record<string, unknown>>> {
  const desired = await bench.agents.showDesired(bench.host, {
    params: {},
    query: {},
    body: undefined,
  });
  const backends = desired.installations.flatMap((one) => one.backends);
  return backends.find((backend) => backend.name === name)?.config ?? {};
}

describe('accelerator-create on a virtual backend', () => {
  it('adds one that the driver will report, withheld until then', async ({ expect }) => {
    await using bench = await openBench();
    const made = await bench.create({ backend: 'h@virtual', function: 'crypto', name: 'mine' });
    expect(made).toMatchObject({ name: 'mine', state: 'withheld', reason: 'not reported yet' });
    const { additional } = await desiredConfig(bench, 'virtual');
    expect(additional).toMatchObject([{ function: 'crypto', name: 'mine' }]);

    const key = (additional as { key: string }[])[0]?.key;
    const backend = await bench.database.db
      .selectFrom('backend')
      .selectAll()
      .where('kind', '=', 'virtual')
      .executeTakeFirstOrThrow();
    await bench.agents.putInventory(bench.host, {
      params: { backend_id: backend.id },
      query: {},
      body: {
        instance: bench.host.agent_instance ?? '',
        ledger: bench.deps.ledger,
        hash: 'x',
        generation: backend.generation,
        devices: [softDevice('crypto', key ?? '')],
        services: [],
      },
    });
    const after = await bench.database.db
      .selectFrom('accelerator')
      .select(['id', 'name', 'state', 'resource_class'])
      .execute();
    expect(after).toEqual([
      { id: made.id, name: 'mine', state: 'available', resource_class: 'CUSTOM_CYBORG_CRYPTO' },
    ]);
    expect(await bench.database.db.selectFrom('device').select('key').execute()).toEqual([
      { key: 'crypto' },
    ]);

    await bench.remove(made.id);
    expect(await desiredConfig(bench, 'virtual')).toEqual({});
    expect(await bench.database.db.selectFrom('accelerator').select('id').execute()).toEqual([]);
  });

  it('is refused for the wrong fields, and delete is while held or not made by request', async ({
    expect,
  }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    await expect(
      bench.create({ backend: 'h@virtual', address: '0000:21:00.0' }),
    ).rejects.toMatchObject({ code: 'invalid-input' });
    const { id } = await bench.create({ backend: 'h@virtual', function: 'entropy' });
    await db.updateTable('accelerator').set({ state: 'attached' }).execute();
    await expect(bench.remove(id)).rejects.toMatchObject({
      code: 'in-use',
      extra: { users: [{ accelerator_id: id }] },
    });
    const backend = await db
      .selectFrom('backend')
      .selectAll()
      .where('kind', '=', 'virtual')
      .executeTakeFirstOrThrow();
    const [counted] = await addAccelerators(db, backend, { count: 1 });
    await expect(bench.remove(counted?.id ?? '')).rejects.toThrow(/not created by request/);
  });

  it('is a granted manager’s too, where the key is delegable', async ({ expect }) => {
    await using bench = await openBench();
    const body = { backend: 'h@virtual', function: 'crypto' as const };
    await expect(bench.create(body, manager)).rejects.toMatchObject({ code: 'backend-not-found' });
    await bench.database.db
      .insertInto('access_grant')
      .values({
        id: crypto.randomUUID(),
        project_id: 'alpha',
        host_id: bench.host.id,
        created_by: 'x',
        created_at: new Date(0),
      })
      .execute();
    const { id } = await bench.create(body, manager);
    await expect(
      bench.create({ backend: 'h@static', item: { type: 'GPU' } }, manager),
    ).rejects.toMatchObject({ code: 'key-not-delegable' });
    await bench.remove(id, manager);
  });
});

describe('accelerator-delete', () => {
  it('tells a manager that what the project holds is not the project’s to delete', async ({
    expect,
  }) => {
    await using bench = await openBench();
    const { id } = await bench.create({ backend: 'h@virtual', function: 'crypto' });
    const { db } = bench.database;
    await db.updateTable('accelerator').set({ project_id: 'alpha' }).where('id', '=', id).execute();
    await expect(bench.remove(id, manager)).rejects.toMatchObject({
      code: 'forbidden',
      message: expect.stringContaining('is not granted to your project'),
    });
  });

  it('takes off the list what is not reported any more, with its empty device', async ({
    expect,
  }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    const backend = await db
      .selectFrom('backend')
      .selectAll()
      .where('kind', '=', 'pci')
      .executeTakeFirstOrThrow();
    const [gone] = await addAccelerators(db, backend, {
      count: 1,
      state: 'withheld',
      reason: 'absent',
      presence: 'absent',
      absent_since: new Date('2029-12-31T00:00:00Z'),
    });
    await db.updateTable('device').set({ presence: 'absent' }).execute();
    await bench.remove(gone?.id ?? '');
    expect(await db.selectFrom('device').select('id').execute()).toEqual([]);
  });
});

describe('accelerator-create on a static backend', () => {
  it('declares one, checked like configuration', async ({ expect }) => {
    await using bench = await openBench();
    const made = await bench.create({
      backend: 'h@static',
      item: { key: 'fpga-0', type: 'FPGA', plan: { kind: 'pci', address: '0000:41:00.0' } },
    });
    expect(made).toMatchObject({ type: 'FPGA', name: 'fpga-0' });
    expect(await desiredConfig(bench, 'static')).toMatchObject({
      accelerators: [{ key: 'fpga-0', type: 'FPGA' }],
    });
    await expect(
      bench.create({ backend: 'h@static', item: { key: 'x', type: 'TOASTER' } }),
    ).rejects.toThrow(/must be one of GPU, FPGA/);
    await expect(
      bench.create({ backend: 'h@static', item: { key: 'fpga-0', type: 'FPGA' } }),
    ).rejects.toMatchObject({ code: 'already-exists' });
  });
});

describe('accelerator-create on a pci backend', () => {
  it('offers a withheld function by address, and delete takes that back', async ({ expect }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    const backend = await db
      .selectFrom('backend')
      .selectAll()
      .where('kind', '=', 'pci')
      .executeTakeFirstOrThrow();
    const [gpu] = await addAccelerators(db, backend, {
      count: 1,
      type: 'GPU',
      state: 'withheld',
      reason: 'not approved',
      rule_offers: false,
    });
    await db.updateTable('device').set({ address: '0000:21:00.0' }).execute();
    const body = { backend: 'h@pci', address: '21:00.0' };
    const dry = await bench.handlers.createAccelerator(admin, {
      params: {},
      query: { dry_run: true },
      body,
    });
    expect(dry).toMatchObject({ would_succeed: true });
    expect(await bench.create(body)).toMatchObject({ id: gpu?.id, state: 'available' });
    await expect(bench.create(body)).rejects.toMatchObject({ code: 'already-exists' });
    await bench.remove(gpu?.id ?? '');
    expect(await db.selectFrom('accelerator').select(['state', 'reason']).execute()).toEqual([
      { state: 'withheld', reason: 'not approved' },
    ]);
    await db.updateTable('accelerator').set({ host_use: 'ext4 on /' }).execute();
    await expect(bench.create(body)).rejects.toThrow(/host uses it: ext4 on \//);
    await expect(bench.create({ backend: 'h@pci', address: '0000:99:00.0' })).rejects.toMatchObject(
      {
        code: 'accelerator-not-found',
        extra: { nearest: ['0000:21:00.0'] },
      },
    );
  });
});

function softDevice(fn: string, key: string): Record<string, unknown> {
  const none = ['address', 'vendor_id', 'device_id', 'class', 'vendor', 'model', 'serial'];
  const more = ['numa_node', 'iommu_group', 'kernel_driver', 'reason'];
  return {
    ...Object.fromEntries([...none, ...more].map((name) => [name, null])),
    key: fn,
    type: fn.toUpperCase(),
    offered: true,
    health: { status: 'healthy', reason: null },
    info: {},
    deployables: [
      {
        key: fn,
        name: `h_virtual_${fn}`,
        resource_class: `CUSTOM_CYBORG_${fn.toUpperCase()}`,
        traits: [],
        accelerators: [
          {
            key,
            name: key,
            type: fn.toUpperCase(),
            plans: ['virtio-crypto'],
            offered: true,
            reason: null,
            host_use: null,
            attach_info: {},
          },
        ],
      },
    ],
  };
}

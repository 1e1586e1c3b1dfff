import { systemClock } from '@cyborg/service/clock';
import { makeTestClock } from '@cyborg/testing/clock';
import { openTestDatabase } from '@cyborg/testing/database';
import { addBackend, addHost, addInstance, callerOf } from '@cyborg/testing/fleet';
import { toJson } from '@cyborg/store/json';
import { describe, it } from 'vitest';

import { makeAgentHandlers } from '../agents/handlers.ts';
import { makeAttachmentHandlers } from '../attachments/handlers.ts';
import { makeTestDeps } from '../test-deps.ts';

type Backend = Awaited<ReturnType<typeof addBackend>>;

async function openBench() {
  const database = await openTestDatabase();
  const clock = makeTestClock();
  const now = (): Date => clock.now();
  const deps = makeTestDeps({ db: database.db, clock: { ...systemClock, now } });
  const agents = makeAgentHandlers(deps);
  const host = await addHost(database.db, { name: 'h' });
  const backend = await addBackend(database.db, host, { name: 'pci', kind: 'pci' });
  const put = (devices: readonly unknown[], more: { readonly backend?: Backend } = {}) =>
    agents.putInventory(host, {
      params: { backend_id: (more.backend ?? backend).id },
      query: {},
      body: {
        instance: host.agent_instance ?? '',
        ledger: deps.ledger,
        hash: crypto.randomUUID(),
        generation: 1,
        devices,
        services: [],
      },
    });
  const dispose = (): PromiseLike<void> => database[Symbol.asyncDispose]();
  return { database, clock, deps, host, put, [Symbol.asyncDispose]: dispose };
}

interface Card {
  readonly address?: string | null;
  readonly model?: string;
  readonly attach_info?: object;
  readonly iommu_group?: number | null;
}

function card(key: string, given: Card = {}): Record<string, unknown> {
  const {
    address = `0000:${key}:00.0`,
    model = null,
    attach_info = {},
    iommu_group = null,
  } = given;
  const facts = { type: 'GPU', offered: true, reason: null };
  const place = { plans: ['pci'], host_use: null, attach_info, iommu_group };
  const accelerators = [{ key, name: key, ...place, ...facts }];
  return {
    key,
    address,
    vendor_id: null,
    device_id: null,
    class: null,
    vendor: null,
    model,
    serial: null,
    numa_node: null,
    iommu_group: null,
    kernel_driver: null,
    health: { status: 'healthy', reason: null },
    info: {},
    deployables: [{ key, name: key, resource_class: 'PGPU', traits: [], accelerators }],
    ...facts,
  };
}

const taken = (backend: string): string =>
  `host uses it: backend ${backend} has the same function already`;

function handled(key: string, attach_info: object): Record<string, unknown> {
  return card(key, { address: null, attach_info });
}

describe('two backends that report one function', () => {
  it('leave it to the first; the other withholds it, naming the first', async ({ expect }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    const second = await addBackend(db, bench.host, { name: 'gpus', kind: 'pci' });
    await bench.put([card('21')]);
    bench.clock.jumpWallClock(1000);
    await bench.put([card('21')], { backend: second });
    const rows = (): Promise<object[]> =>
      db
        .selectFrom('accelerator')
        .innerJoin('backend', 'backend.id', 'accelerator.backend_id')
        .select(['backend.name', 'accelerator.state', 'accelerator.reason'])
        .orderBy('backend.name')
        .execute();
    const expected = [
      {
        name: 'gpus',
        state: 'withheld',
        reason: taken('pci'),
      },
      { name: 'pci', state: 'available', reason: null },
    ];
    expect(await rows()).toEqual(expected);
    // Whoever reports last.
    await bench.put([card('21', { model: 'x' })]);
    expect(await rows()).toEqual(expected);
    // The first lets go, comes back, and is the second then.
    await bench.put([]);
    const unread = await db.selectFrom('backend').select('inventory_hash').execute();
    expect(unread).toContainEqual({ inventory_hash: null });
    await bench.put([card('21')], { backend: second });
    expect(await rows()).toMatchObject([{ state: 'available' }, { reason: 'absent' }]);
    await bench.put([card('21')]);
    expect(await rows()).toMatchObject([
      { state: 'available' },
      { name: 'pci', reason: taken('gpus') },
    ]);
  });

  it('also when it is declared, or only a part of it', async ({ expect }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    const declaring = await addBackend(db, bench.host, { name: 'static', kind: 'static' });
    const attach_info = { domain: '0000', bus: '21', device: '00', function: '0' };
    const uuid = '8fe851a5-00ea-4465-80f4-e5f9002cd774';
    const mdev = { uuid, parent: '00000000:21:00.0', asked_type: 'nvidia-35' };
    await bench.put([handled('21', attach_info)]);
    await bench.put([handled('a', attach_info), handled('b', mdev)], { backend: declaring });
    const rows = db.selectFrom('accelerator').select(['key', 'reason']).orderBy('key');
    expect(await rows.execute()).toEqual([
      { key: '21', reason: null },
      { key: 'a', reason: taken('pci') },
      { key: 'b', reason: taken('pci') },
    ]);
  });

  it('are one member of its IOMMU group, which goes to whoever has the others, too', async ({
    expect,
  }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    const plugs = ['pci'];
    const healthy = toJson([{ hypervisor: 'qemu', healthy: true, reason: null, plugs }]);
    await db.updateTable('host').set({ plugs: healthy }).execute();
    const guest = await addInstance(db, bench.host, { plugs: toJson(plugs) });
    const second = await addBackend(db, bench.host, { name: 'gpus', kind: 'pci' });
    const member = (bus: string, iommu_group: number, more: object = {}) =>
      card(bus, {
        address: null,
        iommu_group,
        attach_info: { domain: '0000', bus, device: '00', function: '0', ...more },
      });
    await bench.put([member('21', 7), member('22', 8), member('23', 8)]);
    const named = { domain: '00000000', physical_network: 'net-a' };
    const again = [member('21', 7, named), member('22', 8), member('23', 8)];
    await bench.put(again, { backend: second });
    const attach = (body: object) =>
      makeAttachmentHandlers(bench.deps).createAttachments(callerOf('admin', 'alpha'), {
        params: { instance_id: guest.id },
        query: {},
        body,
      });
    const first = db.selectFrom('accelerator').where('backend_id', '<>', second.id);
    const rows = await first.select(['id', 'name', 'backend_id']).orderBy('name').execute();
    const [alone, one, other] = rows.map(({ id }) => id);
    expect(await attach({ accelerator: alone })).toMatchObject({ state: 'running' });
    await expect(attach({ accelerator: one })).rejects.toMatchObject({
      message: expect.stringContaining('shares IOMMU group 8 with 0000:23:00.0 (23): attach'),
    });
    // What an uninstalled backend has left is with somebody, and is reported by the other one alone.
    const left = db.updateTable('accelerator').where('id', '=', other ?? '');
    await left.set({ presence: 'absent', state: 'orphaned' }).execute();
    await expect(attach({ accelerator: one })).rejects.toThrow('with 23, which is withheld');
    await left.set({ presence: 'present', state: 'available' }).execute();
    expect(await attach({ accelerators: [one, other] })).toMatchObject({ state: 'running' });
  });
});

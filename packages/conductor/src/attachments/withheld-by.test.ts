import { makeTestClock } from '@cyborg/testing/clock';
import { openTestDatabase } from '@cyborg/testing/database';
import { addAccelerators, addBackend, addHost, addInstance, callerOf } from '@cyborg/testing/fleet';
import { toJson } from '@cyborg/store/json';
import { describe, it } from 'vitest';

import { makeServiceHandlers } from '../services/handlers.ts';
import { obey } from '../test-agent.ts';
import { makeTestDeps } from '../test-deps.ts';
import { makeAttachmentHandlers } from './handlers.ts';
import type { AttachBody } from './wishes.ts';

const admin = callerOf('admin', 'alpha');
const pci = { type: 'NIC', plans: toJson(['pci']) };

async function setUp() {
  const database = await openTestDatabase();
  const { db } = database;
  const deps = makeTestDeps({ db, clock: makeTestClock() });
  const plugs = [{ hypervisor: 'qemu', healthy: true, reason: null, plugs: ['pci', 'virtio-rng'] }];
  const host = await addHost(db, { name: 'node-1', plugs: toJson(plugs) });
  const backend = await addBackend(db, host);
  const guest = await addInstance(db, host, { plugs: toJson(['pci', 'virtio-rng']) });
  const handlers = makeAttachmentHandlers(deps);
  const params = { instance_id: guest.id };
  const attach = (body: AttachBody) =>
    handlers.createAttachments(admin, { params, query: {}, body });
  const attachOne = ({ id }: { readonly id: string }) => attach({ accelerator: id });
  const detachAll = () => handlers.deleteAttachments(admin, { params, query: {}, body: undefined });
  return { database, db, deps, host, backend, attach, attachOne, detachAll };
}
type Bench = Awaited<ReturnType<typeof setUp>>;

/** A card as a whole and, in a part of their own, its virtual functions; as the generic driver reports it. */
async function addCard({ db, backend }: Bench, virtual: number) {
  const [whole] = await addAccelerators(db, backend, { count: 1, ...pci });
  if (whole === undefined) throw new Error('none was made');
  const deployable = await db
    .insertInto('deployable')
    .values({
      id: crypto.randomUUID(),
      device_id: whole.device_id,
      key: `${whole.key}/vfs`,
      name: 'vfs',
      resource_class: 'CUSTOM_NIC',
      created_at: whole.created_at,
    })
    .returning('id')
    .executeTakeFirstOrThrow();
  const place = { device_id: whole.device_id, deployable_id: deployable.id };
  const parts = await addAccelerators(db, backend, { count: virtual, ...pci, ...place });
  return { whole, parts };
}

describe('a physical function and its virtual functions', () => {
  it('are never with somebody at once, whichever is taken first', async ({ expect }) => {
    const bench = await setUp();
    await using _ = bench.database;
    const { whole, parts } = await addCard(bench, 2);
    await bench.attachOne(parts[0]!);
    await expect(bench.attachOne(whole)).rejects.toMatchObject({
      code: 'no-accelerator-left',
      extra: {
        nearest_misses: [{ why_not: [`${parts[0]!.name}, a part of it, is reserved`] }],
      },
    });
    await bench.attachOne(parts[1]!);
    await bench.detachAll();
    await obey(bench.deps, bench.host);
    await bench.attachOne(whole);
    await expect(bench.attachOne(parts[1]!)).rejects.toMatchObject({
      message: expect.stringContaining(
        `${whole.name}, the function that it is a part of, is reserved`,
      ),
    });
  });

  it('are not given in one request either', async ({ expect }) => {
    const bench = await setUp();
    await using _ = bench.database;
    await addCard(bench, 2);
    await expect(bench.attach({ driver: 'generic', count: 3 })).rejects.toMatchObject({
      code: 'no-accelerator-left',
    });
    expect(await bench.attach({ driver: 'generic', count: 2 })).toMatchObject({ state: 'running' });
  });

  it('are known by the address, too, where only the virtual ones are of a backend', async ({
    expect,
  }) => {
    const bench = await setUp();
    await using _ = bench.database;
    const { db, host } = bench;
    const other = await addBackend(db, host, { name: 'nics' });
    const [whole] = await addAccelerators(db, bench.backend, { count: 1, ...pci });
    const [part] = await addAccelerators(db, other, {
      count: 1,
      ...pci,
      attach_info: toJson({ function: '1' }),
    });
    const address = '0000:21:00.0';
    const setDevice = (row: object, id: string) =>
      db.updateTable('device').set(row).where('id', '=', id).execute();
    await setDevice({ address }, whole!.device_id);
    await setDevice({ info: toJson({ physical_function: address }) }, part!.device_id);
    await bench.attachOne(whole!);
    await expect(bench.attachOne(part!)).rejects.toThrow('the function that it is a part of');
    await bench.detachAll();
    await obey(bench.deps, host);
    await bench.attachOne(part!);
    await expect(bench.attachOne(whole!)).rejects.toThrow('a part of it');
  });

  it('taken at the same moment: one of both wins', async ({ expect }) => {
    const bench = await setUp();
    await using _ = bench.database;
    const { whole, parts } = await addCard(bench, 3);
    for (let round = 0; round < 12; round++) {
      const all = [whole, ...parts].map((row) => bench.attachOne(row));
      const ended = await Promise.allSettled(round % 2 === 0 ? all : all.toReversed());
      expect(ended.some(({ status }) => status === 'fulfilled')).toBe(true);
      const held = await bench.db
        .selectFrom('accelerator')
        .select('id')
        .where('state', '=', 'reserved')
        .execute();
      const isWhole = held.some(({ id }) => id === whole.id);
      expect(isWhole && held.length > 1).toBe(false);
      await bench.detachAll();
      await obey(bench.deps, bench.host);
    }
  });
});

describe('a disabled service', () => {
  it('withholds the accelerators of its function, and no others', async ({ expect }) => {
    const bench = await setUp();
    await using _ = bench.database;
    const { db, backend, deps } = bench;
    const [nic] = await addAccelerators(db, backend, { count: 1, ...pci });
    await addAccelerators(db, backend, { count: 1, type: 'ENTROPY' });
    const service = {
      id: crypto.randomUUID(),
      host_id: backend.host_id,
      backend_id: backend.id,
      name: 'network.offload',
      kind: 'function' as const,
      state: 'up' as const,
      created_at: backend.created_at,
    };
    await db.insertInto('service').values(service).execute();
    const set = (status: 'enabled' | 'disabled') =>
      makeServiceHandlers(deps).updateService(admin, {
        params: { id: service.id },
        query: {},
        body: { status },
      });
    await set('disabled');
    await expect(bench.attachOne(nic!)).rejects.toMatchObject({
      code: 'no-accelerator-left',
      extra: { nearest_misses: [{ why_not: ['service network.offload is disabled'] }] },
    });
    // The only kind that is left.
    expect(await bench.attach({})).toMatchObject({ state: 'running' });
    await set('enabled');
    expect(await bench.attachOne(nic!)).toMatchObject({ state: 'running' });
  });
});

describe('a class that nothing is of', () => {
  it('is refused with the classes that there are', async ({ expect }) => {
    const bench = await setUp();
    await using _ = bench.database;
    const { db, backend } = bench;
    await addAccelerators(db, backend, { count: 1, type: 'GPU', resource_class: 'PGPU' });
    await addAccelerators(db, backend, { count: 1, type: 'ENTROPY' });
    const groups = toJson([{ 'resources:GPU': '1' }]);
    const profile = { id: crypto.randomUUID(), name: 'wrong', groups };
    const { created_at } = backend;
    await db
      .insertInto('device_profile')
      .values({ ...profile, created_at })
      .execute();
    await expect(bench.attach({ profile: 'wrong' })).rejects.toMatchObject({
      code: 'no-accelerator-left',
      message: expect.stringContaining(
        'nothing there is of class GPU: the classes are CUSTOM_CYBORG_ENTROPY, PGPU',
      ),
    });
  });
});

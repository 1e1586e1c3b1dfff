import { toJson } from '@cyborg/store/json';
import { makeTestClock } from '@cyborg/testing/clock';
import { openTestDatabase } from '@cyborg/testing/database';
import { addBackend, addHost, addInstance, callerOf } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { makeAcceleratorHandlers } from '../accelerators/handlers.ts';
import { makeAgentHandlers } from '../agents/handlers.ts';
import { makeAttachmentHandlers } from '../attachments/handlers.ts';
import { obey, ordersOf, outcomeOf, report } from '../test-agent.ts';
import { brokenInvariants, changesWithoutEvent, startAudit } from '../test-audit.ts';
import { makeTestDeps } from '../test-deps.ts';
import { settleOrphans } from './settle-orphans.ts';

const admin = callerOf('admin', 'alpha');
const address = { domain: '0000', bus: '21', device: '00', function: '0' };

function card(): Record<string, unknown> {
  const none = ['vendor_id', 'device_id', 'class', 'vendor', 'model', 'serial', 'numa_node'];
  const unknown = ['iommu_group', 'kernel_driver', 'reason'];
  const facts = { type: 'GPU', offered: true, reason: null };
  const gpu = { key: 'gpu', name: 'gpu', ...facts, plans: ['pci'], host_use: null };
  return {
    ...Object.fromEntries([...none, ...unknown].map((name) => [name, null])),
    ...facts,
    key: 'gpu',
    address: '0000:21:00.0',
    health: { status: 'healthy', reason: null },
    info: {},
    deployables: [
      {
        key: 'gpu',
        name: 'gpu',
        resource_class: 'PGPU',
        traits: [],
        accelerators: [{ ...gpu, attach_info: address }],
      },
    ],
  };
}

type Backend = Awaited<ReturnType<typeof addBackend>>;

/** A card that a guest holds, whose backend `old` has been uninstalled by force. */
async function setUp() {
  const database = await openTestDatabase();
  const { db } = database;
  const deps = makeTestDeps({ db, clock: makeTestClock() });
  const plugs = [{ hypervisor: 'qemu', healthy: true, reason: null, plugs: ['pci'] }];
  const host = await addHost(db, { name: 'node-1', plugs: toJson(plugs) });
  const guest = await addInstance(db, host, { plugs: toJson(['pci']) });
  const agents = makeAgentHandlers(deps);
  const from = { instance: host.agent_instance ?? '', ledger: deps.ledger };
  const put = (backend: Backend, hash: string) =>
    agents.putInventory(host, {
      params: { backend_id: backend.id },
      query: {},
      body: { ...from, hash, generation: 1, devices: [card()], services: [] },
    });
  const params = { instance_id: guest.id };
  const attachments = makeAttachmentHandlers(deps);
  const old = await addBackend(db, host, { name: 'old', kind: 'pci' });
  await put(old, 'first');
  await attachments.createAttachments(admin, { params, query: {}, body: {} });
  await obey(deps, host);
  const nothing = { outcomes: [], listings: [], observations: [], installations: [] };
  const removed = { backend_id: old.id, generation: 2, discovery: 0, reason: null };
  const uninstallByForce = async (): Promise<void> => {
    await db.updateTable('accelerator').set({ state: 'orphaned' }).execute();
    await db
      .updateTable('backend')
      .set({ state: 'removing', generation: 2 })
      .where('id', '=', old.id)
      .execute();
    const backends = [{ ...removed, state: 'removed' as const }];
    const body = { ...from, ...nothing, backends, unclaimed: null };
    await agents.report(host, { params: {}, query: {}, body });
  };
  await uninstallByForce();
  const pass = () => settleOrphans(deps).pass(new AbortController().signal);
  const detach = async (): Promise<string> => {
    const view = await attachments.deleteAttachments(admin, { params, query: {}, body: undefined });
    if ('dry_run' in view) throw new Error('a dry run');
    return view.id;
  };
  const release = async (): Promise<void> => {
    const [order] = await ordersOf(deps, host);
    await report(deps, host, [outcomeOf(order!)]);
  };
  const rows = () =>
    db
      .selectFrom('accelerator')
      .innerJoin('backend', 'backend.id', 'accelerator.backend_id')
      .select(['accelerator.id', 'backend.name', 'accelerator.state', 'accelerator.reason'])
      .select('accelerator.epoch')
      .orderBy('backend.name', 'desc')
      .execute();
  const operation = (id: string) =>
    db.selectFrom('operation').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
  return { database, db, deps, host, old, put, pass, detach, release, rows, operation };
}

describe('an accelerator whose backend was uninstalled by force', () => {
  it('is unplugged without its driver, cleaned by another backend that has the function, and that one’s then', async ({
    expect,
  }) => {
    const { database, db, deps, host, put, pass, detach, release, rows, operation } = await setUp();
    await using _ = database;
    const next = await addBackend(db, host, { name: 'next', kind: 'pci' });
    await put(next, 'first');
    await startAudit(db);
    expect(await rows()).toMatchObject([
      { name: 'old', state: 'orphaned' },
      { name: 'next', state: 'withheld', reason: expect.stringContaining('backend old') },
    ]);
    const id = await detach();
    expect(await ordersOf(deps, host)).toMatchObject([{ kind: 'detach', driver_gone: true }]);
    await release();
    await pass();
    // Not given out before it is clean, whichever backend reports it.
    await put(next, 'second');
    expect(await rows()).toMatchObject([{ state: 'cleaning' }, { state: 'withheld' }]);
    const [clean] = await ordersOf(deps, host);
    expect(clean).toMatchObject({ kind: 'clean', backend_id: next.id, driver_gone: false });
    await report(deps, host, [outcomeOf(clean!)]);
    expect(await operation(id)).toMatchObject({ state: 'succeeded' });
    await pass();
    expect(await rows()).toMatchObject([{ name: 'next', state: 'withheld' }]);
    expect(
      await db
        .selectFrom('backend')
        .select(['name', 'inventory_hash', 'discovery_requested'])
        .execute(),
    ).toEqual([{ name: 'next', inventory_hash: null, discovery_requested: 1 }]);
    await put(next, 'third');
    expect(await rows()).toMatchObject([{ name: 'next', state: 'available' }]);
    expect(await changesWithoutEvent(db)).toEqual([]);
    expect(await brokenInvariants(db)).toEqual([]);
  });

  it('stays out when nobody can clean it, until somebody can or an admin vouches for it', async ({
    expect,
  }) => {
    const { database, db, deps, host, put, pass, detach, release, rows, operation } = await setUp();
    await using _ = database;
    const id = await detach();
    await release();
    expect(await ordersOf(deps, host)).toEqual([]);
    await pass();
    expect(await operation(id)).toMatchObject({
      state: 'succeeded',
      results: [{ message: expect.stringContaining('could not be cleaned and stays out') }],
    });
    expect(await rows()).toMatchObject([
      { state: 'cleaning_failed', reason: expect.stringContaining('uninstalled by force') },
    ]);
    // A backend that has the function comes: it tries once.
    const next = await addBackend(db, host, { name: 'next', kind: 'pci' });
    await put(next, 'first');
    await startAudit(db);
    expect(await rows()).toMatchObject([{ state: 'cleaning_failed' }, { state: 'withheld' }]);
    const [{ epoch } = { epoch: 0 }] = await rows();
    await pass();
    const [clean] = await ordersOf(deps, host);
    // What the uninstalled driver says late counts no more.
    await report(deps, host, [outcomeOf(clean!, { epoch })]);
    await report(deps, host, [outcomeOf(clean!, { outcome: 'clean_failed', message: 'stuck' })]);
    await pass();
    expect(await rows()).toMatchObject([
      { state: 'cleaning_failed', reason: 'stuck' },
      { name: 'next', state: 'withheld' },
    ]);
    const [dirty] = await rows();
    const set = (body: { state: 'available' | 'withheld'; reason?: string }) =>
      makeAcceleratorHandlers(deps).updateAccelerator(admin, {
        params: { id: dirty!.id },
        query: {},
        body,
      });
    await set({ state: 'withheld' });
    await pass();
    expect(await rows()).toMatchObject([{ state: 'cleaning_failed' }, { state: 'withheld' }]);
    await expect(set({ state: 'available' })).rejects.toThrow('say why');
    await set({ state: 'available', reason: 'wiped by hand' });
    await pass();
    await put(next, 'second');
    expect(await rows()).toMatchObject([{ name: 'next', state: 'available' }]);
    expect(await changesWithoutEvent(db)).toEqual([]);
  });

  it('is cleaned when the same backend is installed again', async ({ expect }) => {
    const { database, db, deps, host, old, put, pass, detach, release, rows } = await setUp();
    await using _ = database;
    await detach();
    await release();
    await pass();
    await db
      .updateTable('backend')
      .set({ state: 'ready', generation: 1 })
      .where('id', '=', old.id)
      .execute();
    await put(old, 'again');
    expect(await rows()).toMatchObject([{ name: 'old', state: 'cleaning' }]);
    await obey(deps, host);
    expect(await rows()).toMatchObject([{ name: 'old', state: 'available' }]);
    expect(await brokenInvariants(db)).toEqual([]);
  });
});

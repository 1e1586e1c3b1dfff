import { makeTestClock } from '@cyborg/testing/clock';
import { openTestDatabase } from '@cyborg/testing/database';
import { addAccelerators, addBackend, addHost, addInstance, callerOf } from '@cyborg/testing/fleet';
import { afterAll, beforeAll, describe, it } from 'vitest';

import { makeAttachmentHandlers } from '../attachments/handlers.ts';
import { makeSummaryHandlers } from '../summary/handlers.ts';
import { obey } from '../test-agent.ts';
import { makeTestDeps } from '../test-deps.ts';
import { makeAcceleratorHandlers, type AcceleratorQuery } from './handlers.ts';

const admin = callerOf('admin', 'root');
const manager = callerOf('manager', 'alpha');

async function setUp() {
  const database = await openTestDatabase();
  const deps = makeTestDeps({ db: database.db, clock: makeTestClock() });
  const host = await addHost(database.db, { name: 'node-1' });
  const backend = await addBackend(database.db, host);
  for (const name of ['b_10', 'a%', 'b10', 'Ä', 'a-2', 'b1', 'a-2']) {
    await addAccelerators(database.db, backend, { count: 1, name });
  }
  await addAccelerators(database.db, backend, { count: 2, name: 'c', type: 'ENTROPY' });
  const handlers = makeAcceleratorHandlers(deps);
  const page = (query: AcceleratorQuery, caller = admin) =>
    handlers.listAccelerators(caller, { params: {}, query, body: undefined });
  /** All pages of two. */
  const names = async (query: AcceleratorQuery): Promise<string[]> => {
    const found: { id: string; name: string }[] = [];
    let marker: string | undefined;
    do {
      const { items, next } = await page({ ...query, limit: 2, ...(marker && { marker }) });
      found.push(...items);
      marker = next ?? undefined;
    } while (marker !== undefined);
    if (new Set(found.map(({ id }) => id)).size !== found.length) throw new Error('one came twice');
    return found.map(({ name }) => name);
  };
  return { database, deps, host, backend, page, names };
}

describe('a list of accelerators', () => {
  let scene: Awaited<ReturnType<typeof setUp>>;
  beforeAll(async () => {
    scene = await setUp();
  });
  afterAll(async () => scene.database[Symbol.asyncDispose]());

  it('is sorted by name, page by page, without gaps and repetitions, both ways', async ({
    expect,
  }) => {
    const sorted = ['a%', 'a-2', 'a-2', 'b1', 'b10', 'b_10', 'c', 'c', 'Ä'];
    expect(await scene.names({ sort: 'name' })).toEqual(sorted);
    expect(await scene.names({ sort: '-name' })).toEqual(sorted.toReversed());
  });

  it('is sorted by type and by state', async ({ expect }) => {
    const { items } = await scene.page({ sort: '-type' });
    expect(items.slice(0, 3).map(({ type }) => type)).toEqual(['ENTROPY', 'ENTROPY', 'CRYPTO']);
    expect((await scene.names({ sort: 'state' })).length).toBe(9);
  });

  it('is found by the beginning of the name, in which nothing is a pattern', async ({ expect }) => {
    expect(await scene.names({ name: 'b1', sort: 'name' })).toEqual(['b1', 'b10']);
    expect(await scene.names({ name: 'b_' })).toEqual(['b_10']);
    expect(await scene.names({ name: 'a%' })).toEqual(['a%']);
    expect(await scene.names({ name: 'x' })).toEqual([]);
  });

  it('takes a marker only of the same order', async ({ expect }) => {
    const { next } = await scene.page({ limit: 2 });
    const wrong = scene.page({ limit: 2, sort: 'name', marker: next ?? '' });
    await expect(wrong).rejects.toMatchObject({ code: 'invalid-input' });
  });
});

describe('the history of an accelerator', () => {
  it('names who held it, the newest first, and is cut to the project', async ({ expect }) => {
    const { database, deps, host, backend } = await setUp();
    await using _ = database;
    const [accelerator] = await addAccelerators(database.db, backend, { count: 1 });
    const id = accelerator?.id ?? '';
    const attachments = makeAttachmentHandlers(deps);
    for (const project of ['alpha', 'beta']) {
      const { id: instance } = await addInstance(database.db, host, { project_id: project });
      const params = { instance_id: instance };
      await attachments.createAttachments(admin, { params, query: {}, body: { accelerator: id } });
      await obey(deps, host);
      await attachments.deleteAttachments(admin, { params, query: {}, body: undefined });
      await obey(deps, host);
    }
    const list = (caller: typeof admin, query: { limit?: number; marker?: string } = {}) =>
      attachments.listAcceleratorAttachments(caller, { params: { id }, query, body: undefined });
    const all = await list(admin);
    expect(all.items.map((one) => [one.project_id, one.state])).toEqual([
      ['beta', 'released'],
      ['alpha', 'released'],
    ]);
    const first = await list(admin, { limit: 1 });
    const second = await list(admin, { limit: 1, marker: first.next ?? '' });
    expect([...first.items, ...second.items]).toEqual(all.items);
    // Out of scope is the same as not there.
    await expect(list(manager)).rejects.toMatchObject({ code: 'accelerator-not-found' });
  });
});

describe('the summary', () => {
  it('counts what the caller sees and names what needs a person', async ({ expect }) => {
    const { database, deps, host, backend } = await setUp();
    await using _ = database;
    await addAccelerators(database.db, backend, {
      count: 1,
      name: 'dirty',
      state: 'cleaning_failed',
      reason: 'no reset',
    });
    await addHost(database.db, { name: 'gone', lease_expires_at: new Date(0) });
    await addInstance(database.db, host);
    const { installation_id } = backend;
    await addBackend(database.db, host, { name: 'leaving', installation_id, state: 'draining' });
    const { showSummary } = makeSummaryHandlers(deps);
    const input = { params: {}, query: {}, body: undefined };
    const seen = await showSummary(admin, input);
    expect(seen).toMatchObject({ hosts: { up: 1, down: 1 }, instances_total: 1 });
    expect(seen.accelerators).toContainEqual({ type: 'CRYPTO', state: 'available', count: 7 });
    expect(seen.attention.map(({ problem, name }) => [problem, name])).toEqual([
      ['host-down', 'gone'],
      ['cleaning_failed', 'dirty'],
      ['backend-draining', 'leaving'],
    ]);
    const others = await showSummary(callerOf('reader', 'nobody'), input);
    expect(others).toMatchObject({ accelerators: [], attention: [], hosts: { up: 0, down: 0 } });
  });
});

import type { ProfileGroup } from '@cyborg/store/schema';
import { toJson } from '@cyborg/store/json';
import { makeTestClock } from '@cyborg/testing/clock';
import { openTestDatabase } from '@cyborg/testing/database';
import { addAccelerators, addBackend, addHost, addInstance, callerOf } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { makeAttachmentHandlers } from '../attachments/handlers.ts';
import { makeQuotaHandlers } from '../quotas/handlers.ts';
import { obey } from '../test-agent.ts';
import { makeTestDeps } from '../test-deps.ts';
import { normalizeGroups } from './grammar.ts';
import { makeProfileHandlers } from './handlers.ts';

const admin = callerOf('admin', 'root');

async function setUp() {
  const database = await openTestDatabase();
  const { db } = database;
  const deps = makeTestDeps({ db, clock: makeTestClock() });
  const host = await addHost(db);
  const backend = await addBackend(db, host);
  const instance = await addInstance(db, host);
  const profiles = makeProfileHandlers(deps);
  const create = (name: string, groups: ProfileGroup[], query = {}) =>
    profiles.createProfile(admin, { params: {}, query, body: { name, groups } });
  const remove = (profile: string) =>
    profiles.deleteProfile(admin, { params: { profile }, query: {}, body: undefined });
  const attachments = makeAttachmentHandlers(deps);
  const attach = (profile: string, count = 1) =>
    attachments.createAttachments(callerOf('member', 'alpha'), {
      params: { instance_id: instance.id },
      query: {},
      body: { profile, count },
    });
  return {
    database,
    db,
    deps,
    host,
    backend,
    instance,
    profiles,
    create,
    remove,
    attachments,
    attach,
  };
}

describe('the grammar of groups', () => {
  it('trims names and values, and keeps accel keys as they are', ({ expect }) => {
    expect(
      normalizeGroups([
        { 'resources: FPGA ': ' 1', 'trait: CUSTOM_A ': ' required', 'accel:x ': ' y ' },
        { 'resources:CUSTOM_ANY': '1_0' },
      ]),
    ).toEqual([
      { 'resources:FPGA': '1', 'trait:CUSTOM_A': 'required', 'accel:x ': ' y ' },
      { 'resources:CUSTOM_ANY': '1_0' },
    ]);
  });

  it.for([
    [{ FPGA: '1' }, 'must be of the form ^(resources:|trait:|accel:)'],
    [{ 'trait:HW_X': 'required' }, 'Unsupported trait name format HW_X, should start with CUSTOM_'],
    [{ 'trait:CUSTOM_X': 'maybe' }, 'Unsupported trait value maybe'],
    [{ 'resources:BOGUS': '1' }, 'Unsupported resource class BOGUS'],
    [{ 'resources:GPU': 'x' }, 'Resources number x is invalid'],
    [{ 'resources:GPU': '1', 'resources: GPU': '2' }, 'resources:GPU is given twice'],
    [{ 'resources:GPU': '0' }, 'resources:GPU takes a whole number from 1 to 64'],
    [{ 'resources:GPU': '-1' }, 'Resources number -1 is invalid'],
    [{ 'resources:GPU': '65' }, 'Resources number 65 is invalid'],
    [{ 'resources:GPU': '9'.repeat(200) }, 'a whole number from 1 to 64'],
    [{}, 'it is empty, so it asks for nothing: add resources:CLASS=N'],
    [{ 'trait:CUSTOM_X': 'required' }, 'it has only trait:CUSTOM_X, so it asks for nothing'],
  ] as const)('refuses %j', ([group, message], { expect }) => {
    const one = { 'resources:GPU': '1' };
    expect(() => normalizeGroups([one, group])).toThrow(`groups[1]: `);
    expect(() => normalizeGroups([one, group])).toThrow(message);
  });
});

describe('device profiles', () => {
  it('are created once, listed, shown by name or id, and deleted', async ({ expect }) => {
    const { database, profiles, create, remove } = await setUp();
    await using _ = database;
    const made = await create('one', [{ 'resources: CUSTOM_CYBORG_CRYPTO': '1' }]);
    expect(made).toMatchObject({
      name: 'one',
      groups: [{ 'resources:CUSTOM_CYBORG_CRYPTO': '1' }],
    });
    const groups = [{ 'resources:GPU': '1' }];
    await expect(create('one', groups)).rejects.toMatchObject({ code: 'already-exists' });
    expect(await create('one', groups, { dry_run: true })).toMatchObject({ would_succeed: false });
    await create('two', groups);
    const list = (query: object) =>
      profiles.listProfiles(admin, { params: {}, query, body: undefined });
    const first = await list({ limit: 1 });
    const second = await list({ limit: 1, marker: first.next ?? '' });
    expect([...first.items, ...second.items].map(({ name }) => name)).toEqual(['one', 'two']);
    const show = (profile: string) =>
      profiles.showProfile(admin, { params: { profile }, query: {}, body: undefined });
    expect(await show(first.items[0]!.id)).toEqual(await show('one'));
    await expect(show('onne')).rejects.toMatchObject({
      code: 'profile-not-found',
      extra: { nearest: expect.arrayContaining(['one']) },
    });
    expect(await remove('one')).toBeNull();
    await expect(remove('one')).rejects.toMatchObject({ code: 'profile-not-found' });
  });

  it('in use are kept, until what they gave is given back', async ({ expect }) => {
    const { database, db, deps, host, backend, instance, attachments, create, remove, attach } =
      await setUp();
    await using _ = database;
    await addAccelerators(db, backend, { count: 1 });
    await create('p', [{ 'resources:CUSTOM_CYBORG_CRYPTO': '1' }]);
    await attach('p');
    await obey(deps, host);
    await expect(remove('p')).rejects.toMatchObject({
      code: 'in-use',
      extra: { users: [{ instance_id: instance.id, project_id: 'alpha' }] },
    });
    await attachments.deleteAttachments(admin, {
      params: { instance_id: instance.id },
      query: {},
      body: undefined,
    });
    await obey(deps, host);
    await remove('p');
  });

  it('give what each group asks for, all or nothing, also when a greedy choice would fall short', async ({
    expect,
  }) => {
    const { database, db, backend, create, attach } = await setUp();
    await using _ = database;
    const special = { count: 1, traits: toJson(['CUSTOM_FAST']) };
    // The special one has the lowest id: the first group would take it.
    await addAccelerators(db, backend, { ...special, id: '00000000-0000-4000-8000-000000000000' });
    await addAccelerators(db, backend, { count: 1 });
    await addAccelerators(db, backend, { count: 1, type: 'GPU', resource_class: 'PGPU' });
    await addAccelerators(db, backend, {
      count: 1,
      type: 'GPU',
      resource_class: 'CUSTOM_BIG',
      plans: toJson(['virtio-rng']),
    });
    const any = { 'resources:CUSTOM_CYBORG_CRYPTO': '1' };
    await create('both', [any, { ...any, 'trait:CUSTOM_FAST': 'required' }]);
    await create('gpu', [{ 'resources:GPU': '1' }]);
    await create('slow', [{ ...any, 'trait:CUSTOM_FAST': 'forbidden' }]);
    await create('program', [{ ...any, 'accel:bitstream_id': 'x' }]);
    await expect(attach('both', 2)).rejects.toMatchObject({ code: 'no-accelerator-left' });
    await attach('both');
    const given = await db.selectFrom('attachment').selectAll().orderBy('profile_group').execute();
    expect(given).toMatchObject([
      { profile_group: 0 },
      { profile_group: 1, accelerator_id: '00000000-0000-4000-8000-000000000000' },
    ]);
    await attach('gpu');
    await expect(attach('slow')).rejects.toMatchObject({ code: 'no-accelerator-left' });
    await expect(attach('program')).rejects.toMatchObject({ code: 'invalid-input' });
    await expect(attach('bothh')).rejects.toMatchObject({ code: 'profile-not-found' });
  });
});

describe('quotas', () => {
  it('are set by type, shown with what is used, and lifted', async ({ expect }) => {
    const { database, db, deps, backend, create, attach } = await setUp();
    await using _ = database;
    await addAccelerators(db, backend, { count: 1 });
    await create('p', [{ 'resources:CUSTOM_CYBORG_CRYPTO': '1' }]);
    const quotas = makeQuotaHandlers(deps);
    const params = { project_id: 'alpha' };
    const set = (type: string, accelerators_max: number | null, query = {}) =>
      quotas.updateQuota(admin, { params, query, body: { limits: [{ type, accelerators_max }] } });
    const show = (caller = admin) =>
      quotas.showQuota(caller, { params, query: {}, body: undefined });
    await set('CRYPTO', 0);
    await expect(attach('p')).rejects.toMatchObject({
      code: 'quota-exceeded',
      message: expect.stringContaining('holds 0 of at most 0'),
    });
    await set('CRYPTO', 5);
    await set('GPU', 2);
    await attach('p');
    expect(await show(callerOf('reader', 'alpha'))).toEqual({
      project_id: 'alpha',
      limits: [
        { type: 'CRYPTO', accelerators_max: 5, accelerators_used: 1 },
        { type: 'GPU', accelerators_max: 2, accelerators_used: 0 },
      ],
    });
    expect(await set('CRYPTO', 1, { dry_run: true })).toMatchObject({ would_succeed: true });
    await set('CRYPTO', null);
    expect((await show()).limits).toMatchObject([
      { type: 'CRYPTO', accelerators_max: null },
      { type: 'GPU' },
    ]);
    await expect(show(callerOf('manager', 'beta'))).rejects.toMatchObject({ code: 'forbidden' });
  });
});

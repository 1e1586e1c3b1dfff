import { carriedOut } from '@cyborg/testing/carried-out';
import { makeTestClock } from '@cyborg/testing/clock';
import { openTestDatabase } from '@cyborg/testing/database';
import { addAccelerators, addBackend, addHost, addInstance, callerOf } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { releaseVanished } from '../reconcilers/release-vanished.ts';
import { obey } from '../test-agent.ts';
import { makeTestDeps } from '../test-deps.ts';
import type { DeleteAttachmentsInput } from './choose-held.ts';
import { makeAttachmentHandlers } from './handlers.ts';

const admin = callerOf('admin', 'alpha');
const member = callerOf('member', 'alpha');

/** `a` and `b` share an IOMMU group, `c` stands alone; the guest holds them all. */
async function setUp({ releaseShareMax = 1 } = {}) {
  const database = await openTestDatabase();
  const { db } = database;
  const deps = makeTestDeps({ db, clock: makeTestClock() }, { releaseShareMax });
  const host = await addHost(db, { name: 'node-1' });
  const backend = await addBackend(db, host);
  const ids: Record<string, string> = {};
  for (const [name, group] of [
    ['a', 12],
    ['b', 12],
    ['c', null],
  ] as const) {
    const [made] = await addAccelerators(db, backend, {
      count: 1,
      key: name,
      name,
      iommu_group: group,
    });
    ids[name] = made!.id;
  }
  const guest = await addInstance(db, host, { name: 'vm-1' });
  const handlers = makeAttachmentHandlers(deps);
  const params = { instance_id: guest.id };
  const detach = (query: DeleteAttachmentsInput['query'], caller = member) =>
    handlers.deleteAttachments(caller, { params, query, body: undefined });
  const states = async () => {
    const rows = await db
      .selectFrom('accelerator')
      .select(['name', 'state'])
      .orderBy('name')
      .execute();
    return rows.map(({ name, state }) => `${name} ${state}`);
  };
  await handlers.createAttachments(member, { params, query: {}, body: { count: 3 } });
  await obey(deps, host);
  return { database, db, deps, host, guest, ids, detach, states };
}

const why = (part: string, mate: string): string =>
  `Accelerator ${part} shares IOMMU group 12 with ${mate}, which instance vm-1 would keep, and could not be reset: detach them together (--accelerator ${part} --accelerator ${mate}), or all that the instance holds.`;

describe('detaching a part of an IOMMU group', () => {
  it('is refused, naming the rest and the way out, and so is its dry run', async ({ expect }) => {
    const { database, ids, detach, states } = await setUp();
    await using _ = database;
    await expect(detach({ accelerator: 'a' })).rejects.toMatchObject({
      code: 'part-of-group',
      message: why('a', 'b'),
      extra: {
        accelerators: [
          { id: ids['a'], name: 'a' },
          { id: ids['b'], name: 'b' },
        ],
      },
    });
    await expect(detach({ accelerators: ['c', 'b'] })).rejects.toMatchObject({
      code: 'part-of-group',
      message: expect.stringContaining('--accelerator'),
    });
    expect(await detach({ accelerator: 'b', dry_run: true })).toMatchObject({
      would_succeed: false,
      refusal: { code: 'part-of-group', detail: why('b', 'a') },
    });
    expect(await states()).toEqual(['a attached', 'b attached', 'c attached']);
  });

  it('is not what it is when the rest goes with it, or went before', async ({ expect }) => {
    const { database, deps, host, detach, states } = await setUp();
    await using _ = database;
    expect(await detach({ accelerators: ['b', 'a'], dry_run: true })).toMatchObject({
      would_succeed: true,
      changes: [expect.anything(), expect.anything()],
    });
    const first = carriedOut(await detach({ accelerators: ['b', 'a'] }));
    expect(first).toMatchObject({ state: 'running', progress: { total: 2 } });
    // Asked for one of them again while they go.
    expect(await detach({ accelerator: 'a' })).toMatchObject({ id: first.id });
    await obey(deps, host);
    expect(await states()).toEqual(['a available', 'b available', 'c attached']);
    await detach({ accelerator: 'c' });
    await obey(deps, host);
    expect(await states()).toEqual(['a available', 'b available', 'c available']);
  });

  it('is no question when everything goes, nor for an admin who gives up on the host', async ({
    expect,
  }) => {
    const { database, deps, host, detach, states } = await setUp();
    await using _ = database;
    await detach({ accelerator: 'a', force: true }, admin);
    expect(await states()).toEqual(['a cleaning', 'b attached', 'c attached']);
    await detach({});
    await obey(deps, host);
    expect(await states()).toEqual(['a available', 'b available', 'c available']);
  });

  it('holds back nothing of an instance that has vanished', async ({ expect }) => {
    const { database, db, deps, host, guest, states } = await setUp();
    await using _ = database;
    await db
      .updateTable('instance')
      .set({ is_vanished: true, is_present: false })
      .where('id', '=', guest.id)
      .execute();
    await releaseVanished(deps).pass(new AbortController().signal);
    await obey(deps, host);
    expect(await states()).toEqual(['a available', 'b available', 'c available']);
  });

  it('is not what one bad answer does: a group that is too much for it waits for a person', async ({
    expect,
  }) => {
    const { database, db, deps, host, detach, states } = await setUp({ releaseShareMax: 0.05 });
    await using _ = database;
    const gone = { is_vanished: true, is_present: false };
    await db.updateTable('instance').set(gone).execute();
    const pass = () => releaseVanished(deps).pass(new AbortController().signal);
    await pass();
    await obey(deps, host);
    expect(await states()).toEqual(['a attached', 'b attached', 'c available']);
    await pass();
    await obey(deps, host);
    expect(await states()).toEqual(['a attached', 'b attached', 'c available']);
    const { conditions } = await db.selectFrom('host').selectAll().executeTakeFirstOrThrow();
    expect(conditions).toMatchObject([{ message: expect.stringContaining('detach-instance') }]);
    await detach({});
    await obey(deps, host);
    expect(await states()).toEqual(['a available', 'b available', 'c available']);
  });

  it('looks at what is there: a member that is gone is no mate', async ({ expect }) => {
    const { database, db, ids, detach } = await setUp();
    await using _ = database;
    const gone = (presence: 'absent' | 'present') =>
      db.updateTable('accelerator').set({ presence }).where('id', '=', ids['b']!).execute();
    await gone('absent');
    expect(await detach({ accelerator: 'a', dry_run: true })).toMatchObject({
      would_succeed: true,
    });
    await gone('present');
    expect(await detach({ accelerator: 'a', dry_run: true })).toMatchObject({
      would_succeed: false,
    });
  });

  it('names each thing once, and in one way', async ({ expect }) => {
    const { database, detach } = await setUp();
    await using _ = database;
    await expect(detach({ accelerators: ['c', 'c'] })).rejects.toMatchObject({
      code: 'invalid-input',
    });
    await expect(detach({ accelerator: 'a', accelerators: ['b'] })).rejects.toMatchObject({
      code: 'invalid-input',
    });
    await expect(detach({ accelerators: ['c', 'd'] })).rejects.toMatchObject({
      code: 'accelerator-not-found',
    });
  });
});

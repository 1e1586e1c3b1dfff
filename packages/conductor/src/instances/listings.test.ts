import { makeTestClock } from '@cyborg/testing/clock';
import { openTestDatabase } from '@cyborg/testing/database';
import { addHost, addInstance } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { makeTestDeps } from '../test-deps.ts';
import { act } from '../transaction.ts';
import { applyListing } from './listings.ts';

const secondMs = 1000;

async function setUp() {
  const database = await openTestDatabase();
  const { db } = database;
  const clock = makeTestClock();
  const deps = makeTestDeps({ db, clock });
  const host = await addHost(db, { agent_since: clock.now() });
  const guest = await addInstance(db, host);
  /** A healthy look without any instance. */
  const look = () =>
    act(deps, (current) =>
      applyListing(deps, current, {
        host,
        listing: { hypervisor: 'qemu', instances: [], unknown_ids: [], unknown_count: 0 },
      }),
    );
  const bootHost = () => db.updateTable('host').set({ agent_since: clock.now() }).execute();
  const row = () =>
    db.selectFrom('instance').selectAll().where('id', '=', guest.id).executeTakeFirstOrThrow();
  const told = async () =>
    (await db.selectFrom('event').select('kind').orderBy('at').execute()).map(({ kind }) => kind);
  return { database, clock, look, bootHost, row, told };
}

describe('a guest that was ended before its host went down', () => {
  it('has not vanished at the first look after, however long the host was away', async ({
    expect,
  }) => {
    const { database, clock, look, bootHost, row, told } = await setUp();
    await using _ = database;
    await clock.advance(secondMs);
    await look();
    expect(await row()).toMatchObject({ is_present: false, missing_since: clock.now() });
    await clock.advance(180 * secondMs);
    await bootHost();
    await clock.advance(2 * secondMs);
    const firstLookAt = clock.now();
    await look();
    expect(await row()).toMatchObject({
      is_present: false,
      is_vanished: false,
      missing_since: firstLookAt,
    });
    await clock.advance(59 * secondMs);
    await look();
    expect(await row()).toMatchObject({ is_vanished: false, missing_since: firstLookAt });
    expect(await told()).toEqual(['instance.missing', 'instance.missing']);
  });

  it('has vanished when the looks after the boot lack it for as long as anywhere', async ({
    expect,
  }) => {
    const { database, clock, look, bootHost, row, told } = await setUp();
    await using _ = database;
    await clock.advance(secondMs);
    await look();
    await clock.advance(180 * secondMs);
    await bootHost();
    await look();
    await clock.advance(60 * secondMs);
    await look();
    expect(await row()).toMatchObject({ is_present: false, is_vanished: true });
    // And stays so when its host is booted once more.
    await clock.advance(180 * secondMs);
    await bootHost();
    await look();
    expect(await row()).toMatchObject({ is_vanished: true });
    expect(await told()).toEqual(['instance.missing', 'instance.missing', 'instance.vanished']);
  });
});

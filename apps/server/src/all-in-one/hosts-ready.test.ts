import { openTestDatabase } from '@cyborg/testing/database';
import { addBackend, addHost } from '@cyborg/testing/fleet';
import { it } from 'vitest';

import { hostsReady, type LocalHost } from './hosts.ts';

const here: LocalHost = { name: 'here', isSimulated: false, stateDir: '', agentOptions: [] };

it('waits for a host that joins, and not for one that an operator has deleted since', async ({
  expect,
}) => {
  await using database = await openTestDatabase();
  const { db } = database;
  const since = new Date(0);
  const ready = hostsReady({ db }, { hosts: [here], since, joining: new Set(['here']) });
  expect(await ready.check()).toBe('here has not enrolled yet');
  const host = await addHost(db, { name: 'here', agent_since: new Date() });
  expect(await ready.check()).toBeUndefined();
  await db.deleteFrom('host').where('id', '=', host.id).execute();
  expect(await ready.check()).toEqual({ note: 'deleted: here' });
});

it('waits until a host has started its drivers, and not for one that is started again', async ({
  expect,
}) => {
  await using database = await openTestDatabase();
  const { db } = database;
  const given = { hosts: [here], since: new Date(0), joining: new Set<string>() };
  const ready = hostsReady({ db }, given);
  const host = await addHost(db, { name: 'here', agent_since: new Date() });
  await addBackend(db, host);
  const becomes = async (state: 'starting' | 'ready'): Promise<void> => {
    await db.updateTable('installation').set({ state }).execute();
  };
  await becomes('starting');
  expect(await ready.check()).toBe('here is still starting driver generic');
  await becomes('ready');
  expect(await ready.check()).toBeUndefined();
  await becomes('starting');
  expect(await ready.check()).toBeUndefined();
});

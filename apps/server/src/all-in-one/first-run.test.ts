import { registerBuiltinDrivers } from '@cyborg/conductor/ledger/builtin-drivers';
import { makeTestDeps } from '@cyborg/conductor/test-deps';
import { systemClock } from '@cyborg/service/clock';
import { openTestDatabase } from '@cyborg/testing/database';
import { makeTempFolder } from '@cyborg/testing/embedded';
import { addHost } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { composeConductor } from '../compose.ts';
import { readBuiltinDrivers } from '../start/catalogue.ts';
import { demoBackends, installOnce, ownBackends } from './first-run.ts';
import { starter, type LocalHost } from './hosts.ts';

const hostOf = (name: string): LocalHost => ({
  name,
  isSimulated: true,
  stateDir: '',
  agentOptions: [],
});
const own = ownBackends(hostOf('own'));
const demo = demoBackends([hostOf('demo-1'), hostOf('demo-2')]);

describe('the first start with --demo', () => {
  it('leaves hosts as they are that an install of everything served before', async ({ expect }) => {
    await using database = await openTestDatabase();
    using folder = makeTempFolder();
    const { db } = database;
    const deps = makeTestDeps({ db, clock: systemClock });
    await registerBuiltinDrivers(deps, readBuiltinDrivers());
    const { v3 } = composeConductor(deps);
    const names = async (): Promise<string[]> =>
      (await db.selectFrom('deployment_backend').select('name').orderBy('name').execute()).map(
        ({ name }) => name,
      );
    await addHost(db, { name: 'own' });
    await installOnce({ deps, v3 }, folder.path, [own]);
    await v3.installDriver(starter, {
      params: { driver_id: 'generic' },
      query: {},
      body: {},
    });
    for (const name of ['demo-1', 'demo-2']) await addHost(db, { name });
    await installOnce({ deps, v3 }, folder.path, [own, demo]);
    expect(await names()).toEqual(['pci', 'virtual']);
    await v3.uninstallDriver(starter, {
      params: { driver_id: 'generic' },
      query: {},
      body: undefined,
    });
    await installOnce({ deps, v3 }, folder.path, [own, demo]);
    expect(await names(), 'what was uninstalled stays away').toEqual([]);
  });

  it('installs on the demo hosts that nothing serves', async ({ expect }) => {
    await using database = await openTestDatabase();
    using folder = makeTempFolder();
    const { db } = database;
    const deps = makeTestDeps({ db, clock: systemClock });
    await registerBuiltinDrivers(deps, readBuiltinDrivers());
    const { v3 } = composeConductor(deps);
    for (const name of ['own', 'demo-1', 'demo-2']) await addHost(db, { name });
    await v3.installDriver(starter, {
      params: { driver_id: 'generic' },
      query: {},
      body: { hosts: ['demo-1'] },
    });
    await installOnce({ deps, v3 }, folder.path, [own, demo]);
    const rows = await db
      .selectFrom('deployment_backend')
      .select(['name', 'selector'])
      .orderBy('name')
      .execute();
    const hosts = new Map(
      (await db.selectFrom('host').select(['id', 'name']).execute()).map(({ id, name }) => [
        id,
        name,
      ]),
    );
    expect(
      rows.map(({ name, selector }) => [
        name,
        selector.kind === 'hosts' &&
          selector.host_ids.map((id) => hosts.get(id) ?? '').toSorted((a, b) => a.localeCompare(b)),
      ]),
    ).toEqual([
      ['demo-pci', ['demo-2']],
      ['demo-virtual', ['demo-2']],
      ['pci', ['demo-1', 'own']],
      ['virtual', ['demo-1', 'own']],
    ]);
  });
});

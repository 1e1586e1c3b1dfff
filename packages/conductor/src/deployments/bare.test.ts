import { addHost } from '@cyborg/testing/fleet';
import { sql } from 'kysely';
import { describe, it } from 'vitest';

import { grant, manager, openBench, type Bench } from '../../test/deployments.ts';
import type { InstallBody } from './wishes.ts';

describe('install-driver without hosts and backends', () => {
  const demo = (hosts: readonly string[]): InstallBody => ({
    backends: [
      { name: 'demo-pci', kind: 'pci', hosts, config: { offer: 'all' } },
      { name: 'demo-virtual', kind: 'virtual', hosts },
    ],
  });
  const onHosts = async (bench: Bench): Promise<string[]> => {
    await bench.pass();
    const { rows } = await sql<{ name: string }>`
      select concat(h.name, '@', b.name) as name from backend b join host h on h.id = b.host_id
      where b.state <> 'removing' order by name`.execute(bench.database.db);
    return rows.map(({ name }) => name);
  };

  it('leaves hosts alone that other backends of the driver serve, and says so', async ({
    expect,
  }) => {
    await using bench = await openBench();
    for (const name of ['demo', 'own']) await addHost(bench.database.db, { name });
    await bench.install({
      backends: [
        { name: 'pci', hosts: ['own'] },
        { name: 'virtual', hosts: ['own'] },
      ],
    });
    await bench.install(demo(['demo']));
    const before = await onHosts(bench);
    expect(before).toEqual(['demo@demo-pci', 'demo@demo-virtual', 'own@pci', 'own@virtual']);
    expect(await bench.install()).toMatchObject({ subject: { already_installed: true } });
    expect(await onHosts(bench)).toEqual(before);
    await addHost(bench.database.db, { name: 'late' });
    expect(await onHosts(bench), 'later hosts get the defaults').toEqual(
      [...before, 'late@pci', 'late@virtual'].toSorted(),
    );
  });

  it('succeeds where other backends serve every host, and those to come', async ({ expect }) => {
    await using bench = await openBench();
    await addHost(bench.database.db, { name: 'h' });
    await bench.install({ backends: [{ name: 'gpus', kind: 'pci' }] });
    const before = await onHosts(bench);
    expect(await bench.install()).toMatchObject({
      state: 'succeeded',
      subject: { already_installed: true },
    });
    await addHost(bench.database.db, { name: 'late' });
    expect(await onHosts(bench)).toEqual([...before, 'late@gpus']);
  });

  it('comes back to hosts that it was uninstalled from', async ({ expect }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    const hosts = [await addHost(db, { name: 'a' }), await addHost(db, { name: 'b' })];
    await bench.install(demo(['a', 'b']));
    await bench.pass();
    for (const host of hosts) await bench.obey(host);
    await bench.uninstall({ host: ['a'] });
    for (const host of hosts) await bench.obey(host);
    const back = await bench.install();
    expect(back.subject).not.toHaveProperty('already_installed');
    expect(await onHosts(bench)).toEqual(['a@pci', 'a@virtual', 'b@demo-pci', 'b@demo-virtual']);
    await bench.uninstall();
    for (const host of hosts) await bench.obey(host);
    await bench.install();
    expect(await onHosts(bench)).toEqual(['a@pci', 'a@virtual', 'b@pci', 'b@virtual']);
  });

  it('of a manager is for granted hosts that nothing serves', async ({ expect }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    for (const name of ['a', 'b', 'c']) await addHost(db, { name });
    const [a, b] = await db.selectFrom('host').selectAll().orderBy('name').execute();
    for (const host of [a, b]) if (host !== undefined) await grant(bench, host);
    await bench.install(demo(['a', 'c']));
    await bench.install({}, manager);
    const all = ['a@demo-pci', 'a@demo-virtual', 'b@pci', 'b@virtual', 'c@demo-pci'];
    expect(await onHosts(bench)).toEqual([...all, 'c@demo-virtual']);
    expect(await bench.install({}, manager)).toMatchObject({
      subject: { already_installed: true },
    });
  });
});

import { addHost } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { approve, grant, manager, openBench } from '../../test/deployments.ts';
import type { OperationView } from '../operations/read-operations.ts';

describe('managers (promise 9)', () => {
  it('install on granted hosts only, with delegable keys only', async ({ expect }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    const mine = await addHost(db, { name: 'mine' });
    await addHost(db, { name: 'theirs' });
    await expect(bench.install({}, manager)).rejects.toMatchObject({ code: 'host-not-found' });
    await grant(bench, mine);
    await expect(bench.install({ hosts: ['theirs'] }, manager)).rejects.toMatchObject({
      code: 'host-not-found',
    });
    const soft = (config: Record<string, unknown>): Promise<OperationView> =>
      bench.install({ backends: [{ name: 'soft', kind: 'virtual', config }] }, manager);
    await expect(soft({ entropy_source: '/dev/urandom' })).rejects.toMatchObject({
      code: 'key-not-delegable',
    });
    await soft({ crypto: 2 });
    await bench.pass();
    const rows = await db.selectFrom('backend').select(['host_id', 'name']).execute();
    expect(rows).toEqual([{ host_id: mine.id, name: 'soft' }]);
  });

  it('hear in the operation only of hosts that are granted', async ({ expect }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    const mine = await addHost(db, { name: 'mine' });
    await addHost(db, { name: 'theirs' });
    await grant(bench, mine);
    const soft = { backends: [{ name: 'soft', kind: 'virtual' }] };
    await bench.install(soft);
    const { id } = await bench.install(soft, manager);
    await bench.pass();
    const row = await db
      .selectFrom('operation')
      .select('results')
      .where('id', '=', id)
      .executeTakeFirstOrThrow();
    expect(row.results.map(({ host }) => host)).toEqual(['mine']);
  });

  it('change nothing that also runs on hosts of others', async ({ expect }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    const mine = await addHost(db, { name: 'mine' });
    const theirs = await addHost(db, { name: 'theirs' });
    await grant(bench, mine);
    await bench.install();
    await bench.pass();
    const config = { crypto: 1 };
    await expect(
      bench.update({ backends: [{ name: 'virtual', config }] }, manager),
    ).rejects.toMatchObject({ code: 'forbidden' });
    await approve(bench, '0.2.0');
    await expect(bench.update({}, manager)).rejects.toMatchObject({ code: 'forbidden' });
    await expect(bench.uninstall({ host: ['theirs'] }, manager)).rejects.toMatchObject({
      code: 'host-not-found',
    });
    await bench.uninstall({}, manager);
    const left = await db
      .selectFrom('backend')
      .select('host_id')
      .where('state', '<>', 'removing')
      .execute();
    expect(new Set(left.map(({ host_id }) => host_id))).toEqual(new Set([theirs.id]));
    await expect(bench.uninstall({ force: true }, manager)).rejects.toMatchObject({
      code: 'forbidden',
    });
  });
});

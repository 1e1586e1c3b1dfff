import { describe, it } from 'vitest';

import { lease, nothing, openBench, report, uuid, type Bench } from '../../test/agents.ts';
import { markHostsDown } from './lease.ts';

describe('leases', () => {
  it('are held by one agent at a time, until they end', async ({ expect }) => {
    await using bench = await openBench();
    const host = await bench.join('h1');
    const [first, second] = [uuid(), uuid()];
    await bench.renew(host, first);
    await expect(bench.renew(host, second)).rejects.toMatchObject({
      code: 'agent-already-running',
    });
    await expect(bench.agents.report(host, report(bench.deps, second))).rejects.toMatchObject({
      code: 'agent-already-running',
    });
    const told = await bench.database.db
      .selectFrom('event')
      .select('data')
      .where('kind', '=', 'host.second-agent')
      .execute();
    expect(told).toMatchObject([{ data: { agent_instance: second } }]);
    bench.clock.jumpWallClock(15_001);
    await bench.renew(host, second);
    await expect(bench.renew(host, first)).rejects.toMatchObject({ code: 'agent-already-running' });
  });

  it('of two agents that come at once exactly one gets', async ({ expect }) => {
    await using bench = await openBench();
    const host = await bench.join('h1');
    const outcomes = await Promise.allSettled([
      bench.renew(host, uuid()),
      bench.renew(host, uuid()),
    ]);
    expect(outcomes.map(({ status }) => status).toSorted()).toEqual(['fulfilled', 'rejected']);
  });

  it('of many hosts that renew within a moment are one statement', async ({ expect }) => {
    await using bench = await openBench();
    const hosts = [];
    for (let index = 0; index < 8; index++) hosts.push(await bench.join(`h${index}`));
    await Promise.all(hosts.map((host) => bench.renew(host, uuid())));
    expect(await writersOf(bench)).toBe(1);
    const { rows } = await bench.database.pool.query(
      'select count(*) from host where agent_instance is not null',
    );
    expect(rows[0].count).toBe(8);
  });

  it('that run out are told once, and end at once when the agent leaves', async ({ expect }) => {
    await using bench = await openBench();
    const host = await bench.join('h1');
    const instance = uuid();
    await bench.renew(host, instance);
    bench.clock.jumpWallClock(15_001);
    expect(await markHostsDown(bench.deps)).toBe(1);
    expect(await markHostsDown(bench.deps)).toBe(0);
    await bench.renew(host, instance);
    await bench.agents.renewLease(host, {
      ...nothing,
      body: { ...lease(bench.deps, instance), leaving: true },
    });
    const kinds = await bench.database.db
      .selectFrom('event')
      .select('kind')
      .where('kind', 'in', ['host.up', 'host.down'])
      .orderBy('id')
      .execute();
    expect(kinds.map(({ kind }) => kind)).toEqual(['host.up', 'host.down', 'host.up', 'host.down']);
  });
});

/** Transactions that the rows of all hosts come from. */
async function writersOf({ database }: Bench): Promise<number> {
  const { rows } = await database.pool.query(`select count(distinct xmin::text) from host`);
  return rows[0].count;
}

import { addHost } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { lease, listing, nothing, openBench, report, uuid } from '../../test/agents.ts';
import { makeAgentHandlers } from './handlers.ts';

describe('ledgers (promise 4)', () => {
  it('refuse an agent of another ledger in every call', async ({ expect }) => {
    await using bench = await openBench();
    const host = await addHost(bench.database.db);
    const instance = host.agent_instance ?? '';
    const ledger = { id: uuid(), incarnation: 1 };
    const calls = [
      () =>
        bench.agents.renewLease(host, {
          ...nothing,
          body: { ...lease(bench.deps, instance), ledger },
        }),
      () => bench.agents.report(host, report(bench.deps, instance, { ledger })),
      () =>
        bench.agents.offerInventories(host, {
          ...nothing,
          body: { instance, ledger, backends: [] },
        }),
      () =>
        bench.agents.putInventory(host, {
          query: {},
          params: { backend_id: uuid() },
          body: { instance, ledger, hash: 'h', generation: 1, devices: [], services: [] },
        }),
    ];
    for (const call of calls) {
      await expect(Promise.resolve().then<unknown>(call)).rejects.toMatchObject({
        code: 'wrong-ledger',
      });
    }
  });

  it('of an older incarnation than the agent has seen are refused; a newer one is told by the lease', async ({
    expect,
  }) => {
    await using bench = await openBench();
    const host = await addHost(bench.database.db);
    const instance = host.agent_instance ?? '';
    const seen = { id: bench.deps.ledger.id, incarnation: 2 };
    const body = { ...lease(bench.deps, instance), ledger: seen };
    await expect(
      Promise.resolve().then(() => bench.agents.renewLease(host, { ...nothing, body })),
    ).rejects.toMatchObject({ code: 'wrong-ledger' });

    const restored = makeAgentHandlers({
      ...bench.deps,
      ledger: { id: bench.deps.ledger.id, incarnation: 3 },
    });
    await expect(
      Promise.resolve().then(() =>
        restored.report(host, report(bench.deps, instance, { ledger: seen })),
      ),
    ).rejects.toMatchObject({ code: 'wrong-ledger' });
    expect(await restored.renewLease(host, { ...nothing, body })).toMatchObject({
      ledger: { incarnation: 3 },
    });
  });

  it('that are empty give no order at all, whatever the host has plugged', async ({ expect }) => {
    await using bench = await openBench();
    const host = await bench.join('h1');
    const instance = uuid();
    await bench.renew(host, instance);
    const guest = uuid();
    const deviceName = `ua-cyborg-${uuid()}-4294967297`;
    const found = { instance_id: guest, device_name: deviceName };
    await bench.agents.report(
      host,
      report(bench.deps, instance, {
        listings: [listing([{ id: guest }])],
        observations: [{ attachment_id: uuid(), epoch: 1, observed: 'plugged' }],
        unclaimed: [found],
      }),
    );
    const desired = await bench.agents.showDesired(host, { ...nothing, body: undefined });
    expect(desired).toMatchObject({ orders: [], release_unclaimed: [], installations: [] });
    const unclaimed = await bench.database.db.selectFrom('unclaimed').selectAll().execute();
    expect(unclaimed).toMatchObject([{ ...found, ordered: null }]);
  });
});

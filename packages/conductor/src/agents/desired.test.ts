import { addBackend, addHost } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { nothing, openBench } from '../../test/agents.ts';

describe('the desired state', () => {
  it('waits until something changes, and answers at once then', async ({ expect }) => {
    await using bench = await openBench();
    const { db } = bench.database;
    const host = await addHost(db);
    const first = await bench.agents.showDesired(host, { ...nothing, body: undefined });
    const next = bench.agents.showDesired(host, {
      params: {},
      query: { revision: first.revision, wait_seconds: 20 },
      body: undefined,
    });
    const backend = await addBackend(db, host, { state: 'pending' });
    bench.deps.wake.wake([`host:${host.id}`]);
    const answer = await next;
    expect(answer.revision).not.toBe(first.revision);
    expect(answer.installations).toMatchObject([
      { driver_id: 'generic', wanted: 'present', backends: [{ id: backend.id, generation: 1 }] },
    ]);
  });

  it('answers the same revision when the time is over, and when the agent hangs up', async ({
    expect,
  }) => {
    await using bench = await openBench();
    const host = await addHost(bench.database.db);
    const { revision } = await bench.agents.showDesired(host, { ...nothing, body: undefined });
    const hangUp = new AbortController();
    const waiting = bench.agents.showDesired(host, {
      params: {},
      query: { revision, wait_seconds: 30 },
      body: undefined,
      signal: hangUp.signal,
    });
    hangUp.abort();
    expect((await waiting).revision).toBe(revision);
  });
});

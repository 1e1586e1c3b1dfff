import { systemClock } from '@cyborg/service/clock';
import { carriedOut } from '@cyborg/testing/carried-out';
import { makeTestClock } from '@cyborg/testing/clock';
import { openTestDatabase, type TestDatabase } from '@cyborg/testing/database';
import { callerOf } from '@cyborg/testing/fleet';
import { afterAll, beforeAll, describe, it } from 'vitest';

import { makeAgentHandlers, type AgentHandlers } from '../agents/handlers.ts';
import { makeTestDeps } from '../test-deps.ts';
import { makeHostHandlers, type HostHandlers } from './handlers.ts';

const admin = callerOf('admin', 'ops');
const nothing = { params: {}, query: {}, body: undefined };
const hourMs = 3_600_000;

describe('join tokens', () => {
  let database: TestDatabase;
  let hosts: HostHandlers;
  let agents: AgentHandlers;
  const clock = makeTestClock();
  beforeAll(async () => {
    database = await openTestDatabase();
    const deps = makeTestDeps({
      db: database.db,
      clock: { ...systemClock, now: () => clock.now() },
    });
    hosts = makeHostHandlers(deps);
    agents = makeAgentHandlers(deps);
  });
  afterAll(async () => database[Symbol.asyncDispose]());

  const make = async (host: string) =>
    carriedOut(await hosts.createJoinToken(admin, { ...nothing, body: { host } }));
  const join = (token: string, name: string) => {
    const host = { name, node_name: name };
    const agent = { instance: crypto.randomUUID(), version: '0.1.0', facts: {} };
    return agents.enroll(null, { ...nothing, body: { token, host, ...agent } });
  };
  const hostsOf = (items: readonly { readonly host: string | null }[]): string[] =>
    items.map(({ host }) => host ?? '').toSorted();
  const listed = async (): Promise<string[]> =>
    hostsOf((await hosts.listJoinTokens(admin, nothing)).items);

  it('are listed while they can be used, without the token, and are worth nothing once taken back', async ({
    expect,
  }) => {
    const used = await make('used');
    const kept = await make('kept');
    const lost = await make('lost');
    await join(used.token, 'used');
    expect(await listed()).toEqual(['kept', 'lost']);
    const page = await hosts.listJoinTokens(admin, nothing);
    expect(JSON.stringify(page)).not.toContain(kept.token);

    expect(await hosts.deleteJoinToken(admin, { ...nothing, params: { id: lost.id } })).toBeNull();
    expect(await listed()).toEqual(['kept']);
    await expect(join(lost.token, 'lost')).rejects.toMatchObject({ code: 'enrolment-refused' });
    for (const { id } of [lost, used]) {
      await expect(
        hosts.deleteJoinToken(admin, { ...nothing, params: { id } }),
      ).rejects.toMatchObject({ code: 'join-token-not-found' });
    }

    await clock.advance(hourMs);
    expect(await listed()).toEqual([]);
  });

  it('are listed page by page', async ({ expect }) => {
    for (const name of ['a', 'b', 'c']) await make(name);
    const first = await hosts.listJoinTokens(admin, { ...nothing, query: { limit: 2 } });
    const marker = first.next ?? '';
    const second = await hosts.listJoinTokens(admin, { ...nothing, query: { limit: 2, marker } });
    expect(second.next).toBeNull();
    expect(hostsOf([...first.items, ...second.items])).toEqual(['a', 'b', 'c']);
  });
});

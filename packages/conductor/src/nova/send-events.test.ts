import { makeTestClock } from '@cyborg/testing/clock';
import { describe, it } from 'vitest';

import { bind, make, openBench, unbind } from '../../test/requests.ts';
import { addServer, openTestOpenStack } from '../../test/openstack.ts';
import { claimNovaEvents } from '@cyborg/store/nova/events';

import { claimOf } from './claim.ts';
import { novaLimits } from './limits.ts';
import { sendNovaEvents } from './send-events.ts';

const idle = new AbortController().signal;

/** A bench with two binds of one server each, and a Nova that hears of them. */
async function setUp() {
  const bench = await openBench(3);
  const cloud = await openTestOpenStack();
  const clock = makeTestClock(new Date(Date.now() + 1000));
  const nova = cloud.openstack.nova;
  if (nova === undefined) throw new Error('there is no Nova');
  const deps = { ...bench.deps, clock, openstack: cloud.openstack };
  const reconciler = sendNovaEvents(deps, nova);
  const [one = '', two = ''] = [...(await make(bench)), ...(await make(bench))];
  const [first, second] = [crypto.randomUUID(), crypto.randomUUID()];
  addServer(cloud, first);
  addServer(cloud, second);
  await bind(bench, [one], { instance: first });
  await bind(bench, [two], { instance: second });
  const waiting = async () =>
    (await bench.db.selectFrom('nova_event').selectAll().execute()).length;
  return {
    bench,
    cloud,
    clock,
    deps,
    one,
    two,
    first,
    second,
    waiting,
    pass: () => reconciler.pass(idle),
    /** Beyond every pause. */
    later: () => clock.advance(novaLimits.tellAgainMaxMs),
    async [Symbol.asyncDispose]() {
      await cloud[Symbol.asyncDispose]();
      await bench[Symbol.asyncDispose]();
    },
  };
}

describe('the outbox for Nova', () => {
  it('tells of all binds in one request, once', async ({ expect }) => {
    await using given = await setUp();
    const { cloud, one, two, pass, waiting } = given;
    await pass();
    expect(cloud.accepted.toSorted()).toEqual([one, two].toSorted());
    expect(await waiting()).toBe(0);
    await pass();
    expect(cloud.seen.length).toBe(1);
  });

  it('tells a server again that has no host yet, and not the others', async ({ expect }) => {
    await using given = await setUp();
    const { cloud, one, two, second, pass, waiting, later } = given;
    cloud.eventCodes.set(second, 422);
    await pass();
    expect(cloud.accepted).toEqual([one]);
    expect(await waiting()).toBe(1);
    for (let time = 0; time < 2 * novaLimits.refusedAttemptsMax; time++) {
      await later();
      await pass();
    }
    expect(await waiting()).toBe(1);
    cloud.eventCodes.delete(second);
    await later();
    await pass();
    expect(cloud.accepted).toEqual([one, two]);
    expect(await waiting()).toBe(0);
  });

  it('keeps everything through an outage', async ({ expect }) => {
    await using given = await setUp();
    const { cloud, pass, waiting, later } = given;
    cloud.away.add('compute');
    await pass();
    await later();
    await pass();
    expect(await waiting()).toBe(2);
    cloud.away.delete('compute');
    await later();
    await pass();
    expect([cloud.accepted.length, await waiting()]).toEqual([2, 0]);
  });

  it('forgets what is not true any more, and servers that are gone', async ({ expect }) => {
    await using given = await setUp();
    const { bench, cloud, one, second, pass, waiting } = given;
    await unbind(bench, one);
    cloud.servers.delete(second);
    await pass();
    expect(cloud.accepted).toEqual([]);
    expect(await waiting()).toBe(0);
  });

  it('gives up on what Nova refuses, and says so', async ({ expect }) => {
    await using given = await setUp();
    const { bench, cloud, two, second, pass, waiting, later } = given;
    cloud.eventCodes.set(second, 400);
    for (let time = 0; time < novaLimits.refusedAttemptsMax; time++) {
      await pass();
      await later();
    }
    expect(await waiting()).toBe(0);
    const events = await bench.db
      .selectFrom('event')
      .select(['subject_id', 'data'])
      .where('kind', '=', 'attachment.nova-refused')
      .execute();
    expect(events).toMatchObject([{ subject_id: two, data: { code: 400 } }]);
  });

  it('is taken over from a conductor that died before it sent, and from one that died before it noted', async ({
    expect,
  }) => {
    await using given = await setUp();
    const { bench, cloud, clock, deps, pass, waiting, later } = given;
    await claimNovaEvents(bench.db, claimOf({ ...deps, replicaId: crypto.randomUUID() }, 8));
    await pass();
    expect(cloud.seen.length).toBe(0);
    await clock.advance(deps.limits.claimSeconds * 1000);
    cloud.deaf.add('compute');
    await pass();
    expect(cloud.accepted.length).toBe(2);
    expect(await waiting()).toBe(2);
    cloud.deaf.delete('compute');
    await later();
    await pass();
    // Told twice, which Nova ignores.
    expect([cloud.accepted.length, await waiting()]).toEqual([4, 0]);
  });
});

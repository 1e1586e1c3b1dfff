/** What goes wrong between us and Placement. What Placement itself does: test/openstack/placement.test.ts. */
import { json, silence } from '@cyborg/openstack/test-services';
import { countWaitingForPlacement } from '@cyborg/store/placement';
import { makeTestClock } from '@cyborg/testing/clock';
import { callerOf } from '@cyborg/testing/fleet';
import { toJson } from '@cyborg/store/json';
import { describe, it } from 'vitest';

import { makeHostHandlers } from '../hosts/handlers.ts';
import { makeArqHandlers } from '../v2/arqs/handlers.ts';
import { addCard, openScene, type Scene, type SceneOptions } from '../../test/placement-scene.ts';
import { startTestPlacement, type TestPlacement } from '../../test/fake-placement.ts';

const noOne = new AbortController().signal;
const away = json(503, { errors: [{ status: 503, detail: 'maintenance' }] });

async function open(
  options: Partial<SceneOptions> = {},
  callLimits: Parameters<typeof startTestPlacement>[0] = {},
): Promise<{ placement: TestPlacement; scene: Scene } & AsyncDisposable> {
  const placement = await startTestPlacement(callLimits);
  const scene = await openScene({ placement: placement.client, ...options });
  placement.addNode(scene.nodeName);
  return {
    placement,
    scene,
    async [Symbol.asyncDispose]() {
      await scene[Symbol.asyncDispose]();
      await placement[Symbol.asyncDispose]();
    },
  };
}

function withhold({ db, card }: Scene, index = 0): Promise<unknown> {
  const id = card.accelerators[index]?.id ?? '';
  return db.updateTable('accelerator').set({ state: 'withheld' }).where('id', '=', id).execute();
}

describe('a resource provider', () => {
  it('is written when something has changed, and otherwise not even read', async ({ expect }) => {
    await using bench = await open();
    const { placement, scene } = bench;
    await scene.settle();
    expect(placement.writes().map((one) => one.split('/')[1])).toContain('resource_providers');
    placement.asked.length = 0;
    await scene.tell();
    await scene.settle();
    expect(placement.asked).toEqual([]);
    await withhold(scene);
    await scene.tell();
    await scene.settle();
    expect(placement.writes()).toEqual([
      `PUT /resource_providers/${scene.card.rpUuid}/inventories`,
    ]);
  });

  it('is written again on what others wrote in between', async ({ expect }) => {
    await using bench = await open();
    const { placement, scene } = bench;
    await scene.settle();
    const provider = placement.providers.get(scene.card.rpUuid);
    let others = 3;
    placement.fault = ({ method, path }) => {
      if (
        method === 'PUT' &&
        path.endsWith('/inventories') &&
        provider !== undefined &&
        others > 0
      ) {
        others -= 1;
        provider.generation += 1;
        provider.traits = [...provider.traits, `CUSTOM_OTHER_${others}`];
      }
      return undefined;
    };
    await withhold(scene);
    await scene.tell();
    await scene.pass();
    expect(others).toBe(0);
    expect(provider).toMatchObject({ inventories: { FPGA: { total: 2, reserved: 1 } } });
    expect(provider?.traits.toSorted()).toEqual([
      'CUSTOM_FAKE_DEVICE',
      'CUSTOM_OTHER_0',
      'CUSTOM_OTHER_1',
      'CUSTOM_OTHER_2',
    ]);
  });

  it('has what the ledger says last, though it changes during an attempt', async ({ expect }) => {
    await using bench = await open();
    const { placement, scene } = bench;
    let changes = 0;
    const other = scene.another();
    placement.fault = async ({ method, path }) => {
      if (method !== 'PUT' || !path.endsWith('/inventories') || changes > 0) return undefined;
      changes += 1;
      await withhold(scene);
      await scene.tell();
      await other.pass(noOne);
      return undefined;
    };
    await scene.settle();
    expect(placement.providers.get(scene.card.rpUuid)?.inventories).toMatchObject({
      FPGA: { reserved: 1 },
    });
  });

  it('is made once by two conductors, and adopted when the answer to its making was lost', async ({
    expect,
  }) => {
    await using bench = await open();
    const { placement, scene } = bench;
    placement.fault = ({ method }) => (method === 'POST' ? 'lost' : undefined);
    await scene.pass();
    expect(await countWaitingForPlacement(scene.db)).toMatchObject([
      { trouble: 'outage', count: 1 },
    ]);
    placement.fault = undefined;
    const other = scene.another();
    await Promise.all([scene.settle(), other.pass(noOne), other.pass(noOne)]);
    await scene.settle();
    expect(placement.writes().filter((one) => one.startsWith('POST'))).toHaveLength(1);
    expect(placement.providers.get(scene.card.rpUuid)).toMatchObject({
      name: scene.card.name,
      inventories: { FPGA: { total: 2 } },
      traits: ['CUSTOM_FAKE_DEVICE'],
    });
    expect(await countWaitingForPlacement(scene.db)).toEqual([]);
  });

  it('is right after writes whose answers were lost, and is not written again', async ({
    expect,
  }) => {
    await using bench = await open();
    const { placement, scene } = bench;
    const lost = new Set<string>();
    placement.fault = ({ method, path }) => {
      if (method !== 'PUT' || !path.startsWith('/resource_providers/')) return undefined;
      lost.add(path);
      return 'lost';
    };
    await expect
      .poll(async () => {
        await scene.pass();
        return countWaitingForPlacement(scene.db);
      })
      .toEqual([]);
    const { rpUuid } = scene.card;
    expect([...lost].map((path) => path.split('/').at(-1))).toEqual(['inventories', 'traits']);
    expect(placement.writes().filter((one) => one.includes(rpUuid))).toHaveLength(2);
    expect(placement.providers.get(rpUuid)).toMatchObject({
      inventories: { FPGA: { total: 2, reserved: 0 } },
      traits: ['CUSTOM_FAKE_DEVICE'],
    });
  });

  it('is adopted when another conductor made it at the same moment', async ({ expect }) => {
    await using bench = await open();
    const { placement, scene } = bench;
    placement.fault = ({ method, body }) => {
      if (method !== 'POST') return undefined;
      const { uuid, name, parent_provider_uuid: parent } = JSON.parse(body);
      const made = {
        uuid,
        name,
        parent,
        generation: 0,
        inventories: {},
        traits: [],
        isUsed: false,
      };
      placement.providers.set(uuid, made);
      return undefined;
    };
    await scene.pass();
    expect(await countWaitingForPlacement(scene.db)).toEqual([]);
    expect(placement.providers.get(scene.card.rpUuid)?.inventories).toHaveProperty('FPGA');
  });

  it('is taken over from a conductor that died over it', async ({ expect }) => {
    await using bench = await open();
    const { placement, scene } = bench;
    placement.fault = () => away;
    await scene.pass();
    placement.fault = undefined;
    const claim = (claim_expires_at: Date) =>
      scene.db
        .updateTable('placement_provider')
        .set({ claimed_by: crypto.randomUUID(), claim_expires_at })
        .execute();
    await claim(new Date(Date.now() + 3_600_000));
    await scene.settle();
    expect(placement.providers.has(scene.card.rpUuid)).toBe(false);
    await claim(new Date(Date.now() - 1000));
    await scene.settle();
    expect(placement.providers.get(scene.card.rpUuid)?.inventories).toHaveProperty('FPGA');
  });
});

describe('an outage of Placement', () => {
  it('loses nothing: one asks for all, and all are written after it', async ({ expect }) => {
    await using bench = await open();
    const { placement, scene } = bench;
    const { db, backend, nodeName } = scene;
    for (let n = 0; n < 5; n++) await addCard(db, backend, { name: `${nodeName}_${n}`, count: 1 });
    placement.fault = () => away;
    await scene.pass();
    placement.asked.length = 0;
    const passes = 4;
    for (let n = 0; n < passes; n++) {
      await expect.poll(async () => (await scene.pass()).found).toBe(1);
    }
    expect(placement.asked.length).toBeLessThanOrEqual(passes);
    const [waiting] = (await countWaitingForPlacement(db)).filter((row) => row.trouble !== null);
    expect(waiting).toMatchObject({ trouble: 'outage', reason: expect.stringContaining('503') });
    await withhold(scene);
    await scene.tell();
    placement.fault = undefined;
    await expect
      .poll(async () => {
        await scene.settle();
        return countWaitingForPlacement(db);
      })
      .toEqual([]);
    expect(placement.providers.size).toBe(7);
    expect(placement.providers.get(scene.card.rpUuid)?.inventories).toMatchObject({
      FPGA: { reserved: 1 },
    });
  });

  it('delays the removal of what a deleted host had, and nothing else of its deletion', async ({
    expect,
  }) => {
    await using bench = await open();
    const { placement, scene } = bench;
    const { db, deps, host } = scene;
    await scene.settle();
    expect(placement.providers.has(scene.card.rpUuid)).toBe(true);
    placement.fault = () => away;
    await db.updateTable('host').set({ lease_expires_at: null }).execute();
    const asked = { params: { host: host.id }, query: {}, body: undefined };
    await makeHostHandlers(deps).deleteHost(callerOf('admin', 'ops'), asked);
    await expect
      .poll(async () => {
        await scene.pass();
        return countWaitingForPlacement(db);
      })
      .toMatchObject([{ trouble: 'outage', count: 1 }]);
    expect(await db.selectFrom('accelerator').select('id').execute()).toEqual([]);
    expect(placement.providers.has(scene.card.rpUuid)).toBe(true);
    placement.fault = undefined;
    // As after a restart: the event was seen before.
    const other = scene.another();
    await expect
      .poll(async () => {
        await other.pass(noOne);
        return db.selectFrom('placement_provider').select('name').execute();
      })
      .toEqual([]);
    expect([...placement.providers.values()].map(({ name }) => name)).toEqual([scene.nodeName]);
  });

  it('that is silence ends in time and is one too; so is an account that may not', async ({
    expect,
  }) => {
    await using bench = await open({ limits: { providerMs: 200 } }, { attemptMs: 60_000 });
    const { placement, scene } = bench;
    for (const fault of [silence, json(403, {})]) {
      placement.fault = () => fault;
      await expect
        .poll(async () => {
          await scene.pass();
          return countWaitingForPlacement(scene.db);
        })
        .toMatchObject([{ trouble: 'outage' }]);
    }
    placement.fault = undefined;
    await expect
      .poll(async () => {
        await scene.settle();
        return placement.providers.has(scene.card.rpUuid);
      })
      .toBe(true);
  });

  it('lets a DELETE wait two seconds for it, and no more', async ({ expect }) => {
    await using bench = await open({ count: 1 }, { attemptMs: 60_000, callMs: 60_000 });
    const { placement, scene } = bench;
    await scene.settle();
    const clock = makeTestClock(new Date());
    const arqs = makeArqHandlers({ ...scene.deps, clock });
    const nova = { ...callerOf('member', 'alpha'), isServiceRequest: true };
    const [arq] = await arqs.create(nova, 'one');
    const uuid = arq?.uuid ?? '';
    const values = {
      hostname: scene.nodeName,
      device_rp_uuid: scene.card.rpUuid,
      instance_uuid: crypto.randomUUID(),
    };
    const patches = Object.entries(values).map(([key, value]) => ({
      path: `/${key}`,
      op: 'add',
      value,
    }));
    await arqs.patch({ caller: nova, body: { [uuid]: patches }, minor: 0, signal: noOne });
    placement.fault = () => silence;
    placement.asked.length = 0;
    let isAnswered = false;
    const removed = arqs.remove(nova, [uuid]).then(() => (isAnswered = true));
    await expect.poll(() => placement.asked.length).toBe(1);
    await clock.advance(1999);
    expect(isAnswered).toBe(false);
    await clock.advance(1);
    await expect.poll(() => isAnswered).toBe(true);
    await removed;
    placement.fault = undefined;
    await scene.settle();
    expect(placement.providers.get(scene.card.rpUuid)?.inventories).toMatchObject({
      FPGA: { reserved: 1 },
    });
  });
});

it('keeps one deployable waiting for a trait that Placement does not know, and no other', async ({
  expect,
}) => {
  await using bench = await open();
  const { placement, scene } = bench;
  await scene.db
    .updateTable('deployable')
    .set({ traits: toJson(['NO_SUCH']) })
    .where('id', '=', scene.card.deployableId)
    .execute();
  const name = `${scene.nodeName}_b`;
  const other = await addCard(scene.db, scene.backend, { name, count: 1 });
  await scene.pass();
  await scene.settle();
  expect(placement.providers.get(other.rpUuid)?.traits).toEqual(['CUSTOM_FAKE_DEVICE']);
  const { conditions } = await scene.db
    .selectFrom('host')
    .select('conditions')
    .executeTakeFirstOrThrow();
  expect(conditions).toMatchObject([
    { kind: 'placement', message: expect.stringContaining('NO_SUCH') },
  ]);
});

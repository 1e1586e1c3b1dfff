/** Our providers in the real Placement, under compute nodes that are made for these tests and taken away after them. */
import { obey } from '@cyborg/conductor/test-agent';
import {
  addCard,
  openScene,
  type Scene,
  type SceneOptions,
} from '../../packages/conductor/test/placement-scene.ts';
import { makeArqHandlers } from '@cyborg/conductor/v2/arqs/handlers';
import { makeV2DeviceHandlers } from '@cyborg/conductor/v2/devices';
import type { Caller } from '@cyborg/model/caller';
import { uuid3 } from '@cyborg/model/v2/provider';
import { makePlacement, type PlacementClient } from '@cyborg/openstack/placement';
import { toJson } from '@cyborg/store/json';
import { addAccelerators, callerOf } from '@cyborg/testing/fleet';
import { describe, it, onTestFinished } from 'vitest';

import { needsLab, sessionOf } from './lab.ts';

needsLab();

const nova: Caller = { ...callerOf('member', 'alpha'), isServiceRequest: true };
const noOne = new AbortController().signal;

function openPlacement(): PlacementClient {
  const session = sessionOf('cyborg');
  onTestFinished(() => session[Symbol.dispose]());
  return makePlacement(session);
}

/** A compute node of its own, as nova-compute makes one; with all that is under it, it goes with the test. */
async function addNode(
  placement: PlacementClient,
  name = `node-${crypto.randomUUID()}`,
): Promise<string> {
  const uuid = crypto.randomUUID();
  const made = await placement.createProvider({ uuid, name, parentUuid: null });
  if (made.kind !== 'written') throw new Error(`no compute node: ${JSON.stringify(made)}`);
  onTestFinished(async () => {
    const ours = makePlacement(sessionOf('cyborg'));
    const tree = await ours.listTree(uuid);
    for (const each of tree.toSorted((a, b) => Number(b.uuid !== uuid) - Number(a.uuid !== uuid))) {
      for (const consumer of (await ours.getProviderAllocations(each.uuid))?.keys() ?? []) {
        await ours.deleteAllocations(consumer);
      }
      await ours.deleteProvider(each.uuid);
    }
  });
  return name;
}

async function openReal(options: Partial<SceneOptions> = {}): Promise<Scene> {
  const placement = options.placement ?? openPlacement();
  const nodeName = options.nodeName ?? (await addNode(placement));
  return openScene({ ...options, placement, nodeName });
}

async function inventoryOf(scene: Scene, rpUuid = scene.card.rpUuid, name = 'FPGA') {
  const found = await scene.deps.openstack?.placement?.getInventories(rpUuid);
  return found?.byClass[name];
}

async function traitsOf(scene: Scene, rpUuid = scene.card.rpUuid): Promise<readonly string[]> {
  const found = await scene.deps.openstack?.placement?.getTraits(rpUuid);
  return (found?.traits ?? []).toSorted();
}

async function generationOf(placement: PlacementClient, uuid: string): Promise<number | undefined> {
  return (await placement.getProvider(uuid))?.generation;
}

/** As Nova's scheduler does. */
async function allocate(placement: PlacementClient, rpUuid: string): Promise<string | undefined> {
  const consumerId = crypto.randomUUID();
  const made = await placement.postAllocations([
    {
      consumerId,
      consumerGeneration: null,
      consumerType: 'INSTANCE',
      projectId: 'alpha',
      userId: 'member',
      byProvider: { [rpUuid]: { FPGA: 1 } },
    },
  ]);
  return made.kind === 'written' ? consumerId : undefined;
}

function bindBody(arq: string, scene: Scene, instance: string): object {
  const values = {
    hostname: scene.nodeName,
    device_rp_uuid: scene.card.rpUuid,
    instance_uuid: instance,
  };
  const patches = Object.entries(values).map(([key, value]) => ({
    path: `/${key}`,
    op: 'add',
    value,
  }));
  return { [arq]: patches };
}

describe('a deployable that Nova can bind', () => {
  it('is a provider under its compute node, written once', async ({ expect }) => {
    const placement = openPlacement();
    await using scene = await openReal({ placement });
    await scene.settle();
    const { rpUuid, name } = scene.card;
    const made = await placement.getProvider(rpUuid);
    const node = await placement.findProvider(scene.nodeName);
    expect(made).toMatchObject({ uuid: uuid3(name), name, parentUuid: node?.uuid });
    expect(await inventoryOf(scene)).toEqual({
      total: 2,
      reserved: 0,
      minUnit: 1,
      maxUnit: 2,
      stepSize: 1,
      allocationRatio: 1,
    });
    expect(await traitsOf(scene)).toEqual(['CUSTOM_FAKE_DEVICE']);
    await scene.tell();
    await scene.settle();
    await scene.another().pass(noOne);
    expect(await generationOf(placement, rpUuid)).toBe(made?.generation);
  });

  it('reserves what nobody may be given: withheld, reserved for, absent, and all of what is disabled', async ({
    expect,
  }) => {
    await using scene = await openReal({ count: 4 });
    const { db, card, host, backend } = scene;
    const [one, two, three] = card.accelerators;
    const set = (id: string | undefined, changes: object) =>
      db
        .updateTable('accelerator')
        .set(changes)
        .where('id', '=', id ?? '')
        .execute();
    await set(one?.id, { state: 'withheld' });
    await set(two?.id, { reserved_for: 'beta' });
    await set(three?.id, { presence: 'absent' });
    await scene.settle();
    expect(await inventoryOf(scene)).toMatchObject({ total: 4, reserved: 3 });
    const after = async (change: Promise<unknown>): Promise<number | undefined> => {
      await change;
      await scene.tell();
      await scene.settle();
      return (await inventoryOf(scene))?.reserved;
    };
    const hostIs = (status: 'enabled' | 'disabled') =>
      db.updateTable('host').set({ status }).where('id', '=', host.id).execute();
    const backendIs = (status: 'enabled' | 'disabled') =>
      db.updateTable('backend').set({ status }).where('id', '=', backend.id).execute();
    expect(await after(hostIs('disabled'))).toBe(4);
    expect(await after(hostIs('enabled'))).toBe(3);
    expect(await after(backendIs('disabled'))).toBe(4);
    expect(await after(backendIs('enabled'))).toBe(3);
    for (const state of ['cleaning', 'cleaning_failed', 'available'] as const) {
      await set(one?.id, { state });
      expect([state, await after(Promise.resolve())]).toEqual([
        state,
        state === 'available' ? 2 : 3,
      ]);
    }
  });

  it('leaves what others put on it, and takes back its own', async ({ expect }) => {
    const placement = openPlacement();
    await using scene = await openReal({ placement });
    await scene.settle();
    const { rpUuid, deployableId } = scene.card;
    await placement.ensureTrait('CUSTOM_CYBORG_TEST');
    await placement.ensureResourceClass('CUSTOM_CYBORG_TEST');
    const before = await placement.getTraits(rpUuid);
    const traits = [...(before?.traits ?? []), 'CUSTOM_CYBORG_TEST'];
    await placement.putTraits(rpUuid, { generation: before?.generation ?? 0, traits });
    const inventories = await placement.getInventories(rpUuid);
    const foreign = {
      total: 7,
      reserved: 1,
      minUnit: 1,
      maxUnit: 7,
      stepSize: 1,
      allocationRatio: 2,
    };
    await placement.putInventories(rpUuid, {
      generation: inventories?.generation ?? 0,
      byClass: { ...inventories?.byClass, CUSTOM_CYBORG_TEST: foreign },
    });
    await scene.db
      .updateTable('deployable')
      .set({ traits: toJson(['CUSTOM_FPGA_OTHER']), resource_class: 'CUSTOM_FPGA_OTHER' })
      .where('id', '=', deployableId)
      .execute();
    await scene.tell();
    await scene.settle();
    expect(await traitsOf(scene)).toEqual(['CUSTOM_CYBORG_TEST', 'CUSTOM_FPGA_OTHER']);
    const after = await placement.getInventories(rpUuid);
    expect(Object.keys(after?.byClass ?? {}).toSorted()).toEqual([
      'CUSTOM_CYBORG_TEST',
      'CUSTOM_FPGA_OTHER',
    ]);
    expect(after?.byClass['CUSTOM_CYBORG_TEST']).toEqual(foreign);
  });

  it('waits, as its host says, until there is a compute node', async ({ expect }) => {
    const placement = openPlacement();
    await using scene = await openScene({ placement });
    const conditions = async () =>
      (await scene.db.selectFrom('host').select('conditions').executeTakeFirstOrThrow()).conditions;
    await scene.pass();
    expect(await conditions()).toMatchObject([
      {
        kind: 'placement',
        message: expect.stringContaining(scene.nodeName),
        blocks_attaching: false,
      },
    ]);
    await addNode(placement, scene.nodeName);
    await expect
      .poll(async () => {
        await scene.pass();
        return inventoryOf(scene);
      })
      .toMatchObject({ total: 2 });
    await expect.poll(conditions).toEqual([]);
  });

  it('goes with its deployable; while something is allocated it stays, closed, and its host says so', async ({
    expect,
  }) => {
    const placement = openPlacement();
    await using scene = await openReal({ placement });
    await scene.settle();
    const { rpUuid, deployableId } = scene.card;
    const consumer = await allocate(placement, rpUuid);
    await scene.db.deleteFrom('deployable').where('id', '=', deployableId).execute();
    await scene.tell();
    await scene.pass();
    expect(await inventoryOf(scene)).toMatchObject({ total: 2, reserved: 2 });
    const { conditions } = await scene.db
      .selectFrom('host')
      .select('conditions')
      .executeTakeFirstOrThrow();
    expect(conditions).toMatchObject([{ message: expect.stringContaining(scene.card.name) }]);
    await placement.deleteAllocations(consumer ?? '');
    await expect
      .poll(async () => {
        await scene.pass();
        return placement.getProvider(rpUuid);
      })
      .toBeUndefined();
    expect(await scene.db.selectFrom('placement_provider').selectAll().execute()).toEqual([]);
  });

  it('is put right when somebody has changed or removed it', async ({ expect }) => {
    const placement = openPlacement();
    await using scene = await openReal({ placement, limits: { checkSeconds: 0 } });
    const other = await addCard(scene.db, scene.backend, { name: `${scene.nodeName}_b`, count: 1 });
    await scene.settle();
    const { rpUuid } = scene.card;
    const { generation } = (await placement.getInventories(rpUuid)) ?? { generation: 0 };
    await placement.putInventories(rpUuid, { generation, byClass: {} });
    await placement.deleteProvider(other.rpUuid);
    await expect
      .poll(async () => {
        await scene.pass();
        return [await inventoryOf(scene), await inventoryOf(scene, other.rpUuid)];
      })
      .toMatchObject([{ total: 2 }, { total: 1 }]);
    await expect.poll(() => traitsOf(scene, other.rpUuid)).toEqual(['CUSTOM_FAKE_DEVICE']);
  });

  it('is not taken from others who have its name or its UUID', async ({ expect }) => {
    const placement = openPlacement();
    const theirs = await addNode(placement);
    const parent = await placement.findProvider(theirs);
    await using scene = await openReal({ placement });
    const { rpUuid, name } = scene.card;
    await placement.createProvider({ uuid: rpUuid, name, parentUuid: parent?.uuid ?? null });
    await scene.settle();
    expect(await placement.getInventories(rpUuid)).toMatchObject({ generation: 0, byClass: {} });
    expect(await scene.db.selectFrom('placement_provider').select('trouble').execute()).toEqual([
      { trouble: 'foreign' },
    ]);
    await scene.db.deleteFrom('deployable').where('id', '=', scene.card.deployableId).execute();
    await scene.tell();
    await scene.settle();
    expect(await placement.getProvider(rpUuid)).toMatchObject({ parentUuid: parent?.uuid });
  });
});

it('publishes what only our agents plug when it is told to, and nothing of it otherwise', async ({
  expect,
}) => {
  for (const placesHotplug of [false, true]) {
    await using scene = await openReal({ placesHotplug });
    const [virtual] = await addAccelerators(scene.db, scene.backend, { count: 1 });
    const { name } = await scene.db
      .selectFrom('deployable')
      .select('name')
      .where('id', '=', virtual?.deployable_id ?? '')
      .executeTakeFirstOrThrow();
    await scene.settle();
    const rows = await scene.db.selectFrom('placement_provider').selectAll().execute();
    const made = rows.find((row) => row.deployable_id === virtual?.deployable_id);
    expect(made?.name, name).toBe(placesHotplug ? `${scene.nodeName}_${name}` : undefined);
    if (made === undefined) continue;
    expect(await inventoryOf(scene, made.rp_uuid, made.synced?.resource_class)).toMatchObject({
      total: 1,
    });
    expect(made.synced?.resource_class).toMatch(/^CUSTOM_CYBORG_/);
    expect(await traitsOf(scene, made.rp_uuid)).toContain('CUSTOM_CYBORG_HOTPLUG_ONLY');
  }
});

describe('freeing', () => {
  it('is in Placement by the answer to a DELETE, an unbind or a disable', async ({ expect }) => {
    await using scene = await openReal({ count: 1 });
    const { deps, host } = scene;
    const arqs = makeArqHandlers(deps);
    await scene.settle();
    const reserved = async () => (await inventoryOf(scene))?.reserved;
    const [arq] = await arqs.create(nova, 'one');
    const uuid = arq?.uuid ?? '';
    const bind = () =>
      arqs.patch({
        caller: nova,
        body: bindBody(uuid, scene, crypto.randomUUID()),
        minor: 0,
        signal: noOne,
      });
    await bind();
    await scene.settle();
    expect(await reserved()).toBe(0);
    const body = { [uuid]: [{ path: '/instance_uuid', op: 'remove' }] };
    await arqs.patch({ caller: nova, body, minor: 0, signal: noOne });
    expect(await reserved()).toBe(1);
    await scene.settle();
    expect(await reserved()).toBe(1);
    await obey(deps, host);
    await scene.settle();
    expect(await reserved()).toBe(0);
    await bind();
    await arqs.remove(nova, [uuid]);
    expect(await reserved()).toBe(1);
    await obey(deps, host);
    await scene.settle();
    expect(await reserved()).toBe(0);
    const devices = makeV2DeviceHandlers(deps);
    const id = scene.card.accelerators[0]?.device_id ?? '';
    const admin = callerOf('admin', 'root');
    await devices.setDeviceStatus(admin, { id, status: 'maintaining' });
    expect(await reserved()).toBe(1);
    await devices.setDeviceStatus(admin, { id, status: 'enabled' });
    expect(await reserved()).toBe(0);
  });

  it('never lets a scheduler choose what is not clean: 20 servers, one after the other, on one handle', async ({
    expect,
  }) => {
    const placement = openPlacement();
    await using scene = await openReal({ placement, count: 1 });
    const deps = { ...scene.deps, limits: { ...scene.deps.limits, bindWaitSeconds: 0 } };
    const arqs = makeArqHandlers(deps);
    await scene.settle();
    for (let n = 0; n < 20; n++) {
      let consumer: string | undefined;
      await expect
        .poll(
          async () => {
            await scene.pass();
            consumer = await allocate(placement, scene.card.rpUuid);
            return consumer !== undefined;
          },
          { timeout: 30_000, interval: 10 },
        )
        .toBe(true);
      const [arq] = await arqs.create(nova, 'one');
      const instance = crypto.randomUUID();
      const body = bindBody(arq?.uuid ?? '', scene, instance);
      await arqs.patch({ caller: nova, body, minor: 0, signal: noOne });
      await arqs.removeOfInstance(nova, instance);
      await placement.deleteAllocations(consumer ?? '');
      // Not clean yet: a server that is sent now finds no host.
      await scene.pass();
      expect(await allocate(placement, scene.card.rpUuid)).toBeUndefined();
      await obey(deps, scene.host);
    }
  });
});

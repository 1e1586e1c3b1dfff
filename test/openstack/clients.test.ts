/** Our clients of Keystone, Placement, Nova and Glance, against the real ones. */
import { makeGlance } from '@cyborg/openstack/glance';
import { validateToken } from '@cyborg/openstack/keystone/validate';
import { makeNova } from '@cyborg/openstack/nova';
import { makePlacement } from '@cyborg/openstack/placement';
import { openSession } from '@cyborg/openstack/session';
import { systemClock } from '@cyborg/service/clock';
import { systemRng } from '@cyborg/service/rng';
import { describe, it, onTestFinished } from 'vitest';

import { credentialsOf, keystoneUrl, labSettings, needsLab, sessionOf } from './lab.ts';

needsLab();

const inventory = {
  total: 4,
  reserved: 0,
  minUnit: 1,
  maxUnit: 4,
  stepSize: 1,
  allocationRatio: 1,
};

describe('Keystone', () => {
  it('tells whose a token is, and that a revoked or invented one is nobody’s', async ({
    expect,
  }) => {
    using session = sessionOf('cyborg');
    using demo = sessionOf('demo');
    const { id } = await demo.signIn();
    expect(await validateToken(session, id)).toMatchObject({
      user: { name: 'demo' },
      project: { name: 'demo' },
      scope: 'project',
      catalogue: [],
    });
    await demo.request({
      type: 'identity',
      service: 'Keystone',
      method: 'DELETE',
      path: '/auth/tokens',
      headers: { 'x-subject-token': id },
    });
    expect(await validateToken(session, id)).toBeUndefined();
    expect(await validateToken(session, 'invented')).toBeUndefined();
  });

  it('takes an application credential, and tells what is wrong with it', async ({ expect }) => {
    using demo = sessionOf('demo');
    const { token } = await demo.signIn();
    const path = `/users/${token.user.id}/application_credentials`;
    const request = { type: 'identity', service: 'Keystone', path } as const;
    const name = `test-${systemRng.uuid()}`;
    const body = { application_credential: { name, secret: 'shh' } };
    await demo.request({ ...request, method: 'POST', body });
    const open = (secret: string): ReturnType<typeof openSession> =>
      openSession({
        authUrl: keystoneUrl,
        credentials: {
          kind: 'application_credential',
          credential: { name, user: { id: token.user.id } },
          secret,
        },
        clock: systemClock,
        rng: systemRng,
      });
    using right = open('shh');
    expect((await right.signIn()).token).toMatchObject({ project: { name: 'demo' } });
    using wrong = open('other');
    await expect(wrong.signIn()).rejects.toThrow('does not sign in application credential');
  });

  it('refuses a member who asks whose another token is', async ({ expect }) => {
    using demo = sessionOf('demo');
    using alt = sessionOf('alt');
    await expect(validateToken(demo, (await alt.signIn()).id)).rejects.toMatchObject({
      status: 403,
    });
  });

  it('gives a token of the system when it is asked for one', async ({ expect }) => {
    using admin = openSession({
      authUrl: keystoneUrl,
      credentials: credentialsOf('admin', { kind: 'system' }),
      clock: systemClock,
      rng: systemRng,
    });
    expect((await admin.signIn()).token).toMatchObject({ scope: 'system', project: undefined });
  });
});

describe('Placement', () => {
  it('holds a nested provider with inventory, traits and allocations, by generations', async ({
    expect,
  }) => {
    using session = sessionOf('cyborg');
    const placement = makePlacement(session);
    const root = await placement.findProvider(labSettings().host);
    if (root === undefined) throw new Error('the compute node has no provider');
    const uuid = systemRng.uuid();
    const name = `test-${uuid}`;
    const made = await placement.createProvider({ uuid, name, parentUuid: root.uuid });
    onTestFinished(
      async () => void (await makePlacement(sessionOf('cyborg')).deleteProvider(uuid)),
    );
    expect(made).toMatchObject({ kind: 'written', value: { parentUuid: root.uuid } });
    expect(await placement.createProvider({ uuid, name, parentUuid: null })).toMatchObject({
      kind: 'conflict',
    });
    expect((await placement.listTree(uuid)).map((each) => each.uuid)).toContain(root.uuid);

    await placement.ensureResourceClass('CUSTOM_CYBORG_TEST');
    await placement.ensureResourceClass('CUSTOM_CYBORG_TEST');
    await placement.ensureResourceClass('PGPU');
    await placement.ensureTrait('CUSTOM_CYBORG_TEST');
    await placement.ensureTrait('OWNER_CYBORG');
    await expect(placement.ensureTrait('NO_SUCH')).rejects.toMatchObject({ status: 404 });

    const byClass = { CUSTOM_CYBORG_TEST: inventory };
    const put = await placement.putInventories(uuid, { generation: 0, byClass });
    expect(put).toMatchObject({ kind: 'written', value: { generation: 1, byClass } });
    expect(await placement.putInventories(uuid, { generation: 0, byClass })).toMatchObject({
      kind: 'conflict',
      code: 'placement.concurrent_update',
    });
    const one = { ...inventory, generation: 1, resourceClass: 'CUSTOM_CYBORG_TEST', reserved: 3 };
    expect(await placement.putInventory(uuid, one)).toMatchObject({
      kind: 'written',
      value: { generation: 2, reserved: 3 },
    });
    const traits = ['CUSTOM_CYBORG_TEST', 'OWNER_CYBORG'];
    expect(await placement.putTraits(uuid, { generation: 2, traits })).toMatchObject({
      kind: 'written',
    });
    expect((await placement.getTraits(uuid))?.traits.toSorted()).toEqual(traits);

    const consumerId = systemRng.uuid();
    const { token } = await session.signIn();
    const consumer = {
      consumerId,
      consumerGeneration: null,
      consumerType: 'CYBORG_ATTACHMENT',
      projectId: token.project?.id ?? '',
      userId: token.user.id,
      byProvider: { [uuid]: { CUSTOM_CYBORG_TEST: 1 } },
    };
    expect(await placement.getAllocations(consumerId)).toBeUndefined();
    expect(await placement.postAllocations([consumer])).toMatchObject({ kind: 'written' });
    expect(await placement.postAllocations([consumer])).toMatchObject({ kind: 'conflict' });
    const other = { ...consumer, consumerId: systemRng.uuid() };
    expect(await placement.postAllocations([other])).toMatchObject({ kind: 'conflict' });
    expect(await placement.getAllocations(consumerId)).toMatchObject({
      consumerType: 'CYBORG_ATTACHMENT',
      byProvider: consumer.byProvider,
    });
    expect(await placement.getUsages(uuid)).toEqual({ CUSTOM_CYBORG_TEST: 1 });
    expect((await placement.getProviderAllocations(uuid))?.get(consumerId)).toEqual({
      CUSTOM_CYBORG_TEST: 1,
    });
    expect(await placement.deleteProvider(uuid)).toMatchObject({ kind: 'conflict' });
    expect(await placement.deleteAllocations(consumerId)).toBe(true);
    expect(await placement.deleteAllocations(consumerId)).toBe(false);
    expect(await placement.deleteProvider(uuid)).toMatchObject({ kind: 'written' });
    expect(await placement.deleteProvider(uuid)).toEqual({ kind: 'gone' });
    expect(await placement.getInventories(uuid)).toBeUndefined();
    expect(await placement.putTraits(uuid, { generation: 0, traits: [] })).toEqual({
      kind: 'gone',
    });
  });
});

describe('Nova', () => {
  it('knows no server of an invented id, and takes our events', async ({ expect }) => {
    using session = sessionOf('cyborg');
    const nova = makeNova(session);
    const serverId = systemRng.uuid();
    expect(await nova.getServer(serverId)).toBeUndefined();
    const event = { serverId, arqId: systemRng.uuid(), status: 'completed' } as const;
    expect(await nova.sendEvents([event])).toEqual([{ event, outcome: 'gone', code: 404 }]);
  });
});

describe('Glance', () => {
  it('finds an image by a property, and its bytes are what it says', async ({ expect }) => {
    using session = sessionOf('cyborg');
    const glance = makeGlance(session, { clock: systemClock });
    const filter = { property: 'name', value: 'tiny-kernel', limit: 2 };
    const [image] = await glance.findImages(filter);
    if (image === undefined) throw new Error('the lab has no image tiny-kernel');
    let bytes = 0;
    for await (const piece of glance.download(image)) bytes += piece.length;
    expect(bytes).toBe(image.size);
    expect(await glance.getImage(systemRng.uuid())).toBeUndefined();
    const wrong = { ...image, hashValue: 'ab'.repeat(64) };
    const readWrong = async (): Promise<void> => {
      for await (const piece of glance.download(wrong)) bytes += piece.length;
    };
    await expect(readWrong()).rejects.toMatchObject({ failure: 'corrupt' });
  });
});

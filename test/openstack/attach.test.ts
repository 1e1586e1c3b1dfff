/** `cyborg attach-instance` on servers that run: the guest sees what comes and goes, and it outlives what Nova does. */
import { asText } from '@cyborg/openstack/reader';
import { beforeAll, describe, inject, it, onTestFinished } from 'vitest';

import {
  allocationsOf,
  awaitFree,
  cardFlavor,
  installDrivers,
  makeCardFlavor,
  offerCards,
} from './card.ts';
import {
  attach,
  attachmentsOf,
  awaitAvailable,
  awaitInGuest,
  awaitNothingAllocated,
  awaitReady,
  guestSeconds,
  saidSince,
  stateOf,
} from './attached.ts';
import { acceleratorClient, cyborg, cyborgList, cyborgShow } from './commands.ts';
import { needsLab, projectIdOf } from './lab.ts';
import { bootActive, imageOf, pluggedInto, type Server } from './servers.ts';
import { until } from './until.ts';

needsLab();

/** A deleted server's are given back when its host has lacked it for 60 s. */
const vanishedSeconds = 240;
const plain = 't1.tiny';

beforeAll(async () => {
  if (inject('openStackMissing') === null) await installDrivers();
});

const novaActs = {
  'a hard reboot': async (server: Server) => {
    await server.act({ reboot: { type: 'HARD' } });
    await server.reach('ACTIVE');
  },
  'stop and start': async (server: Server) => {
    await server.act({ 'os-stop': null });
    await server.reach('SHUTOFF');
    await server.act({ 'os-start': null });
    await server.reach('ACTIVE');
  },
  'a rebuild': async (server: Server) => {
    await server.act({ rebuild: { imageRef: await imageOf('tiny') } });
    await server.reach('ACTIVE');
  },
};

describe('attach-instance', () => {
  it('plugs a member’s server, keeps it through hard reboot, stop and start, and rebuild, until detach-instance', async ({
    expect,
  }) => {
    const server = await bootActive({ flavor: plain });
    await awaitReady(server);
    const accelerators = await attach('demo', server);
    expect(accelerators).toHaveLength(1);
    await awaitInGuest(server, 1);
    expect(await saidSince(server)).toMatch(/TESTBED-PCI\+ \S+ 1af4:1005 virtio-pci/);
    const attachments = await attachmentsOf(server);
    expect(attachments).toMatchObject([{ state: 'attached', origin: 'cyborg' }]);
    const [attachment] = attachments;
    const consumer = asText(attachment?.['id'], 'id');
    expect(Object.values(await allocationsOf(consumer))).toEqual([{ CUSTOM_CYBORG_ENTROPY: 1 }]);

    for (const [name, act] of Object.entries(novaActs)) {
      await act(server);
      await awaitInGuest(server, 1);
      const [again] = await attachmentsOf(server);
      expect({ name, id: again?.['id'] }).toEqual({ name, id: consumer });
    }

    expect(await cyborg('demo', 'detach-instance', server.id)).toMatchObject({ code: 0 });
    expect(await pluggedInto(server.id)).toEqual([]);
    await until({ what: 'the guest sees it go', seconds: guestSeconds }, async () =>
      /TESTBED-PCI- \S+ 1af4:1005/.test(await saidSince(server)) ? true : undefined,
    );
    expect(await stateOf(accelerators[0] ?? '')).toBe('available');
    expect(await attachmentsOf(server)).toEqual([]);
    await awaitNothingAllocated(attachments);
  });

  it('plugs two by a manager; the delete of the server gives them back, and no allocation stays', async ({
    expect,
  }) => {
    const server = await bootActive({ flavor: plain });
    await awaitReady(server);
    const accelerators = await attach('demo-manager', server, '--count', '2');
    expect(accelerators).toHaveLength(2);
    await awaitInGuest(server, 2);
    const attachments = await attachmentsOf(server);
    expect(attachments).toHaveLength(2);
    await server.remove();
    await server.awaitGone();
    await awaitAvailable(accelerators, vanishedSeconds);
    await awaitNothingAllocated(attachments);
  });

  it('stands beside what Nova bound at boot: reboot and rebuild keep both, shelve releases both', async ({
    expect,
  }) => {
    await offerCards(1);
    await using flavor = await makeCardFlavor();
    expect(flavor).toBeDefined();
    const server = await bootActive({ flavor: cardFlavor });
    await awaitReady(server);
    const accelerators = await attach('demo', server);
    await awaitInGuest(server, 1);
    const arqs = async (): Promise<unknown[]> =>
      (await acceleratorClient('admin').list('arq', 'list'))
        .filter(({ attach_handle_type: type }) => type === 'TEST_PCI')
        .map(({ uuid, state, instance_uuid: instance }) => ({ uuid, state, instance }));
    const before = await arqs();
    expect(before).toMatchObject([{ state: 'Bound', instance: server.id }]);
    for (const name of ['a hard reboot', 'a rebuild'] as const) {
      await novaActs[name](server);
      await awaitInGuest(server, 1);
      expect({ name, arqs: await arqs() }).toEqual({ name, arqs: before });
    }
    await server.act({ shelve: null });
    await server.reach('SHELVED_OFFLOADED');
    await awaitAvailable(accelerators, vanishedSeconds);
    await awaitFree();
    await server.act({ unshelve: null });
    await server.reach('ACTIVE');
    expect(await arqs()).toMatchObject([{ state: 'Bound', instance: server.id }]);
    await awaitReady(server);
    await awaitInGuest(server, 0);
    await server.remove();
    await server.awaitGone();
    await awaitFree();
  });
});

describe('attach-instance refuses', () => {
  it('by state, by project, by role and by quota, and says the way out', async ({ expect }) => {
    const server = await bootActive({ flavor: plain });
    await awaitReady(server);
    const words = ['attach-instance', server.id, '--driver', 'generic'];
    expect(await cyborg('alt', ...words)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining(`There is no instance "${server.id}"`),
    });
    expect(await cyborg('demo-reader', ...words)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('not allowed for demo-reader'),
    });
    const project = await projectIdOf('demo');
    onTestFinished(async () => {
      await cyborg('admin', 'quota-set', project, '--limit', 'ENTROPY=unlimited');
    });
    await cyborgShow('admin', 'quota-set', project, '--limit', 'ENTROPY=0');
    expect(await cyborg('demo', ...words)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('of at most 0 accelerators of type ENTROPY'),
    });
    await cyborgShow('admin', 'quota-set', project, '--limit', 'ENTROPY=unlimited');
    await server.act({ 'os-stop': null });
    await server.reach('SHUTOFF');
    expect(await cyborg('demo', ...words)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('is SHUTOFF in Nova: start it'),
    });
    await server.act({ 'os-start': null });
    await server.reach('ACTIVE');
    await server.act({ pause: null });
    await server.reach('PAUSED');
    await attach('demo', server);
    expect(await attachmentsOf(server)).toHaveLength(1);
  });

  it('nothing of a tenant’s to another, who does not see it either', async ({ expect }) => {
    const server = await bootActive({ flavor: plain });
    await awaitReady(server);
    const [accelerator = ''] = await attach('demo', server);
    const list = ['accelerator-list', '--driver', 'generic'];
    const mine = { id: accelerator, instance_id: server.id };
    expect(await cyborgList('demo', ...list)).toContainEqual(expect.objectContaining(mine));
    expect(await cyborg('demo', 'accelerator-update', accelerator, '--label', 'f=1')).toMatchObject(
      { code: 0 },
    );
    const others = await cyborgList('alt', ...list);
    expect(others.map(({ id }) => id)).not.toContain(accelerator);
    for (const act of ['accelerator-update', 'accelerator-show']) {
      const more = act === 'accelerator-show' ? [] : ['--label', 'f=2'];
      const { code, stderr } = await cyborg('alt', act, accelerator, ...more);
      expect({ act, code, stderr }).toEqual({
        act,
        code: 1,
        stderr: expect.stringMatching(/no accelerator/i),
      });
    }
    expect((await cyborg('alt', 'detach-instance', server.id)).code).toBe(1);
  });
});

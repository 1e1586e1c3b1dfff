/** Debian's `openstack accelerator …` (python-cyborgclient and openstacksdk) prints what it prints with upstream. */
import { uuid3 } from '@cyborg/model/v2/provider';
import { asObject, asText } from '@cyborg/openstack/reader';
import { systemRng } from '@cyborg/service/rng';
import { beforeAll, describe, inject, it, onTestFinished } from 'vitest';

import { awaitFree, cardGroups, installDrivers } from './card.ts';
import { acceleratorClient, type OpenStackClient } from './commands.ts';
import { labSettings, needsLab, sessionOf } from './lab.ts';
import { startVouchingRelay } from './vouching-relay.ts';

needsLab();

const admin = acceleratorClient('admin');
const uuid = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/;
const date = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$/;
const names = (): { host: string; card: string; provider: string } => {
  const { host } = labSettings();
  return { host, card: `${host}_FakeDevice`, provider: uuid3(`${host}_FakeDevice`) };
};

beforeAll(async () => {
  if (inject('openStackMissing') !== null) return;
  await installDrivers();
  await awaitFree();
});

async function makeProfile(name: string): Promise<void> {
  await admin.show('device', 'profile', 'create', name, JSON.stringify(cardGroups));
  onTestFinished(async () => void (await admin('device', 'profile', 'delete', name)));
}

async function makeArq(profile: string, client: OpenStackClient = admin): Promise<string> {
  const arq = await client.show('arq', 'create', profile);
  const id = asText(arq['uuid'], 'uuid');
  onTestFinished(async () => void (await admin('arq', 'delete', id)));
  return id;
}

describe('devices and deployables', () => {
  it('lists and shows the card', async ({ expect }) => {
    const { host } = names();
    const rows = await admin.list('device', 'list');
    const card = rows.find(({ type, hostname }) => type === 'FPGA' && hostname === host);
    expect(card).toEqual({
      uuid: expect.stringMatching(uuid),
      type: 'FPGA',
      vendor: '0xABCD',
      hostname: host,
      std_board_info: '{"device_id": "0xabcd", "class": "Fake class"}',
    });
    const shown = await admin.show('device', 'show', asText(card?.['uuid'], 'uuid'));
    expect(shown).toEqual({
      ...card,
      created_at: expect.stringMatching(date),
      updated_at: shown['updated_at'],
      model: 'miss model info',
      vendor_board_info: 'fake_vendor_info',
    });
    expect(await admin.list('device', 'list', '--long')).toContainEqual(shown);
  });

  it('lists and shows its deployable, by the name that Placement has it', async ({ expect }) => {
    const { card } = names();
    const row = (await admin.list('deployable', 'list')).find(({ name }) => name === card);
    expect(row).toEqual({
      uuid: expect.stringMatching(uuid),
      name: card,
      device_id: expect.any(Number),
    });
    const id = asText(row?.['uuid'], 'uuid');
    const shown = await admin.show('deployable', 'show', id);
    expect(shown).toEqual({
      created_at: expect.stringMatching(date),
      updated_at: shown['updated_at'],
      uuid: id,
      name: card,
    });
    expect(await admin.list('deployable', 'list', '--long')).toContainEqual({
      ...shown,
      device_id: row?.['device_id'],
      parent_id: null,
      root_id: null,
      num_accelerators: 4,
    });
  });

  it('says what is not there, and what a member may not see', async ({ expect }) => {
    const missing = systemRng.uuid();
    expect(await admin('device', 'show', missing)).toMatchObject({
      code: 1,
      stderr: `device not found: ${missing}\n`,
    });
    expect(await admin('deployable', 'show', missing)).toMatchObject({
      code: 1,
      stderr: `deployable not found: ${missing}\n`,
    });
    const refused = await acceleratorClient('demo')('device', 'list');
    expect(refused.code).toBe(1);
    expect(refused.stderr).toContain('cyborg:device:get_all');
  });
});

describe('device profiles', () => {
  it('are created, listed, shown by uuid and from 2.2 on by name, and deleted', async ({
    expect,
  }) => {
    const name = `f-profile-${systemRng.uuid()}`;
    const text = JSON.stringify(cardGroups);
    const made = await admin.show('device', 'profile', 'create', name, text, '--description', 'd');
    expect(made).toEqual({
      created_at: expect.stringMatching(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00:00$/),
      updated_at: null,
      uuid: expect.stringMatching(uuid),
      name,
      groups: cardGroups,
      description: 'd',
    });
    const id = asText(made['uuid'], 'uuid');
    expect(await admin.list('device', 'profile', 'list')).toContainEqual({
      uuid: id,
      name,
      groups: cardGroups,
      description: 'd',
    });
    expect(await acceleratorClient('demo').show('device', 'profile', 'show', id)).toEqual(made);
    const withNames = acceleratorClient('demo', { microversion: '2.2' });
    expect(await withNames.show('device', 'profile', 'show', name)).toEqual(made);
    expect((await admin('device', 'profile', 'show', name)).stderr).toContain(
      'The minimal required API version should be 2.2',
    );
    const again = await admin('device', 'profile', 'create', name, text);
    expect(again.stderr).toContain(`A device_profile with name ${name} already exists.`);
    const refused = await acceleratorClient('demo')('device', 'profile', 'delete', name);
    expect(refused.stderr).toContain('cyborg:device_profile:delete');
    expect(await admin('device', 'profile', 'delete', name)).toMatchObject({
      code: 0,
      stdout: `Deleted device_profile ${name}\n`,
    });
    expect(await admin('device', 'profile', 'show', id)).toMatchObject({
      code: 1,
      stderr: `device_profile ${id} not found\n`,
    });
  });
});

describe('accelerator requests', () => {
  it('are created, shown, listed and deleted by a member, and are nobody else’s', async ({
    expect,
  }) => {
    const profile = `f-arq-${systemRng.uuid()}`;
    await makeProfile(profile);
    const demo = acceleratorClient('demo');
    const id = await makeArq(profile, demo);
    const initial = {
      uuid: id,
      state: 'Initial',
      device_profile_name: profile,
      hostname: null,
      device_rp_uuid: null,
      instance_uuid: null,
      attach_handle_type: '',
      attach_handle_info: {},
    };
    expect(await demo.show('arq', 'show', id)).toEqual(initial);
    expect(await demo.list('arq', 'list', '--long')).toContainEqual(initial);
    const { hostname, device_rp_uuid, ...short } = initial;
    expect([hostname, device_rp_uuid]).toEqual([null, null]);
    expect(await demo.list('arq', 'list')).toContainEqual(short);
    const alt = acceleratorClient('alt');
    expect(await alt('arq', 'show', id)).toMatchObject({
      code: 1,
      stderr: `accelerator_request not found: ${id}\n`,
    });
    expect(await alt.list('arq', 'list')).toEqual([]);
    expect(await demo('arq', 'delete', id)).toMatchObject({
      code: 0,
      stdout: `Deleted accelerator_request ${id}\n`,
    });
    expect((await demo('arq', 'delete', id)).stderr).toContain(
      `No accelerator_request with UUID ${id} exists.`,
    );
  });

  it('are bound and unbound only for who brings a service token, as with upstream since 2026', async ({
    expect,
  }) => {
    const profile = `f-bind-${systemRng.uuid()}`;
    await makeProfile(profile);
    const id = await makeArq(profile);
    const { host, provider } = names();
    const instance = systemRng.uuid();
    const bind = ['arq', 'bind', id, host, instance, provider, 'project'];
    const refused = await admin(...bind);
    expect(refused).toMatchObject({ code: 1 });
    expect(refused.stderr).toContain('403');

    await using relay = await startVouchingRelay();
    const vouched = acceleratorClient('admin', { endpoint: relay.url });
    const bound = {
      uuid: id,
      state: 'Bound',
      device_profile_name: profile,
      hostname: host,
      device_rp_uuid: provider,
      instance_uuid: instance,
      attach_handle_type: 'TEST_PCI',
      attach_handle_info: {
        domain: '0000',
        bus: '0c',
        device: expect.stringMatching(/^\d+$/),
        function: expect.stringMatching(/^[0-7]$/),
      },
    };
    expect(await vouched.show(...bind)).toEqual(bound);
    expect(await admin.list('arq', 'list', '--long')).toContainEqual(bound);
    expect((await admin('arq', 'delete', id)).stderr).toContain('403');
    expect(await vouched.show('arq', 'unbind', id)).toEqual({
      ...bound,
      state: 'Unbound',
      hostname: null,
      device_rp_uuid: null,
      instance_uuid: null,
      attach_handle_type: '',
      attach_handle_info: {},
    });
    await awaitFree();
  });
});

describe('attributes, for which Debian’s client has no command', () => {
  it('are made, listed by deployable and key, shown and deleted', async ({ expect }) => {
    using session = sessionOf('admin');
    const ask = async (method: 'GET' | 'POST' | 'DELETE', path: string, more = {}) =>
      session.request({ type: 'accelerator', service: 'Cyborg', method, path, ...more });
    const { card } = names();
    const rows = await admin.list('deployable', 'list');
    const deployable = rows.find(({ name }) => name === card)?.['device_id'];
    const key = `f-${systemRng.uuid()}`;
    const body = { deployable_id: deployable, key, value: 'v' };
    const made = await ask('POST', '/attributes', { body });
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({ ...body, uuid: expect.stringMatching(uuid) });
    const id = asText(asObject(made.body, 'the attribute')['uuid'], 'uuid');
    const path = `/attributes/${id}`;
    const listed = await ask('GET', '/attributes', {
      query: { deployable_id: String(deployable), key },
    });
    expect(listed.body).toMatchObject({ attributes: [{ uuid: id, key, value: 'v' }] });
    expect((await ask('GET', path)).body).toMatchObject({ uuid: id });
    expect((await ask('DELETE', path)).status).toBe(204);
    await expect(ask('GET', path)).rejects.toMatchObject({ status: 404 });
  });
});

/** v2 over real agents: the fake driver's card as upstream's clients see it, bound, given back and cleaned. */
import { randomUUID } from 'node:crypto';

import { uuid3 } from '@cyborg/model/v2/provider';
import { eventually } from '@cyborg/testing/processes';
import { describe, it } from 'vitest';

import { Fleet } from './fleet.ts';

type Item = Readonly<Record<string, unknown>>;

async function ask(
  fleet: Fleet,
  [method, path]: readonly [string, string],
  body?: unknown,
): Promise<{ status: number; body: unknown }> {
  const answer = await fetch(`${fleet.url}/accelerator/v2${path}`, {
    method,
    headers: {
      'openstack-api-version': 'accelerator 2.3',
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    signal: AbortSignal.timeout(40_000),
  });
  const text = await answer.text();
  return { status: answer.status, body: text === '' ? null : JSON.parse(text) };
}

async function listed(fleet: Fleet, name: string, query = ''): Promise<Item[]> {
  const { body } = await ask(fleet, ['GET', `/${name}${query}`]);
  return (body as Readonly<Record<string, Item[]>>)[name] ?? [];
}

async function openFleet(): Promise<Fleet> {
  const fleet = await Fleet.open();
  await fleet.startServer();
  await fleet.addHosts(['peerhost'], { args: ['--inventory-interval', '2'] });
  await fleet.done(fleet.v3.installDriver({ params: { driver_id: 'fake' }, body: {} }));
  return fleet;
}

describe('the fake card through v2', () => {
  it('is upstream’s, and its handles are bound, given back and cleaned', async ({ expect }) => {
    await using fleet = await openFleet();
    const [device, ...otherDevices] = await listed(fleet, 'devices');
    expect(otherDevices).toEqual([]);
    expect(device).toMatchObject({
      type: 'FPGA',
      vendor: '0xABCD',
      model: 'miss model info',
      std_board_info: '{"device_id": "0xabcd", "class": "Fake class"}',
      vendor_board_info: 'fake_vendor_info',
      hostname: 'peerhost',
      status: 'enabled',
    });
    const [deployable] = await listed(fleet, 'deployables');
    expect(deployable).toMatchObject({
      name: 'peerhost_FakeDevice',
      num_accelerators: 16,
      device_id: 1,
      driver_name: 'fake',
      rp_uuid: 'a51aff43-8b27-3efb-a909-82e2f0e7a067',
    });
    expect(JSON.parse(String(deployable?.['attributes_list']))).toEqual([
      { rc: 'FPGA' },
      { trait0: 'CUSTOM_FAKE_DEVICE' },
    ]);
    const profile = {
      name: 'fakedp',
      groups: [{ 'resources:FPGA': '2', 'trait:CUSTOM_FAKE_DEVICE': 'required' }],
    };
    expect((await ask(fleet, ['POST', '/device_profiles'], [profile])).status).toBe(201);
    const made = await ask(fleet, ['POST', '/accelerator_requests'], {
      device_profile_name: 'fakedp',
    });
    const { arqs } = made.body as { arqs: { uuid: string }[] };
    expect(arqs).toHaveLength(2);
    const instance = randomUUID();
    const add = (path: string, value: string): Item => ({ path, op: 'add', value });
    const patches = arqs.map(({ uuid }) => [
      uuid,
      [
        add('/hostname', 'peerhost'),
        add('/device_rp_uuid', uuid3('peerhost_FakeDevice')),
        add('/instance_uuid', instance),
      ],
    ]);
    const bound = await ask(fleet, ['PATCH', '/accelerator_requests'], Object.fromEntries(patches));
    expect(bound).toEqual({ status: 202, body: null });
    const { body } = await ask(fleet, [
      'GET',
      `/accelerator_requests?instance=${instance}&bind_state=resolved`,
    ]);
    const resolved = (body as { arqs: Item[] }).arqs;
    expect(resolved).toHaveLength(2);
    for (const arq of resolved) {
      expect(arq).toMatchObject({ state: 'Bound', attach_handle_type: 'TEST_PCI' });
      expect(arq['attach_handle_info']).toMatchObject({ domain: '0000', bus: '0c' });
    }
    const states = async (): Promise<string[]> =>
      (await fleet.accelerators({ type: 'FPGA' })).map(({ state }) => state);
    expect((await states()).filter((state) => state === 'attached')).toHaveLength(2);
    const freed = await ask(fleet, ['DELETE', `/accelerator_requests?instance=${instance}`]);
    expect(freed.status).toBe(204);
    await eventually(async () => (await states()).every((state) => state === 'available'), {
      timeoutMs: 60_000,
      what: 'the agent has cleaned what was given back',
      context: () => fleet.logs(),
    });
  });
});

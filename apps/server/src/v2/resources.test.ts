import { randomUUID } from 'node:crypto';

import { openTestDatabase } from '@cyborg/testing/database';
import { addAccelerators, addBackend, addHost, fleetMadeAt } from '@cyborg/testing/fleet';
import { afterAll, beforeAll, describe, it } from 'vitest';

import { openTestApp } from '../test-app.ts';
import type { TestApp } from '../test-app.ts';
import { makeV2Ask } from './test-ask.ts';

interface Listed {
  readonly [name: string]: unknown;
}

function items(body: unknown, name: string): Listed[] {
  return (body as Record<string, Listed[]>)[name] ?? [];
}

describe('v2 shows the fleet', () => {
  let server: TestApp;
  const ask = makeV2Ask(() => server);
  beforeAll(async () => {
    server = await openTestApp(await openTestDatabase());
    const { db } = server.deps;
    for (const name of ['node-1', 'node-2']) {
      const host = await addHost(db, { name, node_name: `${name}.lab` });
      const backend = await addBackend(db, host);
      for (const type of ['GPU', 'CRYPTO', 'ENTROPY', 'OTHER']) {
        const [made] = await addAccelerators(db, backend, {
          count: 1,
          type,
          key: `${name}-${type}`,
        });
        await db
          .insertInto('attribute')
          .values({
            id: randomUUID(),
            deployable_id: made?.deployable_id ?? '',
            key: 'rc',
            value: `CUSTOM_CYBORG_${type}`,
            created_at: fleetMadeAt,
          })
          .execute();
      }
    }
    await db
      .updateTable('device')
      .set({ vendor_id: '0x10de', device_id: '0x1db4', class: '0x030200', model: 'Tesla' })
      .where('type', '=', 'GPU')
      .execute();
  });
  afterAll(async () => server[Symbol.asyncDispose]());

  it('devices whose type upstream has a word for, in its form', async ({ expect }) => {
    const all = await ask('GET /v2/devices');
    expect(all.status).toBe(200);
    const devices = items(all.body, 'devices');
    expect(devices.map(({ type, hostname }) => [type, hostname])).toEqual([
      ['GPU', 'node-1.lab'],
      ['QAT', 'node-1.lab'],
      ['GPU', 'node-2.lab'],
      ['QAT', 'node-2.lab'],
    ]);
    const [gpu] = devices;
    expect(gpu).toEqual({
      uuid: gpu?.['uuid'],
      type: 'GPU',
      vendor: '10de',
      model: 'Tesla',
      std_board_info: '{"device_id": "0x1db4", "class": "0x030200"}',
      vendor_board_info: null,
      hostname: 'node-1.lab',
      links: [
        { href: `http://api.test/accelerator/v2/devices/${String(gpu?.['uuid'])}`, rel: 'self' },
      ],
      created_at: '2029-12-31T00:00:00+00:00',
      updated_at: null,
    });
    const shown = await ask(`GET /v2/devices/${String(gpu?.['uuid'])}`, { version: '2.3' });
    expect(shown.body).toEqual({ ...gpu, status: 'enabled' });
    expect(await ask('GET /v2/devices/zzz')).toMatchObject({
      status: 404,
      fault: 'Device not found with uuid=zzz',
    });
  });

  it('devices by type, vendor and hostname, the newest first', async ({ expect }) => {
    const hosts = async (query: string): Promise<unknown[]> =>
      items((await ask(`GET /v2/devices?${query}`)).body, 'devices').map((row) => [
        row['type'],
        row['hostname'],
      ]);
    expect(await hosts('type=GPU')).toEqual([
      ['GPU', 'node-2.lab'],
      ['GPU', 'node-1.lab'],
    ]);
    expect(await hosts('vendor=10de&hostname=node-1.lab')).toEqual([['GPU', 'node-1.lab']]);
    expect(await hosts('type=FPGA')).toEqual([]);
    expect(await hosts('type=bogus')).toEqual([]);
    expect(await hosts('filters.field=limit&filters.value=1')).toEqual([['QAT', 'node-2.lab']]);
    const sorted =
      'filters[0].field=sort_key&filters[0].value=hostname&filters[1].field=sort_dir&filters[1].value=asc';
    expect((await hosts(sorted))[0]).toEqual(['GPU', 'node-1.lab']);
    expect(await hosts('filters.field=board&filters.value=1')).toHaveLength(4);
    for (const query of ['bogus=1', 'filters=1', 'filters.field=bogus&filters.value=1']) {
      expect((await ask(`GET /v2/devices?${query}`)).status, query).toBe(400);
    }
    expect((await ask('GET /v2/devices?bogus=1')).fault).toBe('Unknown argument: "bogus"');
  });

  it('every sort key, in both directions', async ({ expect }) => {
    for (const [list, keys] of [
      ['devices', 'id uuid type vendor model status created_at updated_at hostname'],
      [
        'deployables',
        'id uuid name parent_id root_id num_accelerators device_id driver_name rp_uuid bitstream_id created_at updated_at',
      ],
    ] as const) {
      for (const key of keys.split(' ')) {
        for (const direction of ['asc', 'desc']) {
          const query = `filters[0].field=sort_key&filters[0].value=${key}&filters[1].field=sort_dir&filters[1].value=${direction}`;
          const answer = await ask(`GET /v2/${list}?${query}`);
          expect(answer.status, `${list} ${key}`).toBe(200);
          expect(items(answer.body, list), `${list} ${key}`).toHaveLength(4);
        }
      }
    }
  });

  it('a device disabled and enabled again', async ({ expect }) => {
    const [device] = items((await ask('GET /v2/devices')).body, 'devices');
    const url = `/v2/devices/${String(device?.['uuid'])}`;
    for (const [action, status] of [
      ['disable', 'maintaining'],
      ['disable', 'maintaining'],
      ['enable', 'enabled'],
    ] as const) {
      const answer = await ask(`POST ${url}/${action}`);
      expect(answer).toMatchObject({ status: 204, body: null });
      expect((await ask(`GET ${url}`, { version: 'latest' })).body).toMatchObject({ status });
    }
    expect((await ask(`POST /v2/devices/${randomUUID()}/disable`)).status).toBe(404);
    const events = await server.deps.db
      .selectFrom('event')
      .select('kind')
      .where('subject_id', '=', String(device?.['uuid']))
      .orderBy('id')
      .execute();
    expect(events.map(({ kind }) => kind)).toEqual(['device.disabled', 'device.enabled']);
  });

  it('deployables, with their attributes as text', async ({ expect }) => {
    const all = items((await ask('GET /v2/deployables')).body, 'deployables');
    expect(all.map(({ name }) => name)).toEqual([
      'node-1-GPU',
      'node-1-CRYPTO',
      'node-2-GPU',
      'node-2-CRYPTO',
    ]);
    const [first] = all;
    const uuid = String(first?.['uuid']);
    expect(first).toEqual({
      uuid,
      parent_id: null,
      root_id: null,
      name: 'node-1-GPU',
      num_accelerators: 1,
      device_id: 1,
      attributes_list: '[{"rc": "CUSTOM_CYBORG_GPU"}]',
      rp_uuid: null,
      driver_name: 'generic',
      bitstream_id: null,
      links: [
        { href: `http://api.test/accelerator/v2/deployables/${uuid}`, rel: 'self' },
        { href: `http://api.test/accelerator/deployables/${uuid}`, rel: 'bookmark' },
      ],
      created_at: '2029-12-31T00:00:00+00:00',
      updated_at: null,
    });
    expect((await ask(`GET /v2/deployables/${uuid}`)).body).toEqual(first);
    const named = await ask('GET /v2/deployables?filters.field=name&filters.value=node-2-GPU');
    expect(items(named.body, 'deployables')).toHaveLength(1);
    expect((await ask('GET /v2/deployables?device_id=1')).status).toBe(400);
    expect(await ask('GET /v2/deployables/zz')).toMatchObject({
      status: 400,
      fault:
        "Invalid input for field/attribute uuid. Value: 'zz'. unable to convert to uuid. Error: Expected a uuid but received zz.",
    });
    const unknown = randomUUID();
    expect((await ask(`GET /v2/deployables/${unknown}`)).fault).toBe(
      `Deployable not found with uuid=${unknown}`,
    );
  });

  it('programs none without Glance, after upstream’s checks', async ({ expect }) => {
    const [first] = items((await ask('GET /v2/deployables')).body, 'deployables');
    const url = `PATCH /v2/deployables/${String(first?.['uuid'])}/program`;
    const good = { path: '/bitstream_id', op: 'replace', value: [{ image_uuid: randomUUID() }] };
    expect((await ask(url, { body: [good] })).fault).toContain('this server has no Glance');
    for (const [body, fault] of [
      [{}, 'a list of patches'],
      [[], 'image_uuid'],
      [[{ ...good, path: '/name' }], "'/name' is an internal attribute and can not be updated"],
      [[{ ...good, path: 'x' }], 'path'],
      [[{ ...good, op: 'move' }], 'op'],
      [[{ path: '/x', op: 'add' }], "'add' and 'replace' operations need a value"],
      [[{ ...good, value: [{ image_uuid: 'x' }] }], 'image_uuid'],
    ] as const) {
      const answer = await ask(url, { body });
      expect(answer.status, JSON.stringify(body)).toBe(400);
      expect(answer.fault).toContain(fault);
    }
    expect((await ask(url)).fault).toBe('Missing argument: "program_info"');
    const unknown = `PATCH /v2/deployables/${randomUUID()}/program`;
    expect((await ask(unknown, { body: [good] })).status).toBe(404);
  });

  it('attributes, and an operator’s own', async ({ expect }) => {
    const [device] = items((await ask('GET /v2/deployables')).body, 'deployables');
    const made = await ask('POST /v2/attributes', {
      body: { deployable_id: 1, key: 'rack', value: 7, other: true },
    });
    expect(made.status).toBe(201);
    expect(made.body).toMatchObject({
      deployable_id: 1,
      key: 'rack',
      value: '7',
      updated_at: null,
    });
    const { uuid, created_at: createdAt } = made.body as { uuid: string; created_at: string };
    expect(createdAt).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00$/);
    const shown = await ask(`GET /v2/attributes/${uuid}`);
    expect(shown.body).toMatchObject({
      uuid,
      links: [{ href: `http://api.test/accelerator/v2/attributes/${uuid}`, rel: 'self' }],
    });
    const listed = async (query: string): Promise<number> =>
      items((await ask(`GET /v2/attributes${query}`)).body, 'attributes').length;
    expect(await listed('?deployable_id=1')).toBe(2);
    expect(await listed('?deployable_id=1&key=rack')).toBe(1);
    expect(await listed('?key=rack')).toBe(1);
    expect(await listed('?deployable_id=0&key=rack')).toBe(1);
    expect((await ask('GET /v2/attributes?deployable_id=x')).status).toBe(400);
    const after = await ask(`GET /v2/deployables/${String(device?.['uuid'])}`);
    expect(after.body).toMatchObject({
      attributes_list: '[{"rc": "CUSTOM_CYBORG_GPU"}, {"rack": "7"}]',
    });
    for (const body of [[], {}, { deployable_id: 'x', key: 'a', value: 'b' }]) {
      expect((await ask('POST /v2/attributes', { body })).status).toBe(400);
    }
    const again = { deployable_id: 1, key: 'a', value: 'b', uuid };
    expect((await ask('POST /v2/attributes', { body: again })).status).toBe(409);
    const lost = { deployable_id: 999, key: 'a', value: 'b' };
    expect((await ask('POST /v2/attributes', { body: lost })).status).toBe(404);
    expect((await ask('DELETE /v2/attributes')).status).toBe(400);
    expect((await ask('DELETE /v2/attributes/zz')).status).toBe(404);
    expect((await ask(`DELETE /v2/attributes?uuid=${uuid}`)).status).toBe(204);
    expect((await ask(`GET /v2/attributes/${uuid}`)).status).toBe(404);
    expect((await ask('GET /v2/attributes/zz')).status).toBe(400);
  });
});

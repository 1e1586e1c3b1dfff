import { randomUUID } from 'node:crypto';

import { openTestDatabase } from '@cyborg/testing/database';
import { afterAll, beforeAll, describe, it } from 'vitest';

import { basicAuth, openTestApp } from '../test-app.ts';
import type { TestApp } from '../test-app.ts';
import { makeV2Ask } from './test-ask.ts';

const groups = [{ 'resources:FPGA': '1', 'trait:CUSTOM_FAKE_DEVICE': 'required' }];

describe('v2’s device profiles', () => {
  let server: TestApp;
  const ask = makeV2Ask(() => server);
  beforeAll(async () => {
    server = await openTestApp(await openTestDatabase());
  });
  afterAll(async () => server[Symbol.asyncDispose]());

  const create = (profile: unknown): ReturnType<typeof ask> =>
    ask('POST /v2/device_profiles', { body: profile });

  it('are made from a list of one, and shown bare, listed and wrapped', async ({ expect }) => {
    const made = await create([{ name: 'fakedp', groups, description: 'd', other: 1 }]);
    expect(made.status).toBe(201);
    const { uuid } = made.body as { uuid: string };
    const links = [{ href: `http://api.test/accelerator/v2/device_profiles/${uuid}`, rel: 'self' }];
    const common = { uuid, name: 'fakedp', description: 'd', groups, links, updated_at: null };
    const date = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$/) as string;
    expect(made.body).toEqual({ ...common, created_at: date });
    const listed = await ask('GET /v2/device_profiles?name=fakedp,nothing');
    expect(listed.body).toEqual({ device_profiles: [made.body] });
    const pythonDate = expect.stringMatching(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+00:00$/) as string;
    const wrapped = { device_profile: { ...common, created_at: pythonDate } };
    expect((await ask(`GET /v2/device_profiles/${uuid}`)).body).toEqual(wrapped);
    const named = await ask('GET /v2/device_profiles/fakedp', { version: '2.2' });
    expect(named.body).toEqual(wrapped);
    expect(await ask('GET /v2/device_profiles/fakedp')).toMatchObject({
      status: 406,
      fault: 'Request not acceptable. The minimal required API version should be 2.2',
    });
    expect((await ask('GET /v2/device_profiles?name=')).body).toEqual({ device_profiles: [] });
    expect(await ask('GET /v2/device_profiles/none', { version: '2.2' })).toMatchObject({
      status: 404,
      fault: 'Device Profile not found with name=none',
    });
    const unknown = randomUUID();
    expect(await ask(`GET /v2/device_profiles/${unknown}`)).toMatchObject({
      status: 404,
      fault: `Device Profile not found with uuid=${unknown}`,
    });
  });

  it('are refused in upstream’s order and words', async ({ expect }) => {
    await create([{ name: 'taken', groups, uuid: '784674f2-6ffb-4e2f-a1d9-34cc557bc126' }]);
    const withGroup = (group: unknown): unknown => [{ name: 'x', groups: [group] }];
    for (const [body, status, fault] of [
      [[], 400, 'Only one device profile allowed per POST request for now.'],
      [{}, 400, 'Only one device profile allowed per POST request for now.'],
      [[{}, {}], 400, 'Only one device profile allowed per POST request for now.'],
      [[{ groups }], 500, 'DeviceProfile name needed.'],
      [[{ name: '', groups }], 500, 'DeviceProfile name needed.'],
      [[{ name: 'a b', groups }], 400, 'Device profile name must be of the form ^[a-zA-Z0-9-_]+$'],
      [[{ name: 1, groups }], 400, 'Device profile name must be of the form ^[a-zA-Z0-9-_]+$'],
      [[{ name: 'n'.repeat(256), groups }], 500, 'Remote error: DBDataError'],
      [[{ name: 'x' }], 400, 'DeviceProfile needs groups field.'],
      [[{ name: 'x', groups: 'x' }], 400, 'must be a list of objects'],
      [withGroup({ 'x:y': '1' }), 400, 'Device profile group keys must be of the form'],
      [
        withGroup({ 'trait:HW_X': 'required' }),
        400,
        'Unsupported trait name format HW_X, should start with CUSTOM_',
      ],
      [
        withGroup({ 'trait:CUSTOM_X': 'maybe' }),
        400,
        "Unsupported trait value maybe, the value must be one among ['required', 'forbidden']",
      ],
      [withGroup({ 'resources:BOGUS': '1' }), 400, 'Unsupported resource class BOGUS'],
      [withGroup({ 'resources:FPGA': 'x' }), 400, 'Resources number x is invalid'],
      [withGroup({ 'resources:FPGA': null }), 400, 'Resources number None is invalid'],
      [[{ name: 'x', groups, uuid: 'notuuid' }], 400, 'Expected a uuid but received notuuid.'],
      [[{ name: 'taken', groups }], 409, 'A device_profile with name taken already exists.'],
      [
        [{ name: 'x', groups, uuid: '784674f2-6ffb-4e2f-a1d9-34cc557bc126' }],
        500,
        'DeviceProfile with uuid 784674f2-6ffb-4e2f-a1d9-34cc557bc126 already exists.',
      ],
    ] as const) {
      const answer = await create(body);
      expect(answer.status, JSON.stringify(body).slice(0, 100)).toBe(status);
      expect(answer.fault).toContain(fault);
      expect(answer.fault).not.toMatch(/Traceback|SQL/);
    }
    const broken = { 'content-type': 'application/json' };
    expect(await ask('POST /v2/device_profiles', { body: '[{', headers: broken })).toMatchObject({
      status: 400,
      fault: 'Request is not in valid JSON format',
    });
    const text = await ask('POST /v2/device_profiles', {
      body: 'hello',
      headers: { 'content-type': 'text/plain' },
    });
    expect(text).toMatchObject({ status: 415, fault: 'Unknown mimetype: text/plain' });
    expect((await ask('POST /v2/device_profiles')).fault).toBe(
      'Missing argument: "req_devprof_list"',
    );
    expect((await ask('GET /v2/device_profiles?uuid=1')).fault).toBe('Unknown argument: "uuid"');
  });

  it('keep names trimmed, numbers as text, and groups without resources', async ({ expect }) => {
    const made = await create([
      {
        name: 'loose',
        groups: [
          {
            'resources: FPGA ': 1,
            'trait:CUSTOM_A': 'required',
            'accel:bitstream_id': 'any thing',
          },
          {},
        ],
      },
    ]);
    expect(made.status).toBe(201);
    expect(Object.entries((made.body as { groups: object[] }).groups[0] ?? {})).toEqual([
      ['trait:CUSTOM_A', 'required'],
      ['accel:bitstream_id', 'any thing'],
      ['resources:FPGA', '1'],
    ]);
  });

  it('are v3’s profiles too, both ways', async ({ expect }) => {
    const headers = { authorization: basicAuth('admin') };
    await create([{ name: 'from-v2', groups }]);
    const shown = await server.app.inject({ url: '/v3/device-profiles/from-v2', headers });
    expect(shown.json()).toMatchObject({ name: 'from-v2', groups });
    const made = await server.app.inject({
      method: 'POST',
      url: '/v3/device-profiles',
      headers,
      payload: { name: 'from-v3', groups },
    });
    expect(made.statusCode).toBe(201);
    const named = await ask('GET /v2/device_profiles/from-v3', { version: '2.3' });
    expect(named.body).toMatchObject({ device_profile: { name: 'from-v3', groups } });
  });

  it('are deleted by uuid, by name and by list, all or none', async ({ expect }) => {
    for (const name of ['d1', 'd2', 'd3', 'd4']) await create([{ name, groups }]);
    const left = async (): Promise<number> =>
      ((await ask('GET /v2/device_profiles?name=d1,d2,d3,d4')).body as { device_profiles: [] })
        .device_profiles.length;
    expect((await ask('DELETE /v2/device_profiles?value=d1,missing')).status).toBe(404);
    expect(await left()).toBe(4);
    expect((await ask('DELETE /v2/device_profiles?value=d1,d2')).status).toBe(204);
    expect(await left()).toBe(2);
    expect((await ask('DELETE /v2/device_profiles/d3')).status).toBe(204);
    const { body } = await ask('GET /v2/device_profiles/d4', { version: '2.2' });
    const { uuid } = (body as { device_profile: { uuid: string } }).device_profile;
    expect((await ask(`DELETE /v2/device_profiles/${uuid}`)).status).toBe(204);
    expect(await left()).toBe(0);
    for (const url of [
      '/v2/device_profiles',
      '/v2/device_profiles/',
      '/v2/device_profiles?value=',
    ]) {
      expect(await ask(`DELETE ${url}`), url).toMatchObject({
        status: 400,
        fault: 'Missing argument: "value"',
      });
    }
  });

  it('that an accelerator request refers to stay', async ({ expect }) => {
    await create([{ name: 'used', groups }]);
    const made = await ask('POST /v2/accelerator_requests', {
      user: 'member',
      body: { device_profile_name: 'used' },
    });
    expect(made.status).toBe(201);
    const refused = await ask('DELETE /v2/device_profiles/used');
    expect(refused.status).toBe(409);
    const [{ uuid } = { uuid: '' }] = (made.body as { arqs: { uuid: string }[] }).arqs;
    expect(
      (await ask(`DELETE /v2/accelerator_requests?arqs=${uuid}`, { user: 'member' })).status,
    ).toBe(204);
    expect((await ask('DELETE /v2/device_profiles/used')).status).toBe(204);
  });
});

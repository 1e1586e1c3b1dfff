import { openTestDatabase } from '@cyborg/testing/database';
import { addBackend, addHost } from '@cyborg/testing/fleet';
import { addProfile, addProvider } from '@cyborg/testing/providers';
import { afterAll, beforeAll, describe, it } from 'vitest';

import { basicAuth, openTestApp } from '../test-app.ts';
import type { TestApp } from '../test-app.ts';

interface Answer {
  readonly status: number;
  readonly body: unknown;
  /** Of the error inside the error. */
  readonly fault: string;
}

interface Asked {
  readonly user?: string;
  readonly version?: string;
  readonly body?: unknown;
}

type Method = 'GET' | 'POST' | 'PATCH' | 'DELETE';

const path = '/v2/accelerator_requests';
const byNova = 'member-by-nova';

describe('accelerator requests on the wire', () => {
  let server: TestApp;
  let rpUuid: string;
  beforeAll(async () => {
    server = await openTestApp(await openTestDatabase());
    const { db } = server.deps;
    const host = await addHost(db, { name: 'node-1', node_name: 'vm' });
    ({ rpUuid } = await addProvider(db, await addBackend(db, host), { count: 16 }));
    await addProfile(db, { name: 'one', groups: [{ 'resources:FPGA': '1' }] });
    await addProfile(db, { name: 'empty', groups: [{}] });
    await addProfile(db, {
      name: 'xilinx',
      groups: [{ 'resources:FPGA': '1', 'trait:CUSTOM_FPGA_XILINX': 'required' }],
    });
    await addProfile(db, { name: 'greedy', groups: [{ 'resources:FPGA': '1_000' }] });
  });
  afterAll(async () => server[Symbol.asyncDispose]());

  const ask = async (
    method: Method,
    url: string,
    { user = 'member', version, body }: Asked = {},
  ): Promise<Answer> => {
    const answer = await server.app.inject({
      method,
      url,
      headers: {
        host: 'cloud:6666',
        authorization: basicAuth(user),
        ...(version !== undefined && { 'openstack-api-version': `accelerator ${version}` }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
      },
      ...(body !== undefined && { payload: JSON.stringify(body) }),
    });
    const view: unknown = answer.body === '' ? null : JSON.parse(answer.body);
    return { status: answer.statusCode, body: view, fault: faultOf(view) };
  };

  const make = async (user = 'member', profile = 'one'): Promise<string> => {
    const { body } = await ask('POST', path, { user, body: { device_profile_name: profile } });
    return uuidsOf(body)[0] ?? '';
  };

  const bindPatches = (instance: string, rp = rpUuid): object[] => [
    { path: '/hostname', op: 'add', value: 'vm' },
    { path: '/device_rp_uuid', op: 'add', value: rp },
    { path: '/instance_uuid', op: 'add', value: instance },
  ];

  const bind = (arq: string, instance: string, asked: Asked = {}): Promise<Answer> =>
    ask('PATCH', path, { user: byNova, body: { [arq]: bindPatches(instance) }, ...asked });

  it('are made from a profile by its name, and shown in the same form', async ({ expect }) => {
    const extra = { device_profile_group_id: null, image_uuid: null };
    const made = await ask('POST', path, { body: { device_profile_name: 'one', ...extra } });
    expect(made.status).toBe(201);
    const [uuid = ''] = uuidsOf(made.body);
    const fresh = {
      uuid,
      state: 'Initial',
      device_profile_name: 'one',
      device_profile_group_id: 0,
      hostname: null,
      device_rp_uuid: null,
      instance_uuid: null,
      project_id: 'tenants',
      attach_handle_type: '',
      attach_handle_uuid: null,
      attach_handle_info: {},
      links: [
        { href: `http://cloud:6666/accelerator/v2/accelerator_requests/${uuid}`, rel: 'self' },
      ],
      created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$/),
      updated_at: null,
    };
    expect(made.body).toEqual({ arqs: [fresh] });
    expect((await ask('GET', `${path}/${uuid}`)).body).toEqual(fresh);
    expect((await ask('GET', `${path}/urn:uuid:${uuid.toUpperCase()}`)).body).toEqual(fresh);
    expect((await ask('GET', path)).body).toEqual({ arqs: [fresh] });
    expect((await ask('GET', path, { user: 'stranger' })).body).toEqual({ arqs: [] });
    expect((await ask('GET', path, { user: 'admin' })).body).toEqual({ arqs: [fresh] });

    const instance = crypto.randomUUID();
    const bound = await bind(uuid, instance);
    expect([bound.status, bound.body]).toEqual([202, null]);
    expect((await ask('GET', `${path}?instance=${instance}&bind_state=resolved`)).body).toEqual({
      arqs: [
        {
          ...fresh,
          state: 'Bound',
          hostname: 'vm',
          device_rp_uuid: rpUuid,
          instance_uuid: instance,
          attach_handle_type: 'TEST_PCI',
          attach_handle_uuid: expect.stringMatching(/^[0-9a-f-]{36}$/),
          attach_handle_info: {
            domain: '0000',
            bus: '0c',
            device: expect.any(String),
            function: expect.any(String),
          },
          updated_at: expect.stringMatching(/\+00:00$/),
        },
      ],
    });
    expect((await ask('DELETE', `${path}?instance=${instance}`, { user: byNova })).status).toBe(
      204,
    );
    expect((await ask('GET', `${path}/${uuid}`)).fault).toBe(`ExtArq not found with uuid=${uuid}`);
  });

  it('are as many as the groups ask for', async ({ expect }) => {
    const count = async (name: string): Promise<number> =>
      uuidsOf((await ask('POST', path, { body: { device_profile_name: name } })).body).length;
    expect(await count('empty')).toBe(0);
    expect(await count('xilinx')).toBe(2);
    const greedy = await ask('POST', path, { body: { device_profile_name: 'greedy' } });
    expect([greedy.status, greedy.fault]).toEqual([400, expect.stringContaining('at most 256')]);
  });

  it('are not made of what is no profile', async ({ expect }) => {
    for (const [body, status, fault] of [
      [{ device_profile_name: 'nosuch' }, 404, 'Device Profile not found with name=nosuch'],
      [{ device_profile_name: '' }, 404, 'Device Profile not found with name='],
      [{ device_profile_name: 5 }, 404, 'Device Profile not found with name=5'],
      [{ device_profile_name: null }, 400, 'DeviceProfile name needed.'],
      [{}, 400, 'DeviceProfile name needed.'],
      [[], 400, expect.any(String)],
      ['one', 400, expect.any(String)],
    ] as const) {
      const answer = await ask('POST', path, { body });
      expect([answer.status, answer.fault], JSON.stringify(body)).toEqual([status, fault]);
    }
    expect((await ask('POST', path)).fault).toBe('Missing argument: "req"');
    const reader = await ask('POST', path, {
      user: 'reader',
      body: { device_profile_name: 'one' },
    });
    expect([reader.status, reader.fault]).toEqual([
      403,
      'Access was denied to the following resource: cyborg:arq:create',
    ]);
  });

  it('refuse a PATCH in upstream’s order and words', async ({ expect }) => {
    const arq = await make();
    const instance = crypto.randomUUID();
    const good = bindPatches(instance);
    const remove = { path: '/hostname', op: 'remove' };
    const project = { path: '/project_id', op: 'add', value: 'tenants' };
    const token =
      'This operation requires a service token. Use the Compute API to manage instance accelerators.';
    const noPatch = "Couldn't apply patch. Reason: ";
    const cases: readonly (readonly [unknown, number, unknown, Asked?])[] = [
      [
        { [arq]: good },
        403,
        'Access was denied to the following resource: cyborg:arq:update',
        { user: 'reader' },
      ],
      [
        { [arq]: [...good, remove] },
        400,
        `${noPatch}Every op must be add or remove`,
        { user: 'member' },
      ],
      [{ [arq]: [{ ...remove, op: 'replace' }] }, 400, `${noPatch}Every op must be add or remove`],
      [
        { [arq]: [...good, project] },
        406,
        'Request not acceptable. The minimal required API version should be 2.1',
      ],
      [
        { [arq]: [...good, project] },
        403,
        'Access was denied to the following resource: cyborg:arq:update',
        { user: byNova, version: '2.1' },
      ],
      [
        { [arq]: [...good, { ...remove, op: 'add', path: '/bogus' }] },
        400,
        'Invalid path in patch /bogus',
        { user: 'member' },
      ],
      [
        { [arq]: good.slice(1, 2) },
        400,
        'Fields absent in patch hostname,instance_uuid',
        { user: 'member' },
      ],
      [{ [arq]: good }, 403, token, { user: 'member' }],
      [{ [arq]: [remove] }, 403, token, { user: 'member' }],
      [{ nonsense: good }, 404, 'ExtArq not found with uuid=nonsense'],
      [{ [arq]: good }, 404, `ExtArq not found with uuid=${arq}`, { user: 'stranger-by-nova' }],
      [
        { [arq]: bindPatches(instance, 'zz') },
        404,
        'Deployable not found with resource provider uuid=zz',
      ],
      [
        { [arq]: bindPatches(instance, arq) },
        404,
        `Deployable not found with resource provider uuid=${arq}`,
      ],
      [
        { [arq]: bindPatches('zz') },
        400,
        expect.stringContaining('Expected a uuid but received zz.'),
      ],
      [
        { [arq]: [...bindPatches(instance).slice(1), { path: '/hostname', op: 'add', value: 7 }] },
        400,
        expect.stringContaining('hostname'),
      ],
      [{}, 400, expect.stringContaining(noPatch)],
      [[], 400, expect.stringContaining(noPatch)],
      [{ [arq]: [] }, 400, expect.stringContaining(noPatch)],
      [{ [arq]: {} }, 400, expect.stringContaining(noPatch)],
      [{ [arq]: [null] }, 400, expect.stringContaining(noPatch)],
      [{ [arq]: [{ op: 'add' }] }, 400, expect.stringContaining(noPatch)],
    ];
    for (const [body, status, fault, asked] of cases) {
      const answer = await ask('PATCH', path, { user: byNova, ...asked, body });
      expect([answer.status, answer.fault], JSON.stringify(body)).toEqual([status, fault]);
    }
    expect((await ask('GET', `${path}/${arq}`)).body).toMatchObject({ state: 'Initial' });

    // The client's form of the path; what it names does not matter.
    const other = `${path}/${crypto.randomUUID()}`;
    expect((await ask('PATCH', other, { user: byNova, body: { [arq]: good } })).status).toBe(202);
    const again = await bind(arq, crypto.randomUUID());
    expect([again.status, again.fault]).toEqual([
      500,
      `Bad state: Bound for ARQ: ${arq}. Expected state(s): ['Initial', 'Unbound']`,
    ]);
    const second = await bind(await make(), instance);
    expect([second.status, second.fault]).toEqual([
      400,
      `${noPatch}Instance ${instance} already has accelerator requests. Cannot bind additional ARQs.`,
    ]);
    expect((await ask('PATCH', path, { user: byNova, body: { [arq]: [remove] } })).status).toBe(
      202,
    );
    expect((await ask('GET', `${path}/${arq}`)).body).toMatchObject({
      state: 'Unbound',
      hostname: null,
      device_rp_uuid: null,
      instance_uuid: null,
      attach_handle_info: {},
    });
  });

  it('are listed by instance and by what is resolved', async ({ expect }) => {
    const [arq, waiting] = [await make(), await make()];
    const instance = crypto.randomUUID();
    await bind(arq, instance);
    const resolved = await ask('GET', `${path}?bind_state=resolved`);
    expect(uuidsOf(resolved.body)).toContain(arq);
    expect(uuidsOf(resolved.body)).not.toContain(waiting);
    expect(uuidsOf((await ask('GET', `${path}?bind_state=`)).body)).toContain(waiting);
    const unknown = `${path}?instance=${crypto.randomUUID()}&bind_state=resolved`;
    expect(await ask('GET', unknown)).toMatchObject({ status: 200, body: { arqs: [] } });
    // Being programmed, as a bind that takes longer is.
    await server.deps.db
      .updateTable('attachment')
      .set({ state: 'reserved' })
      .where('id', '=', arq)
      .execute();
    const pending = await ask('GET', `${path}?instance=${instance}&bind_state=resolved`);
    expect([pending.status, pending.body]).toEqual([423, { error_message: 'null' }]);
    expect(await ask('GET', `${path}?instance=${instance}`)).toMatchObject({
      status: 200,
      body: { arqs: [{ uuid: arq, state: 'BindStarted', attach_handle_type: '' }] },
    });
    expect(
      await ask('GET', `${path}?instance=${instance}&bind_state=resolved`, { user: 'stranger' }),
    ).toMatchObject({ status: 200, body: { arqs: [] } });
    await server.deps.db
      .updateTable('attachment')
      .set({ state: 'attached' })
      .where('id', '=', arq)
      .execute();
    for (const [query, status, fault] of [
      [
        'bind_state=started',
        500,
        "Bad state: started for ARQ: None. Expected state(s): ['resolved']",
      ],
      ['instance=zz', 400, expect.stringContaining('unable to convert to uuid')],
      ['instance=', 400, expect.stringContaining('unable to convert to uuid')],
      ['limit=1', 400, 'Unknown argument: "limit"'],
    ] as const) {
      const answer = await ask('GET', `${path}?${query}`);
      expect([answer.status, answer.fault], query).toEqual([status, fault]);
    }
    const bad = await ask('GET', `${path}/zz`);
    expect([bad.status, bad.fault]).toEqual([400, expect.stringContaining("Value: 'zz'")]);
  });

  it('are deleted by list, by path and by instance, all or none', async ({ expect }) => {
    const [first, second, third, bound] = [await make(), await make(), await make(), await make()];
    const instance = crypto.randomUUID();
    await bind(bound, instance);
    const both =
      'Object action delete failed because: Provide either an ARQ uuid list or an instance UUID';
    const unknown = crypto.randomUUID();
    for (const [query, status, fault, user] of [
      ['', 500, both],
      [`?arqs=${first}&instance=${instance}`, 500, both],
      [`?arqs=${first},${unknown}`, 404, `ExtArq not found with uuid=${unknown}`],
      ['?arqs=zz', 404, 'ExtArq not found with uuid=zz'],
      [`?arqs=${first}`, 404, `ExtArq not found with uuid=${first}`, 'stranger'],
      [
        `?arqs=${first},${bound}`,
        403,
        `ARQ ${bound} is bound to instance ${instance}. Use the Compute API to manage instance accelerators.`,
      ],
      [
        `?instance=${instance}`,
        403,
        'This operation requires a service token. Use the Compute API to manage instance accelerators.',
      ],
      ['?instance=zz', 400, expect.stringContaining('unable to convert to uuid'), byNova],
      [`/${bound}`, 403, expect.stringContaining('is bound to instance')],
    ] as const) {
      const answer = await ask('DELETE', `${path}${query}`, { ...(user && { user }) });
      expect([answer.status, answer.fault], query).toEqual([status, fault]);
    }
    const left = uuidsOf((await ask('GET', path)).body);
    expect([first, second, third, bound].filter((id) => !left.includes(id))).toEqual([]);
    expect((await ask('DELETE', `${path}?arqs=${first},${second}`)).status).toBe(204);
    expect((await ask('DELETE', `${path}/${third}`)).status).toBe(204);
    expect((await ask('DELETE', `${path}?instance=${instance}`, { user: byNova })).status).toBe(
      204,
    );
    expect((await ask('DELETE', `${path}?instance=${instance}`, { user: byNova })).status).toBe(
      204,
    );
    const kept = uuidsOf((await ask('GET', path)).body);
    expect([first, second, third, bound].filter((id) => kept.includes(id))).toEqual([]);
  });
});

function uuidsOf(body: unknown): string[] {
  return (body as { arqs: { uuid: string }[] }).arqs.map(({ uuid }) => uuid);
}

function faultOf(body: unknown): string {
  if (typeof body !== 'object' || body === null || !('error_message' in body)) return '';
  const parsed = JSON.parse(String(body.error_message)) as { faultstring?: string } | null;
  return parsed?.faultstring ?? '';
}

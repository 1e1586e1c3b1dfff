/** What the real services answer is in `test/openstack`; here is what they rarely answer. */
import { createHash } from 'node:crypto';

import { systemClock } from '@cyborg/service/clock';
import { describe, it } from 'vitest';

import { makeGlance } from './glance.ts';
import type { GlanceImage } from './glance.ts';
import { validateToken } from './keystone/validate.ts';
import { makeNova } from './nova.ts';
import type { AcceleratorEvent } from './nova.ts';
import { makePlacement } from './placement.ts';
import { cutOff, json, openTestSession, startTestServices, testToken } from './test-services.ts';
import type { Handler } from './test-services.ts';

describe('Nova', () => {
  const events: AcceleratorEvent[] = ['a', 'b', 'c', 'd'].map((name) => ({
    serverId: `server-${name}`,
    arqId: `arq-${name}`,
    status: 'completed',
  }));

  it('is told of binds with 2.82, and tells of each event apart', async ({ expect }) => {
    const codes = [200, 422, 404, 400];
    await using services = await startTestServices(({ body }, response, message) => {
      const given = JSON.parse(body) as { events: object[] };
      const answered = given.events.map((event, at) => ({ ...event, code: codes[at] }));
      json(207, { events: answered.toReversed() })({ ...seen, body }, response, message);
    });
    using session = openTestSession(services);
    const results = await makeNova(session).sendEvents(events);
    expect(results.map(({ event, outcome }) => [event.arqId, outcome])).toEqual([
      ['arq-a', 'accepted'],
      ['arq-b', 'no-host'],
      ['arq-c', 'gone'],
      ['arq-d', 'refused'],
    ]);
    expect(services.seen[0]?.headers['openstack-api-version']).toBe('compute 2.82');
    expect(JSON.parse(services.seen[0]?.body ?? '')).toEqual({
      events: events.map(({ serverId, arqId }) => ({
        name: 'accelerator-request-bound',
        server_uuid: serverId,
        tag: arqId,
        status: 'completed',
      })),
    });
  });

  it('knows none of the servers, or answers for fewer events than it was told', async ({
    expect,
  }) => {
    await using services = await startTestServices(json(404, {}), json(200, { events: [] }));
    using session = openTestSession(services);
    const nova = makeNova(session);
    expect(await nova.sendEvents([])).toEqual([]);
    expect((await nova.sendEvents(events)).map(({ outcome }) => outcome)).toEqual(
      Array(4).fill('gone'),
    );
    await expect(nova.sendEvents(events)).rejects.toThrow('the event of arq-a is missing in it');
  });

  it('shows less of a server to those who are no admin', async ({ expect }) => {
    const server = {
      id: 's',
      name: 'n',
      tenant_id: 'p',
      user_id: 'u',
      status: 'ACTIVE',
      locked: true,
      flavor: { original_name: 'f' },
    };
    await using services = await startTestServices(json(200, { server }), json(200, { server: 5 }));
    using session = openTestSession(services);
    const nova = makeNova(session);
    expect(await nova.getServer('s')).toMatchObject({ host: null, isLocked: true, nodeName: null });
    await expect(nova.getServer('s')).rejects.toThrow('server is a number instead of an object');
  });
});

describe('Placement', () => {
  it('tells a conflict, with its code, from a provider that is gone', async ({ expect }) => {
    const conflict = { errors: [{ detail: 'x', code: 'placement.concurrent_update' }] };
    await using services = await startTestServices(json(409, conflict), json(404, {}));
    using session = openTestSession(services);
    const placement = makePlacement(session);
    const put = (): Promise<unknown> => placement.putTraits('rp', { generation: 1, traits: [] });
    expect(await put()).toEqual({
      kind: 'conflict',
      code: 'placement.concurrent_update',
      reason: 'x',
    });
    expect(await put()).toEqual({ kind: 'gone' });
  });

  it('names no consumer type for consumers that Nova wrote', async ({ expect }) => {
    await using services = await startTestServices(json(204, undefined));
    using session = openTestSession(services);
    const placement = makePlacement(session);
    const consumer = {
      consumerId: 'c',
      consumerGeneration: 3,
      projectId: 'p',
      userId: 'u',
      byProvider: { rp: { FPGA: 1 } },
    };
    await placement.postAllocations([{ ...consumer, consumerType: null }]);
    await placement.postAllocations([{ ...consumer, consumerType: 'CYBORG_ATTACHMENT' }]);
    expect(services.seen.map(({ headers }) => headers['openstack-api-version'])).toEqual([
      'placement 1.36',
      'placement 1.39',
    ]);
    expect(services.seen.map(({ body }) => body.includes('consumer_type'))).toEqual([false, true]);
  });
});

describe('Glance', () => {
  const bytes = Buffer.alloc(300_000, 'bitstream');
  const image: GlanceImage = {
    id: 'i',
    name: 'n',
    status: 'active',
    size: bytes.length,
    checksum: null,
    hashAlgorithm: 'sha512',
    hashValue: createHash('sha512').update(bytes).digest('hex'),
    owner: 'p',
    properties: {},
  };
  const read = async (
    handler: Handler,
    { wanted = image, idleMs = 30_000 }: { wanted?: GlanceImage; idleMs?: number } = {},
  ): Promise<Buffer> => {
    await using services = await startTestServices(handler);
    using session = openTestSession(services);
    const pieces: Buffer[] = [];
    const glance = makeGlance(session, { clock: systemClock, idleMs });
    for await (const piece of glance.download(wanted)) pieces.push(piece);
    return Buffer.concat(pieces);
  };
  const send =
    (data: Buffer): Handler =>
    (_request, response) =>
      void response.end(data);

  it('gives bytes whose checksum is right', async ({ expect }) => {
    expect((await read(send(bytes))).equals(bytes)).toBe(true);
    const checksum = createHash('md5').update(bytes).digest('hex');
    const old = { ...image, hashAlgorithm: null, hashValue: null, checksum };
    expect((await read(send(bytes), { wanted: old })).equals(bytes)).toBe(true);
  });

  it('ends with an error when they are wrong, too few, too many or not checkable', async ({
    expect,
  }) => {
    const wrong = Buffer.from(bytes).fill('x', 10, 11);
    await expect(read(send(wrong))).rejects.toThrow(/its sha512 is .* instead of/);
    await expect(read(send(bytes.subarray(1)))).rejects.toThrow('bytes came instead of 300000');
    await expect(read(send(Buffer.concat([bytes, bytes])))).rejects.toThrow('it is too long');
    await expect(read(json(204, undefined))).rejects.toThrow('it has no data');
    const unknown = { ...image, hashValue: null };
    await expect(read(send(bytes), { wanted: unknown })).rejects.toThrow('has no checksum');
  });

  it('ends with an error when they break off or stop coming', async ({ expect }) => {
    const begin: Handler = (_request, response) => {
      response.writeHead(200, { 'content-length': bytes.length });
      response.write(bytes.subarray(0, 1000));
    };
    const breakOff: Handler = (request, response, message) => {
      begin(request, response, message);
      setTimeout(() => cutOff(request, response, message), 50);
    };
    await expect(read(breakOff)).rejects.toMatchObject({ failure: 'lost' });
    await expect(read(begin, { idleMs: 100 })).rejects.toMatchObject({ failure: 'timeout' });
  });
});

describe('validating a token', () => {
  it('tells whose it is, or that it is nobody’s', async ({ expect }) => {
    const token = testToken('http://x', 60, { project: undefined, system: { all: true } });
    await using services = await startTestServices(
      json(200, { token }),
      json(404, {}),
      json(200, {}),
    );
    using session = openTestSession(services);
    expect(await validateToken(session, 'subject', { allowExpired: true })).toMatchObject({
      scope: 'system',
      project: undefined,
      roles: ['admin'],
    });
    expect(services.seen[0]?.headers).toMatchObject({
      'x-auth-token': 'token-1',
      'x-subject-token': 'subject',
    });
    expect(services.seen[0]?.path).toContain('allow_expired=1');
    expect(await validateToken(session, 'subject')).toBeUndefined();
    await expect(validateToken(session, 'subject')).rejects.toThrow('token is missing');
  });
});

const seen = { method: '', path: '', headers: {}, body: '' };

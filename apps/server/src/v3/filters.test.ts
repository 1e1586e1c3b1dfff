import { randomUUID } from 'node:crypto';

import { addAccelerators, addBackend, addHost, addInstance } from '@cyborg/testing/fleet';
import { openTestDatabase } from '@cyborg/testing/database';
import { afterAll, beforeAll, describe, it } from 'vitest';

import { basicAuth, openTestApp } from '../test-app.ts';
import type { TestApp } from '../test-app.ts';

let server: TestApp;
let instance: string;
/** Another project's. */
let foreign: string;
beforeAll(async () => {
  server = await openTestApp(await openTestDatabase());
  const { db } = server.deps;
  const mine = await addHost(db, { name: 'node-mine' });
  const held = { state: 'attached', project_id: 'tenants' } as const;
  instance = (await addInstance(db, mine, { project_id: 'tenants' })).id;
  await addAccelerators(db, await addBackend(db, mine), {
    ...held,
    count: 1,
    instance_id: instance,
  });
  const other = await addHost(db, { name: 'node-other' });
  foreign = (await addInstance(db, other, { project_id: 'others' })).id;
  const backend = await addBackend(db, other, { name: 'secret' });
  await addAccelerators(db, backend, { count: 1 });
});
afterAll(async () => server[Symbol.asyncDispose]());

interface Seen {
  readonly status: number;
  readonly body: string;
}

async function get(user: string, url: string): Promise<Seen> {
  const headers = { authorization: basicAuth(user) };
  const { statusCode, body } = await server.app.inject({ url, headers });
  return { status: statusCode, body };
}

describe('a filter', () => {
  it.for([
    ['/v3/accelerators?driver_id=generik', 404, 'driver-not-found', 'generic'],
    ['/v3/accelerators?type=NOPE', 400, 'invalid-input', 'GPU, FPGA'],
    ['/v3/accelerators?state=nope', 400, 'invalid-input', 'withheld, available'],
    ['/v3/accelerators?backend=virtuel', 404, 'backend-not-found', 'virtual'],
    ['/v3/accelerators?backend=node-mine@virtuel', 404, 'backend-not-found', 'node-mine@virtual'],
    ['/v3/accelerators?host=node-myne', 404, 'host-not-found', 'node-mine'],
    [`/v3/accelerators?instance_id=${randomUUID()}`, 404, 'instance-not-found', 'instance'],
    ['/v3/backends?driver_id=generik', 404, 'driver-not-found', 'generic'],
    ['/v3/devices?type=NOPE', 400, 'invalid-input', 'GPU, FPGA'],
    ['/v3/unclaimed?host=node-myne', 404, 'host-not-found', 'node-mine'],
    ['/v3/operations?kind=nope', 400, 'invalid-input', 'attach-instance'],
    ['/v3/events?kind=attachment.atached', 400, 'invalid-input', 'attachment.attached'],
  ] as const)(
    'that names nothing is no empty list: %s',
    async ([url, status, code, told], { expect }) => {
      const answer = await get('admin', url);
      expect(answer.status, answer.body).toBe(status);
      expect(JSON.parse(answer.body)).toMatchObject({ code });
      expect(answer.body).toContain(told);
    },
  );

  it.for(['admin', 'member'])('of what %s sees finds it', async (user, { expect }) => {
    for (const query of [
      'driver_id=generic',
      'type=CRYPTO',
      'state=attached',
      'backend=virtual',
      'backend=node-mine@virtual',
      'host=node-mine',
      `instance_id=${instance}`,
    ]) {
      const { body } = await get(user, `/v3/accelerators?${query}`);
      expect(JSON.parse(body), query).toHaveProperty('items.0.host');
      expect(body, query).toContain('node-mine');
    }
  });

  it.for(['manager', 'member', 'reader'])(
    'of what is hidden from a %s does not tell that it is there',
    async (user, { expect }) => {
      const hidden = [
        ['host=node-other', 'host=node-nowhere'],
        ['backend=secret', 'backend=nothing'],
        ['backend=node-other@secret', 'backend=node-other@nothing'],
        [`instance_id=${foreign}`, `instance_id=${randomUUID()}`],
      ] as const;
      for (const [query, absent] of hidden) {
        const answer = await get(user, `/v3/accelerators?${query}`);
        const other = await get(user, `/v3/accelerators?${absent}`);
        expect(answer.status, query).toBe(404);
        expect(other.status, absent).toBe(404);
        const problemOf = ({ body }: Seen): unknown => {
          const { code, title, detail } = JSON.parse(body);
          return { code, title, hint: String(detail).includes('node-mine') };
        };
        expect(problemOf(answer)).toEqual(problemOf(other));
        const hint = answer.body.replaceAll(query.split('=')[1] ?? '', '');
        expect(hint).not.toMatch(/node-other|secret/);
      }
    },
  );
});

describe('a manager without grants', () => {
  it.for(['', '?dry_run=true'])('is told so by a discovery%s', async (query, { expect }) => {
    const { statusCode, body } = await server.app.inject({
      method: 'POST',
      url: `/v3/discoveries${query}`,
      headers: { authorization: basicAuth('manager') },
      payload: {},
    });
    expect(statusCode).toBe(query === '' ? 404 : 200);
    expect(body).toContain('"host-not-found"');
    expect(body).toContain('No host is granted to your project tenants');
    expect(body).toContain('cyborg grant-create tenants --host');
  });
});

/** Against a small Keystone that refuses what the real one refuses; `test/openstack` does the same with the real one. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { systemClock } from '@cyborg/service/clock';
import { systemRng } from '@cyborg/service/rng';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { findConnection } from './connection.ts';
import type { Connection, ConnectionFlags } from './connection.ts';

let home = '';
let keystone: FakeKeystone;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'cyborg-keystone-'));
  keystone = await startKeystone();
});
afterEach(async () => {
  await keystone.stop();
  await rm(home, { recursive: true, force: true });
});

const find = (env: Record<string, string>, flags: ConnectionFlags = {}): Promise<Connection> =>
  findConnection(flags, {
    io: { env, home, workingDirectory: home, clock: systemClock, rng: systemRng },
    warn: () => undefined,
  });
const tokenOf = async ({ auth }: Connection): Promise<string> => {
  if (auth.kind !== 'keystone') throw new Error(`the connection is ${auth.kind}`);
  return auth.token();
};
const variables = (): Record<string, string> => ({
  OS_AUTH_URL: keystone.url,
  OS_USERNAME: 'ann',
  OS_PASSWORD: 'pw',
  OS_PROJECT_NAME: 'lab',
  OS_REGION_NAME: 'one',
});
const put = async (path: string, text: string): Promise<void> => {
  await mkdir(join(home, path, '..'), { recursive: true });
  await writeFile(join(home, path), text);
};

describe('signing in with Keystone', () => {
  it('takes OS_* and finds the server in the catalogue, beside v2', async () => {
    const connection = await find(variables());
    expect(connection.url).toBe('http://one.example:6666');
    expect(await tokenOf(connection)).toBe('token-1');
    expect(keystone.seen).toEqual([
      {
        auth: {
          identity: {
            methods: ['password'],
            password: { user: { name: 'ann', domain: { id: 'default' }, password: 'pw' } },
          },
          scope: { project: { name: 'lab', domain: { id: 'default' } } },
        },
      },
    ]);
  });

  it('asks for one token however often it is needed', async () => {
    const connection = await find(variables());
    await Promise.all([tokenOf(connection), tokenOf(connection), tokenOf(connection)]);
    expect(keystone.seen).toHaveLength(1);
  });

  it('goes to the server of --url with the token, without asking for the catalogue first', async () => {
    const connection = await find(variables(), { url: 'http://127.0.0.1:7777' });
    expect(connection.url).toBe('http://127.0.0.1:7777');
    expect(keystone.seen).toHaveLength(0);
    expect(await tokenOf(connection)).toBe('token-1');
  });

  it('takes an application credential of clouds.yaml, its secret from secure.yaml', async () => {
    await put(
      '.config/openstack/clouds.yaml',
      `clouds:\n  lab:\n    auth_type: v3applicationcredential\n    region_name: two\n    interface: internal\n    auth: {auth_url: "${keystone.url}", application_credential_id: abc}\n`,
    );
    await put(
      '.config/openstack/secure.yaml',
      'clouds:\n  lab:\n    auth: {application_credential_secret: shh}\n',
    );
    const connection = await find({ OS_CLOUD: 'lab' });
    expect(connection.url).toBe('http://two.internal:6666');
    expect(keystone.seen).toEqual([
      {
        auth: {
          identity: {
            methods: ['application_credential'],
            application_credential: { id: 'abc', secret: 'shh' },
          },
        },
      },
    ]);
  });

  it.each([
    [{ OS_PASSWORD: 'wrong' }, /does not sign in user "ann" in project "lab" \(401\).*\(OS_\*\)/],
    [{ OS_PASSWORD: '' }, /set OS_PASSWORD\./],
    [{ OS_PROJECT_NAME: '' }, /set OS_PROJECT_NAME\./],
    [{ OS_REGION_NAME: 'three' }, /no accelerator in region three; it has it in one, two\./],
    [{ OS_REGION_NAME: '' }, /in several regions: name one of one, two\. Or name the server/],
    [{ OS_INTERFACE: 'secret' }, /OS_INTERFACE of OS_\* is 'secret'; it may be public/],
    [{ OS_AUTH_URL: 'keystone' }, /OS_AUTH_URL: 'keystone' is no http:\/\/ or https:\/\/ URL/],
    [{ OS_CACERT: 'gone.pem' }, /OS_CACERT of OS_\* cannot be read/],
  ])('says what is wrong with %j', async (wrong, message) => {
    await expect(find({ ...variables(), ...wrong })).rejects.toThrow(message);
  });

  it('sends no password to whoever answers when a cloud says not to verify', async () => {
    await put(
      'clouds.yaml',
      `clouds:\n  lab:\n    verify: false\n    auth: {auth_url: "${keystone.url}", username: ann, password: pw, project_name: lab}\n`,
    );
    await expect(find({ OS_CLOUD: 'lab' })).rejects.toThrow('name the authority with cacert');
    expect(keystone.seen).toHaveLength(0);
  });

  it('does not look at OS_* when address and user are given', async () => {
    const env = { OS_AUTH_URL: 'nonsense', CYBORG_PASSWORD: 'x' };
    expect(await find(env, { url: 'http://a:1', user: 'bob' })).toMatchObject({
      url: 'http://a:1',
      auth: { kind: 'basic', user: 'bob' },
    });
  });
});

interface FakeKeystone {
  readonly url: string;
  /** Bodies of sign-ins. */
  readonly seen: unknown[];
  stop(): Promise<void>;
}

async function startKeystone(): Promise<FakeKeystone> {
  const seen: unknown[] = [];
  const server = http.createServer((request, response) => {
    let text = '';
    request.on('data', (chunk) => (text += String(chunk)));
    request.on('end', () => {
      seen.push(JSON.parse(text));
      const isRight = /"password":"pw"|"secret":"shh"/.test(text);
      response.writeHead(isRight ? 201 : 401, {
        'content-type': 'application/json',
        ...(isRight ? { 'x-subject-token': `token-${seen.length}` } : {}),
      });
      response.end(JSON.stringify(isRight ? { token: token() } : { error: { code: 401 } }));
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return {
    url: `http://127.0.0.1:${address.port}`,
    seen,
    stop: () =>
      new Promise((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  };
}

function token(): object {
  const endpoints = ['one', 'two'].flatMap((region) => [
    { interface: 'public', region_id: region, url: `http://${region}.example:6666/v2` },
    {
      interface: 'internal',
      region_id: region,
      url: `http://${region}.internal:6666/accelerator/v2/`,
    },
  ]);
  return {
    issued_at: '2030-01-01T00:00:00.000000Z',
    expires_at: '2030-01-01T04:00:00.000000Z',
    user: { id: 'u1', name: 'ann' },
    project: { id: 'p1', name: 'lab' },
    roles: [{ id: 'r1', name: 'member' }],
    catalog: [{ type: 'accelerator', endpoints }],
  };
}

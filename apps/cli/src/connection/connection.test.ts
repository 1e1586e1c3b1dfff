import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { systemClock } from '@cyborg/service/clock';
import { systemRng } from '@cyborg/service/rng';

import { findConnection, type Connection, type ConnectionFlags } from './connection.ts';

let home = '';
let warnings: string[] = [];
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'cyborg-connection-'));
  warnings = [];
});
afterEach(() => rm(home, { recursive: true, force: true }));

const put = async (path: string, text: string, mode = 0o600): Promise<string> => {
  const file = join(home, path);
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, text);
  await chmod(file, mode);
  return file;
};
const find = (env: Record<string, string> = {}, flags: ConnectionFlags = {}): Promise<Connection> =>
  findConnection(flags, {
    io: { env, home, workingDirectory: home, clock: systemClock, rng: systemRng },
    warn: (line) => warnings.push(line),
  });
const own = (text: string, mode?: number): Promise<string> =>
  put('.config/cyborg/client.yaml', text, mode);

const ann = { kind: 'basic', user: 'ann', password: 'pw' };

describe('findConnection', () => {
  it('goes to the default address without credentials when nothing is set', async () => {
    expect(await find({ CYBORG_URL: '', OS_CLOUD: '', CYBORG_CONFIG: '' })).toEqual({
      url: 'http://127.0.0.1:6680',
      auth: { kind: 'none' },
      ca: undefined,
    });
  });

  it("reads the user's own file, below XDG_CONFIG_HOME when that is set", async () => {
    await own('url: http://a:1\nuser: ann\npassword: pw\nauth: basic\n');
    expect(await find()).toMatchObject({ url: 'http://a:1', auth: ann });
    await put('xdg/cyborg/client.yaml', 'url: http://b:1\nauth: none\n');
    expect(await find({ XDG_CONFIG_HOME: join(home, 'xdg') })).toMatchObject({
      url: 'http://b:1',
      auth: { kind: 'none' },
    });
    expect(warnings).toEqual([]);
  });

  it('warns when others may read the password', async () => {
    const file = await own('url: http://a:1\nuser: ann\npassword: pw\n', 0o644);
    await find();
    expect(warnings).toEqual([
      `warning: others may read the password in ${file}: run 'chmod 600 ${file}'`,
    ]);
  });

  it('lets flags go before CYBORG_*, and those before files', async () => {
    await own('url: http://a:1\nuser: ann\npassword: pw\n');
    const named = await put('other.yaml', 'url: http://c:1\nuser: bob\npassword: x\n');
    const env = { CYBORG_CONFIG: named };
    expect(await find(env)).toMatchObject({ url: 'http://c:1', auth: { user: 'bob' } });
    const more = { ...env, CYBORG_URL: 'http://d:1', CYBORG_USER: 'eve', CYBORG_PASSWORD: 'y' };
    expect(await find(more)).toMatchObject({ url: 'http://d:1', auth: { user: 'eve' } });
    expect(await find(more, { url: 'http://e:1', user: 'mia' })).toMatchObject({
      url: 'http://e:1',
      auth: { user: 'mia', password: 'y' },
    });
  });

  it('sends a stored password to no other server', async () => {
    await own('url: http://a:1\nuser: ann\npassword: pw\n');
    expect((await find({}, { url: 'http://evil:1' })).auth).toEqual({ kind: 'none' });
    expect((await find({}, { url: 'http://a:1/' })).auth).toEqual(ann);
  });

  it('reads the authority beside the file, or says that it cannot', async () => {
    await put('.config/cyborg/ca.pem', 'PEM');
    await own('url: https://a:1\nca_file: ca.pem\n');
    expect((await find()).ca).toBe('PEM');
    await own('url: https://a:1\nca_file: gone.pem\n');
    await expect(find()).rejects.toThrow('certificate authority cannot be read');
  });

  it.each([
    ['url: nonsense\n', "'nonsense' is no URL of a server"],
    ['user: ann\n', "has no 'url'"],
    ['url: http://a\nuser: ann\n', "needs 'user' and 'password'"],
    ['url: http://a\nauth: digest\n', 'it may be basic or none'],
    ['url: http://a\nusr: x\n', "has the key 'usr'"],
    ['- a\n', 'must hold keys and values'],
    ['a: [\n', 'is no YAML'],
  ])('says what is wrong in %j', async (text, message) => {
    await own(text);
    await expect(find()).rejects.toThrow(message);
  });

  it('says that a named file is not there', async () => {
    await expect(find({ CYBORG_CONFIG: 'gone.yaml' })).rejects.toThrow(
      'CYBORG_CONFIG names a file',
    );
  });

  it('asks for the other half of half a credential', async () => {
    await expect(find({ CYBORG_USER: 'ann' })).rejects.toThrow('set CYBORG_PASSWORD');
    await expect(find({ CYBORG_PASSWORD: 'x' })).rejects.toThrow('add --user');
  });

  it('reads OS_* of the types that need no Keystone', async () => {
    const env = {
      OS_AUTH_TYPE: 'http_basic',
      OS_ENDPOINT: 'http://o:6680/v2',
      OS_USERNAME: 'ann',
      OS_PASSWORD: 'pw',
    };
    expect(await find(env)).toMatchObject({ url: 'http://o:6680', auth: ann });
    expect(await find({ OS_AUTH_TYPE: 'none', OS_ENDPOINT: 'http://o:1' })).toMatchObject({
      url: 'http://o:1',
      auth: { kind: 'none' },
    });
    await expect(find({ OS_AUTH_TYPE: 'none' })).rejects.toThrow('set OS_ENDPOINT');
  });

  it('names the type of sign-in that it does not know, unless another source serves', async () => {
    const env = { OS_AUTH_TYPE: 'v3totp', OS_AUTH_URL: 'http://keystone', OS_USERNAME: 'u' };
    await expect(find(env)).rejects.toThrow("asks for 'v3totp', which this release does not know");
    await own('url: http://a:1\n');
    expect(await find(env)).toMatchObject({ url: 'http://a:1' });
  });

  it('reads a cloud of clouds.yaml, and names those that are there', async () => {
    await put(
      'clouds.yaml',
      'clouds:\n  lab:\n    auth_type: http_basic\n    auth: {endpoint: "http://l:1", username: ann, password: pw}\n  ks:\n    auth: {}\n',
    );
    expect(await find({ OS_CLOUD: 'lab' })).toMatchObject({ url: 'http://l:1', auth: ann });
    expect(await find({}, { osCloud: 'lab' })).toMatchObject({ auth: ann });
    await expect(find({}, { osCloud: 'ks' })).rejects.toThrow('set auth.auth_url');
    await expect(find({ OS_CLOUD: 'nope' })).rejects.toThrow('it has lab, ks');
  });
});

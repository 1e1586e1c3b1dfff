import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { Clock } from '@cyborg/service/clock';
import { systemClock } from '@cyborg/service/clock';
import { systemRng } from '@cyborg/service/rng';
import bcrypt from 'bcryptjs';
import { afterEach, beforeEach, describe, it } from 'vitest';

import { basicAuth, silentLog, testPassword, writeTestUsers } from '../test-app.ts';
import type { Authenticator } from './authenticator.ts';
import { failedLoginLimits, makeFailedLogins } from './failed-logins.ts';
import { basicLimits, openHttpBasic } from './http-basic.ts';
import { makeNoAuthentication } from './none.ts';
import { hashPassword, isPasswordHash, verifyPassword } from './password.ts';
import { readUsersFile } from './users-file.ts';
import { putUsers } from './write-users-file.ts';

let folder: string;
let usersFile: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cyborg-users-'));
  usersFile = join(folder, 'users.yaml');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** The process's clock, moved forward by hand. */
function movableClock(): Clock & { move(ms: number): void } {
  let offsetMs = 0;
  return {
    ...systemClock,
    monotonicMs: () => systemClock.monotonicMs() + offsetMs,
    move(ms) {
      offsetMs += ms;
    },
  };
}

const open = (clock: Clock = systemClock): Promise<Authenticator> =>
  openHttpBasic({ usersFile, clock, rng: systemRng, log: silentLog });
const ask = (
  authenticator: Authenticator,
  authorization: string | undefined,
  address = '192.0.2.1',
): ReturnType<Authenticator['authenticate']> =>
  authenticator.authenticate({ headers: { authorization }, address });

describe('http_basic', () => {
  it('knows who gives the right password, with implied roles', async ({ expect }) => {
    await writeTestUsers(usersFile);
    const caller = await ask(await open(), basicAuth('manager'));
    expect(caller).toMatchObject({ userName: 'manager', projectId: 'tenants' });
    expect([...(caller?.roles ?? [])]).toEqual(['manager', 'member', 'reader']);
  });

  it.for([
    undefined,
    '',
    'Basic',
    'Basic !!!',
    'Bearer abc',
    basicAuth('admin', 'wrong'),
    basicAuth('nobody'),
    basicAuth(''),
    `Basic ${Buffer.from('admin').toString('base64')}`,
    `Basic ${'A'.repeat(5000)}`,
  ])('knows nobody who comes with %s', async (authorization, { expect }) => {
    await writeTestUsers(usersFile);
    expect(await ask(await open(), authorization)).toBeUndefined();
  });

  it('takes bcrypt hashes as htpasswd writes them, and passwords with colons and umlauts', async ({
    expect,
  }) => {
    const password = 'grün:und:blau';
    const hash = (await bcrypt.hash(password, 4)).replace('$2b$', '$2y$');
    await putUsers(usersFile, [
      { name: 'heidi', password_hash: hash, roles: ['reader'], project_id: 'p', project_name: 'P' },
    ]);
    const authenticator = await open();
    expect(await ask(authenticator, basicAuth('heidi', password))).toMatchObject({
      projectName: 'P',
    });
    expect(await ask(authenticator, basicAuth('heidi', 'grün'))).toBeUndefined();
  });

  it('reads the file again when it changes, and forgets what it verified', async ({ expect }) => {
    const clock = movableClock();
    await writeTestUsers(usersFile);
    const authenticator = await open(clock);
    expect(await ask(authenticator, basicAuth('admin'))).toBeDefined();
    const password_hash = await hashPassword('another password', systemRng);
    await putUsers(usersFile, [
      { name: 'admin', password_hash, roles: ['admin'], project_id: 'p' },
    ]);
    clock.move(basicLimits.fileCheckMs);
    expect(await ask(authenticator, basicAuth('admin'))).toBeUndefined();
    expect(await ask(authenticator, basicAuth('admin', 'another password'))).toBeDefined();
  });

  it('keeps the last good users while the file is broken', async ({ expect }) => {
    const clock = movableClock();
    await writeTestUsers(usersFile);
    const authenticator = await open(clock);
    writeFileSync(usersFile, 'users: [', { mode: 0o600 });
    clock.move(basicLimits.fileCheckMs);
    expect(await ask(authenticator, basicAuth('admin'))).toBeDefined();
  });

  it('stops guessing from one address, for the window only, and not what was verified before', async ({
    expect,
  }) => {
    const clock = movableClock();
    await writeTestUsers(usersFile);
    const authenticator = await open(clock);
    expect(await ask(authenticator, basicAuth('admin'))).toBeDefined();
    const guesses = Array.from({ length: failedLoginLimits.perUserMax }, (_, index) =>
      ask(authenticator, basicAuth('admin', `guess ${index}`)),
    );
    expect(await Promise.all(guesses)).toEqual(guesses.map(() => undefined));
    await expect(ask(authenticator, basicAuth('admin', 'one more'))).rejects.toMatchObject({
      code: 'too-many-failed-logins',
    });
    expect(await ask(authenticator, basicAuth('admin'))).toBeDefined();
    expect(await ask(authenticator, basicAuth('reader'))).toBeDefined();
    expect(await ask(authenticator, basicAuth('admin', 'x'), '192.0.2.2')).toBeUndefined();
    clock.move(failedLoginLimits.windowSeconds * 1000);
    expect(await ask(authenticator, basicAuth('admin', 'one more'))).toBeUndefined();
  });
});

describe('the table of failed logins', () => {
  it('stays bounded however many addresses come', ({ expect }) => {
    const failures = makeFailedLogins(systemClock);
    for (let index = 0; index < failedLoginLimits.entriesMax * 2; index += 1) {
      failures.count(`10.${index >> 16}.${(index >> 8) & 255}.${index & 255}`, 'admin');
    }
    expect(() => failures.check('10.0.0.0', 'admin')).not.toThrow();
  });

  it('counts a /64 of IPv6 as one address', ({ expect }) => {
    const failures = makeFailedLogins(systemClock);
    for (let index = 0; index < failedLoginLimits.perAddressMax; index += 1) {
      failures.count(`2001:db8:1:2::${index.toString(16)}`, `user${index}`);
    }
    expect(() => failures.check('2001:db8:1:2:ffff::1', 'admin')).toThrow('Too many failed logins');
    expect(() => failures.check('2001:db8:1:3::1', 'admin')).not.toThrow();
  });
});

describe('the users file', () => {
  it('is written with mode 0600 and keeps the users it had', async ({ expect }) => {
    await writeTestUsers(usersFile);
    const password_hash = await hashPassword('something else', systemRng);
    await putUsers(usersFile, [{ name: 'new', password_hash, roles: ['member'], project_id: 'p' }]);
    expect(statSync(usersFile).mode & 0o777).toBe(0o600);
    const { byName } = await readUsersFile(usersFile);
    expect([...byName.keys()]).toContain('new');
    expect([...byName.keys()]).toContain('admin');
    expect(readFileSync(usersFile, 'utf8')).not.toContain(testPassword);
  });

  it('is refused when others may read it', async ({ expect }) => {
    await writeTestUsers(usersFile);
    chmodSync(usersFile, 0o640);
    await expect(open()).rejects.toThrow(`chmod 600 ${usersFile}`);
  });

  it.for([
    ['users:\n  - {name: a}', 'password_hash'],
    ['users: 5', 'users'],
    ['- a', 'users'],
    ['users: [', 'not valid YAML'],
    [
      'users:\n  - {name: a, password_hash: plain, roles: [admin], project_id: p}',
      'no $scrypt$ or bcrypt',
    ],
    ['users:\n  - {name: a, password_hash: x, roles: [boss], project_id: p}', 'roles'],
  ] as const)('is refused when it holds %s', async ([text, reason], { expect }) => {
    writeFileSync(usersFile, text, { mode: 0o600 });
    await expect(open()).rejects.toThrow(reason);
  });

  it('that is missing says how to make one', async ({ expect }) => {
    await expect(open()).rejects.toThrow('cyborg-server user-set');
  });
});

describe('password hashes', () => {
  it('differ for the same password and check out', async ({ expect }) => {
    const [one, two] = await Promise.all([
      hashPassword('x', systemRng),
      hashPassword('x', systemRng),
    ]);
    expect(one).not.toBe(two);
    expect(await verifyPassword('x', one)).toBe(true);
    expect(await verifyPassword('y', one)).toBe(false);
  });

  it('with a cost that would exhaust the server are none', ({ expect }) => {
    expect(isPasswordHash('$scrypt$ln=30,r=8,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaGhhc2g')).toBe(
      false,
    );
    expect(isPasswordHash(`$2b$31$${'a'.repeat(53)}`)).toBe(false);
    expect(isPasswordHash('5f4dcc3b5aa765d61d8327deb882cf99')).toBe(false);
  });
});

describe('no authentication', () => {
  it('makes a local caller admin and refuses a page with a name of its own', async ({ expect }) => {
    const none = makeNoAuthentication();
    const from = (host: string): ReturnType<Authenticator['authenticate']> =>
      none.authenticate({ headers: { host }, address: '127.0.0.1' });
    expect((await from('127.0.0.1:6680'))?.roles.has('admin')).toBe(true);
    expect((await from('localhost:6680'))?.roles.has('admin')).toBe(true);
    await expect(from('evil.example:6680')).rejects.toMatchObject({ code: 'forbidden' });
  });
});

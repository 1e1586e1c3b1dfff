import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { json, openTestSession, startTestServices } from '@cyborg/openstack/test-services';
import { systemClock } from '@cyborg/service/clock';
import { parseOptions } from '@cyborg/service/options';
import { systemRng } from '@cyborg/service/rng';
import { afterEach, beforeEach, describe, it } from 'vitest';

import { serverProgram } from '../options.ts';
import type { ServerOptions } from '../options.ts';
import { makeReadiness } from '../readiness.ts';
import { keystoneCheck, openOpenStack, readOpenStackOptions } from './openstack.ts';
import { readPolicyFile } from './policy-file.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cyborg-openstack-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function options(argv: readonly string[], env: Record<string, string> = {}): ServerOptions {
  const parsed = parseOptions(serverProgram, { argv, env, cwd: folder });
  if (parsed.kind !== 'run') throw new Error('no options');
  return parsed.options;
}

const put = (name: string, text: string, mode = 0o600): string => {
  const file = join(folder, name);
  writeFileSync(file, text);
  chmodSync(file, mode);
  return file;
};
const withPassword = { CYBORG_SERVER_KEYSTONE_PASSWORD: 'pw' };

describe('the options of OpenStack', () => {
  it('are nothing without Keystone', ({ expect }) => {
    expect(readOpenStackOptions(options([]))).toBeUndefined();
  });

  it('say who signs in where, with what is customary for the rest', ({ expect }) => {
    const file = put('password', 'p w\n');
    const argv = ['--keystone-url', 'https://k:5000', '--keystone-password-file', file];
    expect(readOpenStackOptions(options(argv))).toMatchObject({
      publicUrl: 'https://k:5000/v3',
      usesNova: true,
      usesPlacement: true,
      session: {
        authUrl: 'https://k:5000',
        interface: 'internal',
        credentials: {
          user: { name: 'cyborg', domain: { name: 'Default' } },
          password: 'p w',
          scope: { kind: 'project', project: { name: 'service', domain: { name: 'Default' } } },
        },
      },
    });
  });

  it('leave alone what is switched off', ({ expect }) => {
    const argv = ['--keystone-url', 'http://k', '--nova', 'off', '--placement', 'off'];
    const settings = readOpenStackOptions(options(argv, withPassword));
    if (settings === undefined) throw new Error('no settings');
    using openStack = openOpenStack(settings, { clock: systemClock, rng: systemRng });
    expect(Object.keys(openStack.services)).toEqual(['glance', 'placesHotplug']);
  });

  it('take an application credential', ({ expect }) => {
    const argv = ['--keystone-url', 'http://k', '--keystone-application-credential', 'abc'];
    const env = { CYBORG_SERVER_KEYSTONE_APPLICATION_CREDENTIAL_SECRET: 'shh' };
    expect(readOpenStackOptions(options(argv, env))?.session.credentials).toEqual({
      kind: 'application_credential',
      credential: { id: 'abc' },
      secret: 'shh',
    });
    expect(() => readOpenStackOptions(options(argv))).toThrow(
      '--keystone-application-credential-secret-file is missing',
    );
  });

  it('end the start with a sentence when they are wrong', ({ expect }) => {
    const url = ['--keystone-url', 'http://k'];
    const open = put('open', 'pw', 0o644);
    const empty = put('empty', '\n');
    const cases: [readonly string[], string, Record<string, string>?][] = [
      [['--auth', 'keystone'], '--auth keystone needs --keystone-url'],
      [['--nova', 'on'], '--nova on needs --keystone-url'],
      [['--placement', 'on'], '--placement on needs --keystone-url'],
      [url, '--keystone-password-file is missing: give it, or CYBORG_SERVER_KEYSTONE_PASSWORD'],
      [[...url, '--keystone-password-file', 'gone'], 'cannot be read: ENOENT'],
      [[...url, '--keystone-password-file', open], 'can be read by others (mode 644): run chmod'],
      [[...url, '--keystone-password-file', empty], 'is empty'],
      [[...url, '--keystone-ca', empty], 'holds no PEM certificate', withPassword],
    ];
    for (const [argv, message, env] of cases) {
      expect(() => readOpenStackOptions(options(argv, env)), message).toThrow(message);
    }
    expect(() => options(['--keystone-url', 'k:5000'])).toThrow('an http:// or https:// URL');
    expect(() => options(['--keystone-token-cache', '2m'])).toThrow('from 0 to 60 seconds');
  });
});

describe('readiness', () => {
  it('tells that Keystone is away, and stays', async ({ expect }) => {
    await using services = await startTestServices(json(200, {}));
    using session = openTestSession(services, { limits: { attemptsMax: 1 } });
    const readiness = makeReadiness();
    readiness.add(keystoneCheck(session));
    expect(await readiness.report()).toEqual({ ready: true, checks: { keystone: 'ok' } });
    services.handlers = [json(503, {})];
    const { ready, checks } = await readiness.report();
    expect(ready).toBe(true);
    expect(checks['keystone']).toContain('only tokens known from the last minute are served');
  });
});

describe('a policy file', () => {
  const member = {
    userId: 'u',
    userName: 'u',
    projectId: 'p',
    projectName: 'p',
    roles: new Set(['member'] as const),
    isServiceRequest: false,
  };

  it('replaces rules, by roles of Keystone that are not ours as well', ({ expect }) => {
    const rule = 'cyborg:device:get_all';
    expect(readPolicyFile(undefined).isAllowed(member, rule)).toBe(false);
    const policy = readPolicyFile(put('policy.yaml', `"${rule}": "role:wizard"\n`));
    expect(policy.isAllowed(member, rule)).toBe(false);
    expect(policy.isAllowed({ ...member, roleNames: new Set(['Wizard']) }, rule)).toBe(true);
  });

  it('may be all comments, as upstream’s sample is', ({ expect }) => {
    const policy = readPolicyFile(put('policy.yaml', '# "cyborg:arq:create": ""\n'));
    expect(policy.isAllowed(member, 'cyborg:arq:create')).toBe(true);
  });

  it.for([
    ['"cyborg:arq:create": "role:("', "rule 'cyborg:arq:create'"],
    ['"cyborg:arq:create": 5', "rule 'cyborg:arq:create' must be a text"],
    ['- a', 'must hold rules'],
    ['just a text', 'must hold rules'],
    ['a: [', 'cannot be used'],
  ] as const)('is refused when it holds %s', ([text, message], { expect }) => {
    expect(() => readPolicyFile(put('policy.yaml', text))).toThrow(message);
  });

  it('is refused when it is not there', ({ expect }) => {
    expect(() => readPolicyFile(join(folder, 'gone.yaml'))).toThrow('ENOENT');
  });
});

/** Our server in the lab knows callers by Keystone; our CLI finds it in the catalogue. */
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import http from 'node:http';
import type { IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { describe, it } from 'vitest';

import { cloudsFile, labSettings, needsLab, sessionOf } from './lab.ts';
import type { LabUser } from './lab.ts';

needsLab();

const base = (): string => labSettings().accelerator.replace(/(\/accelerator)?\/v2$/, '');
const tokenOf = async (...given: Parameters<typeof sessionOf>): Promise<string> => {
  using session = sessionOf(...given);
  return (await session.signIn()).id;
};
/** Not fetch, which refuses port 6666. */
async function ask(path: string, headers: Record<string, string>): Promise<IncomingMessage> {
  const request = http.get(`${base()}${path}`, { headers, agent: false });
  const [answer]: IncomingMessage[] = await once(request, 'response');
  if (answer === undefined) throw new Error('there is no answer');
  answer.resume();
  return answer;
}
const statusFor = async (
  path: string,
  token: string,
  service?: string,
): Promise<number | undefined> => {
  const headers = { 'x-auth-token': token, ...(service && { 'x-service-token': service }) };
  return (await ask(path, headers)).statusCode;
};

describe.for(['/v2/device_profiles', '/v3/accelerators'])('%s', (path) => {
  it('asks for a token of this Keystone', async ({ expect }) => {
    for (const headers of [{}, { 'x-auth-token': 'invented' }]) {
      const answer = await ask(path, headers);
      expect(answer.statusCode).toBe(401);
      expect(answer.headers['www-authenticate']).toBe('Keystone uri="http://127.0.0.1:5000/v3"');
    }
  });

  it('is for tokens of projects, and for service tokens of services', async ({ expect }) => {
    const [demo, nova] = await Promise.all([tokenOf('demo'), tokenOf('nova')]);
    expect(await statusFor(path, demo)).toBe(200);
    expect(await statusFor(path, demo, nova)).toBe(200);
    expect(await statusFor(path, demo, demo)).toBe(401);
    expect(await statusFor(path, demo, 'invented')).toBe(401);
    expect(await statusFor(path, await tokenOf('admin', { kind: 'system' }))).toBe(403);
  });
});

describe('roles', () => {
  it.for<[LabUser, number]>([
    ['admin', 200],
    ['demo-manager', 200],
    ['demo', 403],
    ['demo-reader', 403],
  ])('%s gets %s for the devices of v2', async ([user, status], { expect }) => {
    expect(await statusFor('/v2/devices', await tokenOf(user))).toBe(status);
  });
});

describe('the CLI', () => {
  const run = promisify(execFile);
  const cyborg = (cloud: string, ...words: string[]): ReturnType<typeof run> =>
    run(process.execPath, [join(import.meta.dirname, '../../apps/cli/src/main.ts'), ...words], {
      env: { PATH: process.env['PATH'], OS_CLIENT_CONFIG_FILE: cloudsFile, OS_CLOUD: cloud },
      timeout: 60_000,
    });

  it('shows an admin of clouds.yaml the host that Nova calls so', async ({ expect }) => {
    const { stdout } = await cyborg('testbed-admin', 'host-list', '-f', 'json');
    expect(JSON.parse(String(stdout))).toMatchObject([{ node_name: labSettings().host }]);
  });

  it('tells a member what only an admin may', async ({ expect }) => {
    await expect(cyborg('testbed-demo', 'host-list')).rejects.toMatchObject({
      code: 1,
      // Keystone gives the roles in no order.
      stderr: expect.stringMatching(/not allowed for demo \((member, reader|reader, member)\)/),
    });
  });
});

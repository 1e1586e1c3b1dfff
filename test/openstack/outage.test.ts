/** Our server while the real Keystone is out of reach: it is reached through a relay that can be cut. */
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import type { IncomingMessage } from 'node:http';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { serverProgram } from '@cyborg/server/options';
import { startServer } from '@cyborg/server/server';
import { systemClock } from '@cyborg/service/clock';
import { makeLogger } from '@cyborg/service/logging';
import { parseOptions } from '@cyborg/service/options';
import { systemRng } from '@cyborg/service/rng';
import { it, onTestFinished } from 'vitest';

import { keystoneUrl, labSettings, needsLab, sessionOf } from './lab.ts';

needsLab();

it('serves the tokens that it knew while Keystone is away, tells others to try again, and goes on after it', async ({
  expect,
}) => {
  await using relay = await startRelay(Number(new URL(keystoneUrl).port));
  const url = await startOurs(relay.port);
  const [demo, admin] = await Promise.all([tokenOf('demo'), tokenOf('admin')]);
  expect((await ask(`${url}/v3/accelerators`, demo)).statusCode).toBe(200);

  relay.cut();
  expect((await ask(`${url}/v3/accelerators`, demo)).statusCode).toBe(200);
  expect((await ask(`${url}/v2/device_profiles`, demo)).statusCode).toBe(200);
  const refused = await ask(`${url}/v3/accelerators`, admin);
  expect(refused.statusCode).toBe(503);
  expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0);
  expect((await ask(`${url}/v2/device_profiles`, admin)).statusCode).toBe(503);
  expect((await ask(`${url}/readyz`, '')).statusCode).toBe(200);

  relay.mend();
  expect((await ask(`${url}/v3/accelerators`, admin)).statusCode).toBe(200);
});

async function tokenOf(user: 'demo' | 'admin'): Promise<string> {
  using session = sessionOf(user);
  return (await session.signIn()).id;
}

async function ask(url: string, token: string): Promise<IncomingMessage> {
  const request = http.get(url, { headers: { 'x-auth-token': token }, agent: false });
  const [answer]: IncomingMessage[] = await once(request, 'response');
  if (answer === undefined) throw new Error('there is no answer');
  answer.resume();
  return answer;
}

async function startOurs(keystonePort: number): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'cyborg-outage-'));
  const password = join(folder, 'password');
  writeFileSync(password, labSettings().password, { mode: 0o600 });
  const words = {
    auth: 'keystone',
    listen: '127.0.0.1:0',
    'state-dir': join(folder, 'state'),
    'keystone-url': `http://127.0.0.1:${keystonePort}/v3`,
    'keystone-password-file': password,
    'keystone-region': labSettings().region,
    placement: 'off',
    nova: 'off',
  };
  const argv = Object.entries(words).map(([name, value]) => `--${name}=${value}`);
  const parsed = parseOptions(serverProgram, { argv, env: {}, cwd: folder });
  if (parsed.kind !== 'run') throw new Error('these are no options');
  const log = makeLogger({ name: 'outage', level: 'silent', clock: systemClock });
  const server = await startServer(parsed.options, { clock: systemClock, rng: systemRng, log });
  onTestFinished(async () => {
    await server.stop();
    rmSync(folder, { recursive: true, force: true });
  });
  const [url] = server.urls;
  if (url === undefined) throw new Error('the server listens nowhere');
  return url;
}

interface Relay extends AsyncDisposable {
  readonly port: number;
  /** Ends all connections and hangs up on new ones. */
  cut(): void;
  mend(): void;
}

async function startRelay(port: number): Promise<Relay> {
  const open = new Set<net.Socket>();
  let isCut = false;
  const server = net.createServer((near) => {
    if (isCut) return void near.destroy();
    const far = net.connect(port, '127.0.0.1');
    for (const socket of [near, far]) {
      open.add(socket);
      socket.on('error', () => socket.destroy());
      socket.on('close', () => {
        open.delete(socket);
        near.destroy();
        far.destroy();
      });
    }
    near.pipe(far).pipe(near);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the relay has no port');
  const cut = (): void => {
    isCut = true;
    for (const socket of open) socket.destroy();
  };
  return {
    port: address.port,
    cut,
    mend() {
      isCut = false;
    },
    async [Symbol.asyncDispose]() {
      cut();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

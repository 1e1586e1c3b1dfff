/** For tests of the command line: the real process, against a server of the test. */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

import type { V3OperationName } from '@cyborg/api-spec/routes';
import { afterEach, beforeEach } from 'vitest';

import { ApiServer, type Call } from './api-server.ts';

export interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface ServedCommand {
  /** Its `current` server, a new one for each test; `home` is the user's. */
  readonly server: { current: ApiServer; url: string; home: string };
  readonly calls: (name: V3OperationName) => Call[];
  /** Runs `cyborg` as a user would; `env` replaces what names the server; sends SIGINT at that text. */
  readonly cyborg: (
    args: readonly string[],
    env?: Record<string, string>,
    interruptOn?: string,
  ) => Promise<Ended>;
}

const launcher = resolve(import.meta.dirname, '../../../bin/cyborg');

/** A server for each test of the file, which fails when one has heard or said what the schemas do not have. */
export function serveCyborg(): ServedCommand {
  const server = { current: new ApiServer(), url: '', home: '' };
  beforeEach(async () => {
    server.current = new ApiServer();
    server.url = await server.current.start();
    server.home = await mkdtemp(join(tmpdir(), 'cyborg-cli-'));
  });
  afterEach(async () => {
    server.current.stop();
    await rm(server.home, { recursive: true, force: true });
    const { violations } = server.current;
    if (violations.length > 0)
      throw new Error(`Not as the API's schemas say: ${violations.join('; ')}`);
  });
  return {
    server,
    calls: (name) => server.current.calls.filter((call) => call.name === name),
    cyborg: (args, env = { CYBORG_URL: server.url }, interruptOn) =>
      run(args, { HOME: server.home, ...env }, interruptOn),
  };
}

async function run(
  args: readonly string[],
  env: Record<string, string>,
  interruptOn?: string,
): Promise<Ended> {
  const child = spawn(launcher, args, {
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 25_000,
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => (stdout += String(chunk)));
  child.stderr.on('data', (chunk) => {
    stderr += String(chunk);
    if (interruptOn !== undefined && !child.killed && stderr.includes(interruptOn)) {
      child.kill('SIGINT');
    }
  });
  const code = await new Promise<number | null>((done) => child.on('close', done));
  return { code, stdout, stderr };
}

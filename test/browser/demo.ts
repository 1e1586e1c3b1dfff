/** The real server on the demo fleet, and the browser. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { createHttpClient } from '@cyborg/api-client/http';
import { createV3Client, type V3Client } from '@cyborg/api-client/v3';
import { eventually, freePort, startProgram, type RunningProgram } from '@cyborg/testing/processes';
import { parse } from 'yaml';

/** A cold start of server, database and four agents on a machine that runs other tests too. */
const readyMs = 240_000;

const browsers = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

export function findChromium(): string | undefined {
  return browsers.find((path) => existsSync(path));
}

export const noChromium =
  'skipped: no browser is installed here (test/browser/install-packages, as root)';

export type Persona = 'admin' | 'manager' | 'member' | 'reader';
export const personas: readonly Persona[] = ['admin', 'manager', 'member', 'reader'];

export class Demo implements AsyncDisposable {
  readonly url: string;
  readonly stateDir: string;
  readonly #home: string;
  #program: RunningProgram | undefined;

  private constructor(options: { url: string; stateDir: string; home: string }) {
    this.url = options.url;
    this.stateDir = options.stateDir;
    this.#home = options.home;
  }

  static async open(stateDir: string, home: string): Promise<Demo> {
    return new Demo({ url: `http://127.0.0.1:${await freePort()}`, stateDir, home });
  }

  /** @param more  for the server, such as `--driver-key`. */
  async start(more: readonly string[] = []): Promise<void> {
    const listen = new URL(this.url).host;
    const args = ['--demo', '--state-dir', this.stateDir, '--listen', listen, ...more];
    const program = startProgram('allInOne', { args, env: { HOME: this.#home } });
    this.#program = program;
    await eventually(
      async () => program.hasEnded() || (await fetch(`${this.url}/readyz`)).status === 200,
      { timeoutMs: readyMs, what: 'the demo is ready', context: () => program.output() },
    );
    if (program.hasEnded()) throw new Error(program.output());
  }

  async stop(): Promise<void> {
    await this.#program?.end('SIGTERM');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

interface Login {
  readonly user: string;
  readonly password: string;
}

export function loginOf(stateDir: string, persona: Persona): Login {
  const file = persona === 'admin' ? 'client.yaml' : `client-${persona}.yaml`;
  const { user, password } = parse(readFileSync(join(stateDir, file), 'utf8')) as Login;
  return { user, password };
}

/** What somebody else does meanwhile. */
export function clientOf(
  { url, stateDir }: { readonly url: string; readonly stateDir: string },
  persona: Persona,
): V3Client {
  const { user, password } = loginOf(stateDir, persona);
  const http = createHttpClient({ baseUrl: url, auth: { kind: 'basic', user, password } });
  return createV3Client(http);
}

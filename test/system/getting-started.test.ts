/** docs/getting-started.md as a new user does it: every command in order, what it shows compared. */
import { spawn } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { makeTempFolder } from '@cyborg/testing/embedded';
import {
  cleanEnvironment,
  eventually,
  freePort,
  startProgram,
  type RunningProgram,
} from '@cyborg/testing/processes';
import { describe, it } from 'vitest';

import { differenceFrom, readSession, type Step } from './session-page.ts';

const root = join(import.meta.dirname, '../..');
const page = join(root, 'docs/getting-started.md');
const readyMs = 90_000;
const commandMs = 60_000;

class Newcomer implements AsyncDisposable {
  readonly #home: string;
  readonly #address: string;
  readonly #exports: string[] = [];
  #installation: RunningProgram | undefined;

  constructor(home: string, port: number) {
    this.#home = home;
    this.#address = `127.0.0.1:${port}`;
  }

  get #environment(): NodeJS.ProcessEnv {
    const [config, state] = [join(this.#home, '.config'), join(this.#home, '.local/state')];
    return { HOME: this.#home, XDG_CONFIG_HOME: config, XDG_STATE_HOME: state };
  }

  /** @returns what the page shows: stdout, or stderr of what fails. */
  async do(command: string): Promise<string> {
    if (command.startsWith('npm start')) return await this.#start(command);
    if (/^(export|unset) /.test(command)) {
      this.#exports.push(command);
      return '';
    }
    return await this.#run([...this.#exports, command].join('\n'));
  }

  /** Again: after the one before was killed as it stood, with its database. */
  async #start(command: string): Promise<string> {
    await this.#kill();
    const own = ['--listen', this.#address];
    const args = [...(command.split(' -- ')[1] ?? '').split(' '), ...own];
    const program = startProgram('allInOne', { args, env: this.#environment, detached: true });
    this.#installation = program;
    await eventually(() => program.hasEnded() || program.output().includes('Ready.'), {
      timeoutMs: readyMs,
      what: `${command} is ready`,
      context: () => program.output(),
    });
    return program.output();
  }

  #run(script: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const child = spawn('bash', ['-c', script], {
        cwd: root,
        env: { ...cleanEnvironment(), ...this.#environment },
        stdio: ['ignore', 'pipe', 'pipe'],
        timeout: commandMs,
      });
      let [stdout, stderr] = ['', ''];
      child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
      child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
      child.once('error', reject);
      child.once('close', (status) => resolve(status === 0 ? stdout : stdout + stderr));
    });
  }

  async #kill(): Promise<void> {
    if (this.#installation === undefined) return;
    process.kill(-this.#installation.pid, 'SIGKILL');
    await this.#installation.ended;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#installation?.end('SIGTERM');
  }
}

describe('docs/getting-started.md', () => {
  it('shows what its commands show', { timeout: 300_000 }, async ({ expect }) => {
    using folder = makeTempFolder();
    const home = join(folder.path, 'home');
    mkdirSync(home);
    await using newcomer = new Newcomer(home, await freePort());
    const steps: readonly Step[] = readSession(readFileSync(page, 'utf8'));
    expect(steps.length).toBeGreaterThan(15);
    for (const { command, expected } of steps) {
      const output = await newcomer.do(command);
      expect(differenceFrom(expected.length === 0 ? [''] : expected, output), command).toBe(
        undefined,
      );
    }
  });
});

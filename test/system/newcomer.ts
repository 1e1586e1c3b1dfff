/** Somebody who types what a page says, in a checkout, with a home folder of their own. */
import { spawn } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

import {
  cleanEnvironment,
  eventually,
  freePort,
  startProgram,
  type RunningProgram,
} from '@cyborg/testing/processes';

const root = join(import.meta.dirname, '../..');
const readyMs = 120_000;
const commandMs = 180_000;
/** On a busy machine an agent that was just started has not looked at its cards yet, and events wait for their numbers. */
const lookedMs = 60_000;
const onlyLooks = /^bin\/cyborg(-inspect| [a-z]+-(list|show)) /;

export class Newcomer implements AsyncDisposable {
  readonly #home: string;
  readonly #address: string;
  readonly #exports: string[] = [];
  #installation: RunningProgram | undefined;

  private constructor(folder: string, port: number) {
    this.#home = join(folder, 'home');
    this.#address = `127.0.0.1:${port}`;
  }

  /** @param folder  in which the home folder is made. */
  static async come(folder: string): Promise<Newcomer> {
    const newcomer = new Newcomer(folder, await freePort());
    mkdirSync(newcomer.#home);
    return newcomer;
  }

  get #environment(): NodeJS.ProcessEnv {
    const [config, state] = [join(this.#home, '.config'), join(this.#home, '.local/state')];
    // What was downloaded and built for guests is everybody's.
    const cache = process.env['CYBORG_CACHE'] ?? join(homedir(), '.cache/cyborg');
    const folders = { XDG_CONFIG_HOME: config, XDG_STATE_HOME: state, CYBORG_CACHE: cache };
    return { HOME: this.#home, ...folders };
  }

  /** @returns what a terminal would show. */
  async do(command: string): Promise<string> {
    if (command.startsWith('npm start')) return await this.#start(command);
    if (/^(export|unset) /.test(command)) {
      this.#exports.push(command);
      return '';
    }
    return await this.#run([...this.#exports, command].join('\n'));
  }

  /**
   * Types it, and what only looks again until it shows what it should.
   * @param compare  how what came differs; undefined when it does not
   */
  async differenceOf(
    command: string,
    compare: (output: string) => string | undefined,
  ): Promise<string | undefined> {
    let difference = compare(await this.do(command));
    if (difference === undefined || !onlyLooks.test(`${command} `)) return difference;
    const agrees = async (): Promise<boolean> => {
      difference = compare(await this.do(command));
      return difference === undefined;
    };
    const context = (): string => difference ?? '';
    await eventually(agrees, { timeoutMs: lookedMs, what: command, context });
    return undefined;
  }

  /** Again: after the one before was killed as it stood, with its database. */
  async #start(command: string): Promise<string> {
    await this.#kill();
    const own = ['--listen', this.#address];
    const given = (command.split(' -- ')[1] ?? '').split(' ').filter((word) => word !== '');
    const args = [...given, ...own];
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
      const child = spawn('bash', ['-c', `exec 2>&1\n${script}`], {
        cwd: root,
        env: { ...cleanEnvironment(), ...this.#environment },
        stdio: ['ignore', 'pipe', 'inherit'],
        timeout: commandMs,
      });
      let output = '';
      child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
      child.once('error', reject);
      child.once('close', () => resolve(output));
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

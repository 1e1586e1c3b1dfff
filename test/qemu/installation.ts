/** A whole installation as `npm start` makes it, on a state directory of its own, driven as its users drive it. */
import { readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { createHttpClient, type HttpClient } from '@cyborg/api-client/http';
import { createV3Client, type V3Client } from '@cyborg/api-client/v3';
import {
  eventually,
  freePort,
  runCli,
  startProgram,
  type CliResult,
  type RunningProgram,
} from '@cyborg/testing/processes';
import { parse } from 'yaml';

import { patientMs } from './guest.ts';

export type Persona = 'admin' | 'manager' | 'member' | 'reader';

export interface Process {
  readonly pid: number;
  readonly command: string;
}

export class Installation implements AsyncDisposable {
  readonly stateDir: string;
  readonly url: string;
  readonly #args: readonly string[];
  #program: RunningProgram;
  #http: HttpClient | undefined;

  private constructor(stateDir: string, url: string, args: readonly string[]) {
    this.stateDir = stateDir;
    this.url = url;
    this.#args = args;
    this.#program = this.#launch();
  }

  /** Starts one in a new state directory; resolves when it is ready. */
  static async start(more: readonly string[] = []): Promise<Installation> {
    const stateDir = await mkdtemp(join(tmpdir(), 'cy-'));
    const address = `127.0.0.1:${await freePort()}`;
    const args = ['--state-dir', stateDir, '--listen', address, ...more];
    const installation = new Installation(stateDir, `http://${address}`, args);
    try {
      await installation.ready();
      return installation;
    } catch (error) {
      await installation[Symbol.asyncDispose]();
      throw error;
    }
  }

  #launch(): RunningProgram {
    return startProgram('allInOne', { args: this.#args, detached: true });
  }

  get program(): RunningProgram {
    return this.#program;
  }

  get qmpDir(): string {
    return join(this.stateDir, 'qmp');
  }

  /** Starts it again where it has ended; resolves when it is ready. */
  async startAgain(): Promise<void> {
    if (this.#program.hasEnded()) this.#program = this.#launch();
    await this.ready();
  }

  async ready(): Promise<void> {
    await eventually(
      async () => {
        if (this.#program.hasEnded()) return 'ended';
        const answer = await fetch(`${this.url}/readyz`, { signal: AbortSignal.timeout(5000) });
        await answer.body?.cancel();
        return answer.ok;
      },
      { timeoutMs: patientMs, what: 'npm start is ready', context: () => this.#program.output() },
    );
    if (this.#program.hasEnded()) throw new Error(`npm start ended:\n${this.#program.output()}`);
  }

  clientFile(persona: Persona): string {
    return join(this.stateDir, persona === 'admin' ? 'client.yaml' : `client-${persona}.yaml`);
  }

  /** The API as an admin. */
  async admin(): Promise<V3Client> {
    this.#http ??= await this.#connect();
    return createV3Client(this.#http);
  }

  async #connect(): Promise<HttpClient> {
    const text = await readFile(this.clientFile('admin'), 'utf8');
    const { user, password } = parse(text) as { user: string; password: string };
    return createHttpClient({ baseUrl: this.url, auth: { kind: 'basic', user, password } });
  }

  /** `cyborg …` as somebody. */
  cyborg(persona: Persona, command: string): Promise<CliResult> {
    return runCli(command.split(' '), { CYBORG_CONFIG: this.clientFile(persona) });
  }

  /** `cyborg … -f json`, which must succeed. */
  async json<T>(persona: Persona, command: string): Promise<T> {
    const { status, stdout, stderr } = await this.cyborg(persona, `${command} -f json`);
    if (status !== 0) throw new Error(`cyborg ${command}: exit ${status}\n${stderr}`);
    return JSON.parse(stdout) as T;
  }

  /** Its own processes: the server first, then all that came from it. */
  processes(): Process[] {
    return descendants(this.#program.pid);
  }

  find(part: 'server' | 'agent' | 'driver' | 'postmaster'): Process | undefined {
    const [server, ...others] = this.processes();
    if (part === 'server') return server;
    const marks = {
      agent: 'apps/agent/src/main.ts',
      driver: 'drivers/generic/',
      postmaster: 'postgres -D',
    };
    return others.find(({ command }) => command.includes(marks[part]));
  }

  /** What the agent and the server logged last. */
  logs(): string {
    const folder = join(this.stateDir, 'log');
    return readdirSync(folder)
      .map((name) => `${name}:\n${readFileSync(join(folder, name), 'utf8').slice(-6000)}`)
      .join('\n');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#http?.close();
    await this.#program.end();
    // Of a program that was killed, the last child may still be writing there.
    await rm(this.stateDir, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
}

/** Kills them all at once; resolves when they have ended. */
export async function killed(pids: readonly number[]): Promise<void> {
  for (const pid of pids) {
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      if (!isRunning(pid)) continue; // ended with another one
      throw error;
    }
  }
  await eventually(() => !pids.some(isRunning), { timeoutMs: patientMs, what: 'the killed end' });
}

/** A process that nobody has reaped yet counts as ended. */
function isRunning(pid: number): boolean {
  const stat = readProc(String(pid), 'stat');
  return stat !== '' && !/\) [ZX] /.test(stat);
}

function descendants(root: number): Process[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const parent = Number(/\) \S (\d+) /.exec(readProc(name, 'stat'))?.[1]);
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const found: Process[] = [];
  const visit = (pid: number): void => {
    const command = readProc(String(pid), 'cmdline').replaceAll('\0', ' ');
    if (command !== '') found.push({ pid, command });
    for (const child of children.get(pid) ?? []) visit(child);
  };
  visit(root);
  return found;
}

function readProc(pid: string, file: string): string {
  try {
    return readFileSync(`/proc/${pid}/${file}`, 'utf8');
  } catch {
    return ''; // ended meanwhile
  }
}

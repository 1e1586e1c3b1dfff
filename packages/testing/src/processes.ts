/** Our programs as real processes, for system tests and the bench: started, watched, killed, waited for. */
import { spawn, type ChildProcess } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { systemClock } from '@cyborg/service/clock';
import { isRunning } from '@cyborg/store/embedded/processes';

const root = join(import.meta.dirname, '..', '..', '..');
const outputCharactersMax = 400_000;
const killGraceMs = 60_000;
/** Who is left behind may hold the pipes of one that has ended. */
const lastWordsMsMax = 500;

export const programs = {
  cli: join(root, 'apps/cli/src/main.ts'),
  server: join(root, 'apps/server/src/main.ts'),
  agent: join(root, 'apps/agent/src/main.ts'),
  allInOne: join(root, 'apps/server/src/all-in-one/main.ts'),
} as const;

export interface RunningProgram extends AsyncDisposable {
  readonly child: ChildProcess;
  readonly pid: number;
  /** Everything it has said on stdout and stderr, the latest 400,000 characters. */
  readonly output: () => string;
  /** Exit status, or the signal that ended it; its output is whole then. */
  readonly ended: Promise<number | string>;
  readonly hasEnded: () => boolean;
  /** Sends the signal and waits for the end. */
  end(signal?: NodeJS.Signals): Promise<number | string>;
}

export interface ProgramOptions {
  readonly args: readonly string[];
  readonly env?: NodeJS.ProcessEnv;
  /** A process group of its own, so that a test can kill all of it. */
  readonly detached?: boolean;
  /** It gets a SIGTERM when the test's process ends, however that ends (Linux). */
  readonly endsWithTest?: boolean;
}

/** Starts one of our programs on the Node that runs the test. Disposing it kills it. */
export function startProgram(
  program: keyof typeof programs,
  { args, env = {}, detached = false, endsWithTest = false }: ProgramOptions,
): RunningProgram {
  const bound = endsWithTest ? ['setpriv', '--pdeathsig', 'TERM'] : [];
  const [command = '', ...rest] = [...bound, process.execPath, programs[program], ...args];
  const child = spawn(command, rest, {
    env: { ...cleanEnvironment(), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    detached,
    cwd: '/',
  });
  let text = '';
  const keep = (chunk: Buffer): void => {
    text = (text + chunk.toString()).slice(-outputCharactersMax);
  };
  child.stdout?.on('data', keep);
  child.stderr?.on('data', keep);
  const { promise: ended, resolve } = Promise.withResolvers<number | string>();
  child.once('error', (error) => resolve(String(error)));
  child.once('exit', (status, signal) => {
    const outcome = status ?? signal ?? 'unknown';
    const timer = systemClock.setTimer(lastWordsMsMax, () => resolve(outcome));
    child.once('close', () => {
      timer[Symbol.dispose]();
      resolve(outcome);
    });
  });
  const hasEnded = (): boolean => child.exitCode !== null || child.signalCode !== null;
  const end = async (signal: NodeJS.Signals = 'SIGTERM'): Promise<number | string> => {
    if (!hasEnded()) child.kill(signal);
    using _timer = systemClock.setTimer(killGraceMs, () => child.kill('SIGKILL'));
    return await ended;
  };
  return {
    child,
    pid: child.pid ?? -1,
    output: () => text,
    ended,
    hasEnded,
    end,
    async [Symbol.asyncDispose]() {
      await end('SIGKILL');
    },
  };
}

/** The test's own environment without what would point our programs somewhere else. */
export function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^(CYBORG_|OS_|NODE_OPTIONS$|VITEST)/.test(name),
    ),
  );
}

export interface UntilOptions {
  readonly timeoutMs: number;
  /** What is waited for, for the error. */
  readonly what: string;
  readonly pauseMs?: number;
  /** More for the error: the output of a process, say. */
  readonly context?: () => string;
}

/** Asks again until the answer is neither undefined nor false. An answer that throws counts as not yet. */
export async function eventually<T>(
  ask: () => Promise<T | undefined | false> | T | undefined | false,
  { timeoutMs, what, pauseMs = 25, context }: UntilOptions,
): Promise<T> {
  const startedMs = systemClock.monotonicMs();
  let lastError: unknown;
  for (;;) {
    try {
      const answer = await ask();
      if (answer !== undefined && answer !== false) return answer;
      lastError = undefined;
    } catch (error) {
      lastError = error;
    }
    if (systemClock.monotonicMs() - startedMs > timeoutMs) {
      const why =
        lastError === undefined
          ? ''
          : ` Last error: ${lastError instanceof Error ? lastError.message : JSON.stringify(lastError)}.`;
      throw new Error(`Not within ${timeoutMs} ms: ${what}.${why}\n${context?.() ?? ''}`);
    }
    await systemClock.sleep(pauseMs);
  }
}

export interface CliResult {
  readonly status: number | string;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs the CLI to its end. */
export async function runCli(args: readonly string[], env: NodeJS.ProcessEnv): Promise<CliResult> {
  const child = spawn(process.execPath, [programs.cli, ...args], {
    env: { ...cleanEnvironment(), ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd: '/',
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const status = await new Promise<number | string>((resolve) => {
    child.once('error', (error) => resolve(String(error)));
    child.once('close', (code, signal) => resolve(code ?? signal ?? 'unknown'));
  });
  return { status, stdout, stderr };
}

/**
 * Below those that Linux gives to connections and to `listen(0)` (from 32,768): nobody gets one of these by chance while
 * the server that it was picked for is started, or started again.
 */
const ports = { first: 20_000, total: 12_000 };
/** A file for each port that a test has, with the process that it runs in: tests of other processes take others. */
const portsFolder = join(tmpdir(), `cyborg-test-ports-${process.getuid?.() ?? 0}`);

/** A port of 127.0.0.1 that nobody listens on, and that hardly any other test gets before this process ends. */
export async function freePort(): Promise<number> {
  mkdirSync(portsFolder, { recursive: true });
  for (let tries = 0; tries < ports.total; tries += 1) {
    const port = ports.first + randomInt(ports.total);
    if (claim(port) && (await isFree(port))) return port;
  }
  throw new Error(`no port of ${ports.total} from ${ports.first} is free: see ${portsFolder}`);
}

function claim(port: number): boolean {
  const file = join(portsFolder, String(port));
  const owner = existsSync(file) ? readFileSync(file, 'utf8') : '';
  if (owner !== '' && !isRunning(Number(owner))) rmSync(file, { force: true });
  try {
    writeFileSync(file, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

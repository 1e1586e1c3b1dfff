import { spawn } from 'node:child_process';
import { join } from 'node:path';

import pg from 'pg';

import { databaseRole } from './cluster.ts';
import { cleanEnvironment } from './command.ts';
import { EmbeddedPostgresError, diskFull, saysDiskFull } from './failure.ts';
import type { PostgresLog } from './log-file.ts';
import { socketPort } from './socket-folder.ts';
import { until } from './until.ts';
import type { EmbeddedClock } from './until.ts';
import type { Way } from './ways.ts';

export interface PostmasterOptions {
  readonly directory: string;
  readonly data: string;
  readonly socketFolder: string;
  readonly way: Way;
  readonly settings: Readonly<Record<string, string>>;
  readonly clock: EmbeddedClock;
  readonly postgresLog: PostgresLog;
  readonly signal: AbortSignal;
}

/** A postgres of ours that has answered a query. */
export interface Postmaster {
  readonly pid: number;
  /** Settles when the process has ended. */
  readonly exited: Promise<void>;
  stop(): Promise<void>;
}

/** Replaying the write-ahead log after a crash may take minutes. */
const readyTimeoutMs = 600_000;
const connectTimeoutMs = 5_000;
const fastStopTimeoutMs = 20_000;
const quitTimeoutMs = 5_000;

/** The one before has left something (shared memory, a pid) that goes away by itself. */
export class StartAgainLater extends Error {
  override readonly name = 'StartAgainLater';
}

/**
 * Starts postgres and waits for its first answer.
 *
 * @throws {StartAgainLater} something of the one before is still in use.
 * @throws {EmbeddedPostgresError} `disk-full`, or `start-failed` with what postgres said.
 */
export async function startPostmaster(options: PostmasterOptions): Promise<Postmaster> {
  const { clock, postgresLog, signal } = options;
  postgresLog.clearTail();
  const running = spawnPostgres(options);
  const isReady = await until(
    async () => running.hasExited() || signal.aborted || (await answers(options.socketFolder)),
    { clock, timeoutMs: readyTimeoutMs },
  );
  if (running.hasExited()) throw startFailure(options.directory, postgresLog.tail());
  const postmaster = { ...running, stop: () => stopPostgres(running, clock) };
  if (isReady && !signal.aborted) return postmaster;
  await postmaster.stop();
  throw new EmbeddedPostgresError(
    'start-failed',
    signal.aborted
      ? 'The start of the embedded PostgreSQL was cancelled.'
      : `PostgreSQL in ${options.directory} did not answer within ${readyTimeoutMs / 1000} s.`,
  );
}

interface Running {
  readonly pid: number;
  readonly exited: Promise<void>;
  hasExited(): boolean;
  kill(signal: NodeJS.Signals): void;
}

function spawnPostgres({ way, postgresLog, ...options }: PostmasterOptions): Running {
  const postgres = join(way.binaries.native, 'bin', 'postgres');
  const [command = postgres, ...args] = [...way.prefix, postgres, ...postgresArguments(options)];
  const child = spawn(command, args, {
    cwd: '/',
    env: cleanEnvironment(),
    stdio: ['ignore', 'pipe', 'pipe'],
    // A session of its own: a terminal's Ctrl-C must not reach it before the server has finished.
    detached: true,
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => postgresLog.write(text));
  }
  let isOver = false;
  const exited = new Promise<void>((resolve) => {
    const end = (): void => {
      isOver = true;
      resolve();
    };
    child.on('error', (error) => {
      postgresLog.write(`${error.message}\n`);
      if (child.pid === undefined) end();
    });
    // Not `close`: a backend that outlives a killed postmaster keeps the streams open.
    child.on('exit', () => setImmediate(end));
  });
  return {
    pid: child.pid ?? 0,
    exited,
    hasExited: () => isOver,
    kill: (signal) => void child.kill(signal),
  };
}

function postgresArguments({
  data,
  socketFolder,
  settings,
}: Pick<PostmasterOptions, 'data' | 'socketFolder' | 'settings'>): string[] {
  const all: Record<string, string> = {
    log_checkpoints: 'off',
    log_timezone: 'UTC',
    timezone: 'UTC',
    ...settings,
    listen_addresses: '',
    port: String(socketPort),
    unix_socket_directories: `"${socketFolder.replaceAll('"', '""')}"`,
    unix_socket_permissions: '0700',
    logging_collector: 'off',
  };
  return [
    '-D',
    data,
    ...Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ];
}

async function answers(socketFolder: string): Promise<boolean> {
  const client = adminClient(socketFolder);
  try {
    await client.connect();
    await client.query('select 1');
    return true;
  } catch (error) {
    // No socket yet, or not ready; any other answer is one, and the next query will say what is wrong.
    return error instanceof pg.DatabaseError && error.code !== startingUp;
  } finally {
    await client.end().catch(() => undefined);
  }
}

/** SQLSTATE cannot_connect_now */
const startingUp = '57P03';

/** A connection to the maintenance database. */
export function adminClient(socketFolder: string): pg.Client {
  const client = new pg.Client({
    host: socketFolder,
    port: socketPort,
    user: databaseRole,
    database: 'postgres',
    ssl: false,
    connectionTimeoutMillis: connectTimeoutMs,
  });
  client.on('error', () => undefined); // its queries fail with the same error
  return client;
}

async function stopPostgres(running: Running, clock: EmbeddedClock): Promise<void> {
  const steps = [
    { signal: 'SIGINT', timeoutMs: fastStopTimeoutMs },
    { signal: 'SIGQUIT', timeoutMs: quitTimeoutMs },
  ] as const;
  for (const { signal, timeoutMs } of steps) {
    if (running.hasExited()) return;
    running.kill(signal);
    await until(() => running.hasExited(), { clock, timeoutMs });
  }
  running.kill('SIGKILL');
  await running.exited;
}

const leftoverPattern = /is still in use|lock file ".*" already exists/;

function startFailure(directory: string, tail: string): Error {
  const said = tail
    .split('\n')
    .filter((line) => /FATAL|PANIC|HINT|error|setpriv|unshare/.test(line))
    .slice(-4)
    .join(' / ');
  if (saysDiskFull(tail)) return diskFull(directory, new Error(tail));
  if (leftoverPattern.test(tail)) return new StartAgainLater(said);
  return new EmbeddedPostgresError(
    'start-failed',
    `PostgreSQL in ${directory} did not start: ${said === '' ? tail.trim() : said} ` +
      `(its log is ${join(directory, 'postgres.log')})`,
  );
}

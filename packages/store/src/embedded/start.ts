import { chmodSync, mkdirSync, realpathSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';

import type { StoreLog } from '../log.ts';
import { findBinaries } from './binaries.ts';
import type { Binaries } from './binaries.ts';
import { databaseRole, prepareCluster } from './cluster.ts';
import { EmbeddedPostgresError, toEmbeddedError } from './failure.ts';
import { lockDirectory } from './lock.ts';
import type { DirectoryLock } from './lock.ts';
import { openPostgresLog } from './log-file.ts';
import { endOrphans } from './orphans.ts';
import { StartAgainLater, adminClient, startPostmaster } from './postmaster.ts';
import type { Postmaster, PostmasterOptions } from './postmaster.ts';
import { clearSocketFolder, makeSocketFolder, socketPort } from './socket-folder.ts';
import { supervise } from './supervise.ts';
import type { EmbeddedStatus } from './supervise.ts';
import type { EmbeddedClock } from './until.ts';
import { chooseWay, refuseForeignData } from './ways.ts';

export interface EmbeddedPostgresOptions {
  /** A folder for the database alone; made when missing. */
  readonly directory: string;
  readonly log: StoreLog;
  readonly clock: EmbeddedClock;
  /** Settings of postgresql.conf; where it listens cannot be changed. */
  readonly settings?: Readonly<Record<string, string>>;
  /** Default: the npm package's. */
  readonly binaries?: Binaries;
}

export interface EmbeddedPostgres {
  /** For `connect` and for any other process of the same user on this machine. */
  readonly url: string;
  readonly socketFolder: string;
  /** Of the postmaster; undefined while it is being restarted. */
  readonly pid: number | undefined;
  status(): EmbeddedStatus;
  /** Stops postgres and gives the directory free. End the pools first: their connections are cut. */
  stop(): Promise<void>;
}

const databaseName = 'cyborg';
/** Shared memory of a killed server is free when its last backend has noticed. */
const leftoverTimeoutMs = 10_000;
const leftoverPauseMs = 200;

/**
 * Starts a real PostgreSQL in `directory` on a unix socket, and starts it again when it dies.
 *
 * Whatever a killed server left there is cleaned up first. It dies with this process.
 *
 * @throws {EmbeddedPostgresError} with a `reason`, and a message that names the way out.
 */
export async function startEmbeddedPostgres(
  options: EmbeddedPostgresOptions,
): Promise<EmbeddedPostgres> {
  try {
    const directory = makeDirectory(options.directory);
    const lock = await lockDirectory(directory, options.clock);
    try {
      return await startLocked({ ...options, directory }, lock);
    } catch (error) {
      lock.release();
      throw error;
    }
  } catch (error) {
    throw toEmbeddedError(options.directory, error);
  }
}

async function startLocked(
  options: EmbeddedPostgresOptions,
  lock: DirectoryLock,
): Promise<EmbeddedPostgres> {
  const { directory, log, clock, settings = {}, binaries = findBinaries() } = options;
  const data = join(directory, 'data');
  refuseForeignData(data);
  await endOrphans({ data, clock, log });
  const way = await chooseWay({ directory, data, binaries, log });
  await prepareCluster({ directory, data, way, log, isSynced: settings['fsync'] !== 'off' });
  const socketFolder = makeSocketFolder({ directory, owner: way.owner });
  const postgresLog = openPostgresLog(join(directory, 'postgres.log'));
  const stopping = new AbortController();
  const start = (): Promise<Postmaster> =>
    startClean(
      { directory, data, socketFolder, way, settings, clock, postgresLog, signal: stopping.signal },
      log,
    );
  const first = await start();
  await ensureDatabase(socketFolder, first);
  log.info({ postgresPid: first.pid, directory, way: way.name }, 'PostgreSQL is ready');
  const supervisor = supervise({ first, start, clock, log, stopping });
  return {
    url: urlOf(socketFolder),
    socketFolder,
    get pid() {
      return supervisor.pid();
    },
    status: () => supervisor.status(),
    stop: async () => {
      await supervisor.stop();
      await endOrphans({ data, clock, log });
      if (dirname(socketFolder) !== directory)
        rmSync(socketFolder, { recursive: true, force: true });
      lock.release();
    },
  };
}

function makeDirectory(given: string): string {
  if (mkdirSync(given, { recursive: true, mode: 0o700 }) !== undefined) chmodSync(given, 0o700);
  return realpathSync(given);
}

async function startClean(options: PostmasterOptions, log: StoreLog): Promise<Postmaster> {
  const { data, clock, socketFolder, directory } = options;
  const end = clock.monotonicMs() + leftoverTimeoutMs;
  for (;;) {
    await endOrphans({ data, clock, log });
    clearSocketFolder(socketFolder);
    try {
      return await startPostmaster(options);
    } catch (error) {
      if (!(error instanceof StartAgainLater)) throw error;
      if (clock.monotonicMs() >= end) throw leftoverFailure(directory, error);
      log.warn({ reason: error.message }, 'PostgreSQL cannot start yet; trying again');
      await clock.sleep(leftoverPauseMs, options.signal);
    }
  }
}

function leftoverFailure(directory: string, cause: StartAgainLater): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    'directory-in-use',
    `Something still uses the database in ${directory} after ${leftoverTimeoutMs / 1000} s: ` +
      `${cause.message}. End that process (it may be in another container) and start again.`,
    cause,
  );
}

async function ensureDatabase(socketFolder: string, postmaster: Postmaster): Promise<void> {
  const client = adminClient(socketFolder);
  try {
    await client.connect();
    const found = await client.query('select 1 from pg_database where datname = $1', [
      databaseName,
    ]);
    if (found.rowCount === 0) await client.query(`create database ${databaseName}`);
  } catch (error) {
    await postmaster.stop();
    throw error;
  } finally {
    await client.end().catch(() => undefined);
  }
}

function urlOf(socketFolder: string): string {
  const query = new URLSearchParams({
    host: socketFolder,
    port: String(socketPort),
    sslmode: 'disable',
  });
  return `postgresql://${databaseRole}@localhost/${databaseName}?${query.toString()}`;
}

import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { join } from 'node:path';

import type { StoreLog } from '../log.ts';
import { runCommand } from './command.ts';
import { EmbeddedPostgresError, diskFull, saysDiskFull } from './failure.ts';
import { giveTo } from './ways.ts';
import type { Way } from './ways.ts';

/** The database's superuser; nobody but the owner of the socket folder can become it. */
export const databaseRole = 'cyborg';

export interface ClusterOptions {
  readonly directory: string;
  readonly data: string;
  readonly way: Way;
  readonly log: StoreLog;
  /** False: a crash of the machine may spoil the new files (tests). */
  readonly isSynced: boolean;
}

const initTimeoutMs = 120_000;

/** Which releases of Cyborg ran which major version of PostgreSQL. Add a line when the pin moves. */
const releaseOfMajor: Readonly<Record<number, string>> = { 18: '0.1' };

/** Makes the data folder ready: new, or checked and given to the user who is to run postgres. */
export async function prepareCluster(options: ClusterOptions): Promise<void> {
  const { data, way } = options;
  if (!existsSync(data)) await initializeCluster(options);
  checkVersion(data, way.version);
  giveTo(way.owner, data);
}

/** Done beside and then renamed, so that a half-made folder is never taken for a database. */
async function initializeCluster({
  directory,
  data,
  way,
  log,
  isSynced,
}: ClusterOptions): Promise<void> {
  const partial = `${data}.partial`;
  rmSync(partial, { recursive: true, force: true });
  mkdirSync(partial, { mode: 0o700 });
  chmodSync(partial, 0o700);
  chownSync(partial, way.owner.uid, way.owner.gid);
  log.info({ directory, version: way.version }, 'creating the embedded database');
  const { status, output } = await runCommand(
    [
      ...way.prefix,
      join(way.binaries.native, 'bin', 'initdb'),
      ...initArguments(partial, isSynced),
    ],
    { timeoutMs: initTimeoutMs, cwd: '/' },
  );
  if (status !== 0) {
    rmSync(partial, { recursive: true, force: true });
    if (saysDiskFull(output)) throw diskFull(directory, new Error(output));
    throw new EmbeddedPostgresError(
      'start-failed',
      `initdb could not create the embedded database in ${directory}: ${lastLines(output)}`,
    );
  }
  renameSync(partial, data);
}

function initArguments(data: string, isSynced: boolean): string[] {
  const sync = isSynced ? [] : ['--no-sync'];
  const where = ['-D', data, '-U', databaseRole, '-E', 'UTF8', '--locale=C.UTF-8'];
  return [...where, ...sync, '--auth-local=trust', '--auth-host=reject', '--no-instructions'];
}

/** @throws {EmbeddedPostgresError} `data-older` or `data-newer`, naming who can read it. */
export function checkVersion(data: string, version: string): void {
  const written = readFileSync(join(data, 'PG_VERSION'), 'utf8').trim();
  const [writtenMajor, ownMajor] = [Number.parseInt(written, 10), Number.parseInt(version, 10)];
  if (writtenMajor === ownMajor) return;
  const release = releaseOfMajor[writtenMajor];
  const reader =
    release === undefined
      ? `any PostgreSQL ${written} server`
      : `Cyborg ${release}, or any PostgreSQL ${written} server`;
  if (writtenMajor > ownMajor) {
    throw new EmbeddedPostgresError(
      'data-newer',
      `The database in ${data} was written by PostgreSQL ${written}; this release has ${version}, which is ` +
        `older and cannot read it. ${capitalize(reader)} can: start the release that wrote it.`,
    );
  }
  throw new EmbeddedPostgresError(
    'data-older',
    `The database in ${data} was written by PostgreSQL ${written}; this release has ${version} and cannot ` +
      `read it. ${capitalize(reader)} can: start it on this directory, dump with pg_dump of version ` +
      `${written} or later, move the directory away, start this release and restore the dump.`,
  );
}

function capitalize(text: string): string {
  return text.slice(0, 1).toUpperCase() + text.slice(1);
}

function lastLines(output: string): string {
  return output.trim().split('\n').slice(-3).join(' / ');
}

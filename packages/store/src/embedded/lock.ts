import { spawnSync } from 'node:child_process';
import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';

import { EmbeddedPostgresError } from './failure.ts';
import { isRunning } from './processes.ts';
import { until } from './until.ts';
import type { EmbeddedClock } from './until.ts';

/** Held by the live server of a directory; the kernel releases it however that process ends. */
export interface DirectoryLock {
  release(): void;
}

/** Of util-linux, as setpriv and unshare are. */
const lockProgram = 'flock';
const flockTimeoutMs = 10_000;
/** flock's exit status when somebody else holds the lock. */
const flockConflict = 1;
/** The threads of a killed process close its files a little after it is gone from sight. */
const dyingTimeoutMs = 3_000;

/**
 * Takes `server.lock` in the directory for this process.
 *
 * flock(1) locks the open file that it inherits from us: the lock lives as long as our descriptor.
 *
 * @throws {EmbeddedPostgresError} `directory-in-use`, naming the process that holds it.
 */
export async function lockDirectory(
  directory: string,
  clock: EmbeddedClock,
): Promise<DirectoryLock> {
  const file = join(directory, 'server.lock');
  const fd = openSync(file, 'a+', 0o600);
  try {
    let isLocked = tryLock(fd);
    await until(() => isLocked || isHolderRunning(file) || (isLocked = tryLock(fd)), {
      clock,
      timeoutMs: dyingTimeoutMs,
    });
    if (!isLocked) throw inUse(directory, file);
    ftruncateSync(fd);
    writeSync(fd, `${process.pid}\n`);
  } catch (error) {
    closeSync(fd);
    throw error;
  }
  return once(() => closeSync(fd));
}

function tryLock(fd: number): boolean {
  const flock = spawnSync(lockProgram, ['-n', '3'], {
    stdio: ['ignore', 'ignore', 'pipe', fd],
    timeout: flockTimeoutMs,
    encoding: 'utf8',
  });
  if (flock.status === 0) return true;
  if (flock.status === flockConflict) return false;
  throw flockFailed(flock.error?.message ?? flock.stderr);
}

function isHolderRunning(file: string): boolean {
  const pid = Number.parseInt(readFileSync(file, 'utf8'), 10);
  return pid > 0 && isRunning(pid);
}

function inUse(directory: string, file: string): EmbeddedPostgresError {
  const pid = readFileSync(file, 'utf8').trim();
  const holder = pid === '' ? 'another process' : `the process with pid ${pid}`;
  return new EmbeddedPostgresError(
    'directory-in-use',
    `The embedded database in ${directory} is in use by ${holder}. ` +
      'Stop that server first, or give this one another --state-dir.',
  );
}

function flockFailed(why: string): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    'start-failed',
    `Cannot lock the embedded database's directory with flock: ${why.trim()}. ` +
      'Install util-linux, or give --database-url with a PostgreSQL of your own.',
  );
}

function once(release: () => void): DirectoryLock {
  let isHeld = true;
  return {
    release(): void {
      if (isHeld) release();
      isHeld = false;
    },
  };
}

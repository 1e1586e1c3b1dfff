import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';

import type { StoreLog } from '../log.ts';
import { EmbeddedPostgresError } from './failure.ts';
import { isPostgresOn, postgresProcessesOn } from './processes.ts';
import { until } from './until.ts';
import type { EmbeddedClock } from './until.ts';

interface OrphanOptions {
  readonly data: string;
  readonly clock: EmbeddedClock;
  readonly log: StoreLog;
}

/** A fast shutdown writes a checkpoint first. */
const fastStopTimeoutMs = 10_000;
const killTimeoutMs = 5_000;

/**
 * Ends what a dead server left running on the data folder, and removes the pid file that would make
 * postgres refuse to start. Only for the holder of the directory's lock: whatever runs is an orphan.
 *
 * @throws {EmbeddedPostgresError} `directory-in-use`: it cannot be ended, say because it is another user's.
 */
export async function endOrphans(options: OrphanOptions): Promise<void> {
  const { data, clock, log } = options;
  const postmaster = postmasterPid(data);
  if (postmaster !== undefined && isPostgresOn(postmaster, data)) {
    log.warn({ postgresPid: postmaster }, 'stopping a PostgreSQL whose server died');
    signal(postmaster, 'SIGINT');
    await until(() => postgresProcessesOn(data).length === 0, {
      clock,
      timeoutMs: fastStopTimeoutMs,
    });
  }
  // Without a postmaster a busy backend goes on until its query ends, and holds the shared memory.
  for (const name of ['SIGQUIT', 'SIGKILL'] as const) {
    const left = postgresProcessesOn(data);
    if (left.length === 0) break;
    log.warn({ pids: left, signal: name }, 'ending what is left of a PostgreSQL whose server died');
    for (const pid of left) signal(pid, name);
    await until(() => postgresProcessesOn(data).length === 0, { clock, timeoutMs: killTimeoutMs });
  }
  const left = postgresProcessesOn(data);
  if (left.length > 0) throw stillThere(data, left);
  // Its pid may be a zombie or another program by now; postgres takes both for a live postmaster.
  rmSync(join(data, 'postmaster.pid'), { force: true });
}

/** The first line of postmaster.pid. */
export function postmasterPid(data: string): number | undefined {
  try {
    const pid = Number.parseInt(readFileSync(join(data, 'postmaster.pid'), 'utf8'), 10);
    return pid > 0 ? pid : undefined;
  } catch {
    return undefined;
  }
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // Gone meanwhile, or not ours: the check after the wait tells.
  }
}

function stillThere(data: string, pids: readonly number[]): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    'directory-in-use',
    `PostgreSQL still runs on ${data} (pid ${pids.join(', ')}) and cannot be stopped by this user. ` +
      'Stop it as the user that owns it, then start again.',
  );
}

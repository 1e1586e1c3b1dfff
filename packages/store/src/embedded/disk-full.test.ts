import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, rmdirSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { systemClock } from '@cyborg/service/clock';
import { quietLog } from '@cyborg/testing/log';
import pg from 'pg';
import { describe, it } from 'vitest';

import { startEmbeddedPostgres } from './start.ts';
import { until } from './until.ts';

const noMount = whyNoMount();

function start(directory: string): ReturnType<typeof startEmbeddedPostgres> {
  return startEmbeddedPostgres({ directory, log: quietLog, clock: systemClock });
}

describe('a full disk', () => {
  it('is named when a new database does not fit', async ({ expect, skip }) => {
    skip(noMount !== undefined, noMount);
    using disk = mountDisk('20m');
    await expect(start(join(disk.path, 'pg'))).rejects.toMatchObject({
      reason: 'disk-full',
      message: expect.stringMatching(/The disk that holds .*pg is full.*Free some space/s),
    });
  });

  it('is named at a start, and the data is there when there is space again', async ({
    expect,
    skip,
  }) => {
    skip(noMount !== undefined, noMount);
    using disk = mountDisk('120m');
    const directory = join(disk.path, 'pg');
    await (await start(directory)).stop();
    fill(join(disk.path, 'filler'));
    await expect(start(directory)).rejects.toMatchObject({ reason: 'disk-full' });
    rmSync(join(disk.path, 'filler'));
    await (await start(directory)).stop();
  });

  it('is the reason that is shown while it keeps a running database down', async ({
    expect,
    skip,
  }) => {
    skip(noMount !== undefined, noMount);
    using disk = mountDisk('120m');
    const postgres = await start(join(disk.path, 'pg'));
    fill(join(disk.path, 'filler'));
    process.kill(postgres.pid ?? 0, 'SIGKILL');
    const isNamed = await until(
      () => {
        const status = postgres.status();
        return status.state === 'restarting' && status.reason.includes('is full');
      },
      { clock: systemClock, timeoutMs: 50_000 },
    );
    expect(isNamed).toBe(true);

    rmSync(join(disk.path, 'filler'));
    const isBack = await until(() => postgres.status().state === 'running', {
      clock: systemClock,
      timeoutMs: 50_000,
    });
    expect(isBack).toBe(true);
    const client = new pg.Client({ connectionString: postgres.url });
    await client.connect();
    await client.end();
    await postgres.stop();
  });
});

interface Disk extends Disposable {
  readonly path: string;
}

/** A small disk of the test's own. */
function mountDisk(size: string): Disk {
  const path = mkdtempSync(join(tmpdir(), 'cyborg-disk-'));
  const mount = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${size},mode=0755`, 'tmpfs', path], {
    encoding: 'utf8',
  });
  if (mount.status !== 0) {
    rmdirSync(path);
    throw new Error(mount.stderr);
  }
  return {
    path,
    [Symbol.dispose](): void {
      spawnSync('umount', ['--lazy', path]);
      rmdirSync(path);
    },
  };
}

function fill(file: string): void {
  const fd = openSync(file, 'w');
  try {
    for (const size of [1 << 20, 4096, 1]) {
      const block = Buffer.alloc(size);
      while (hasWritten(fd, block));
    }
  } finally {
    closeSync(fd);
  }
}

function hasWritten(fd: number, block: Buffer): boolean {
  try {
    return writeSync(fd, block) > 0;
  } catch {
    return false; // full
  }
}

function whyNoMount(): string | undefined {
  try {
    mountDisk('1m')[Symbol.dispose]();
    return undefined;
  } catch (error) {
    return `cannot mount a small disk (root only): ${String(error)}`;
  }
}

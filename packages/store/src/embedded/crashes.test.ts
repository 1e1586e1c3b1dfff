import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { systemClock } from '@cyborg/service/clock';
import { makeTempFolder, startPostgresProgram } from '@cyborg/testing/embedded';
import { quietLog } from '@cyborg/testing/log';
import pg from 'pg';
import { describe, it } from 'vitest';

import { findBinaries } from './binaries.ts';
import { cleanEnvironment } from './command.ts';
import { isRunning, postgresProcessesOn } from './processes.ts';
import { startEmbeddedPostgres } from './start.ts';
import type { EmbeddedPostgres } from './start.ts';
import { until } from './until.ts';
import { chooseWay } from './ways.ts';

function start(directory: string): Promise<EmbeddedPostgres> {
  return startEmbeddedPostgres({ directory, log: quietLog, clock: systemClock });
}

async function connected(url: string | undefined): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

/** A row that was acknowledged before the crash. */
async function commitRow(url: string | undefined): Promise<void> {
  const client = await connected(url);
  await client.query('create table acknowledged as select 1 as x');
  await client.end();
}

async function readRow(postgres: EmbeddedPostgres): Promise<unknown> {
  const client = await connected(postgres.url);
  const { rows } = await client.query<{ x: number }>('select x from acknowledged');
  await client.end();
  return rows;
}

/** A child of a process killed just before may be gone already. */
function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // What was wanted.
  }
}

const within = (timeoutMs: number) => ({ clock: systemClock, timeoutMs });

describe('after kill -9', () => {
  it('of the server alone, its database ends by itself', async ({ expect }) => {
    using folder = makeTempFolder();
    await using server = await startPostgresProgram(folder.path);
    const data = join(folder.path, 'data');
    expect(postgresProcessesOn(data)).toContain(server.report.pid);

    server.child.kill('SIGKILL');

    expect(await until(() => postgresProcessesOn(data).length === 0, within(60_000))).toBe(true);
    expect(existsSync(join(data, 'postmaster.pid'))).toBe(false);
  });

  it('of the server alone, the next one starts at once with what was committed', async ({
    expect,
  }) => {
    using folder = makeTempFolder();
    await using server = await startPostgresProgram(folder.path);
    await commitRow(server.report.url);
    server.child.kill('SIGKILL');
    await until(() => !isRunning(server.child.pid ?? 0), within(60_000));

    const next = await start(folder.path);

    expect(await readRow(next)).toEqual([{ x: 1 }]);
    await next.stop();
  });

  it('of the server and all of PostgreSQL at once, the next one recovers', async ({ expect }) => {
    using folder = makeTempFolder();
    await using server = await startPostgresProgram(folder.path);
    await commitRow(server.report.url);
    const postgres = postgresProcessesOn(join(folder.path, 'data'));
    for (const pid of [...postgres, server.child.pid ?? 0]) kill(pid);
    await until(() => !isRunning(server.child.pid ?? 0), within(60_000));

    const next = await start(folder.path);

    expect(await readRow(next)).toEqual([{ x: 1 }]);
    await next.stop();
  });

  it('of server and postmaster, a busy backend that holds the memory is ended', async ({
    expect,
  }) => {
    using folder = makeTempFolder();
    await using server = await startPostgresProgram(folder.path);
    await commitRow(server.report.url);
    const busy = await connected(server.report.url);
    const { rows } = await busy.query<{ pid: number }>('select pg_backend_pid() as pid');
    const backend = rows[0]?.pid ?? 0;
    const lost = expect(
      busy.query('select count(*) from generate_series(1, 1000000000000)'),
    ).rejects.toThrow();
    for (const pid of [server.report.pid ?? 0, server.child.pid ?? 0]) kill(pid);
    await until(() => !isRunning(server.child.pid ?? 0), within(60_000));

    const next = await start(folder.path);

    await lost;
    expect(isRunning(backend)).toBe(false);
    expect(await readRow(next)).toEqual([{ x: 1 }]);
    await next.stop();
  });

  it('of the postmaster alone, the server starts it again', async ({ expect }) => {
    using folder = makeTempFolder();
    const postgres = await start(folder.path);
    await commitRow(postgres.url);
    const killed = postgres.pid ?? 0;

    process.kill(killed, 'SIGKILL');
    const isAgain = await until(
      () => postgres.status().state === 'running' && postgres.pid !== killed,
      within(60_000),
    );

    expect(isAgain).toBe(true);
    expect(await readRow(postgres)).toEqual([{ x: 1 }]);
    await postgres.stop();
    expect(postgresProcessesOn(join(folder.path, 'data'))).toEqual([]);
  });

  it('of the postmaster while the server stops, nothing is left', async ({ expect }) => {
    using folder = makeTempFolder();
    const postgres = await start(folder.path);
    process.kill(postgres.pid ?? 0, 'SIGKILL');
    await postgres.stop();
    expect(postgresProcessesOn(join(folder.path, 'data'))).toEqual([]);
    await (await start(folder.path)).stop();
  });
});

describe('what a dead server left', () => {
  it('is stopped when it is a PostgreSQL that did not die with it', async ({ expect }) => {
    using folder = makeTempFolder();
    const first = await start(folder.path);
    await commitRow(first.url);
    await first.stop();
    const data = join(folder.path, 'data');
    const orphan = await startOrphan(folder.path, data, first.socketFolder);

    const next = await start(folder.path);

    expect(isRunning(orphan)).toBe(false);
    expect(await readRow(next)).toEqual([{ x: 1 }]);
    await next.stop();
  });

  it('is ignored when its pid belongs to another program now', async ({ expect }) => {
    using folder = makeTempFolder();
    await (await start(folder.path)).stop();
    writePidFile(folder.path, process.pid);
    const next = await start(folder.path);
    expect(next.pid).not.toBe(process.pid);
    await next.stop();
  });

  it('is ignored when it is a zombie that nobody reaps', async ({ expect }) => {
    using folder = makeTempFolder();
    await (await start(folder.path)).stop();
    // The shell becomes a program that never waits for the child it inherits.
    const parent = spawn('/bin/sh', ['-c', 'true & exec sleep 600'], { stdio: 'ignore' });
    try {
      const zombie = await zombieChildOf(parent.pid ?? 0);
      expect(isRunning(zombie)).toBe(false);
      writePidFile(folder.path, zombie);
      await (await start(folder.path)).stop();
    } finally {
      parent.kill('SIGKILL');
    }
  });
});

/** A postgres without the parent-death signal, as an older release or another launcher left it. */
async function startOrphan(directory: string, data: string, socketFolder: string): Promise<number> {
  const way = await chooseWay({ directory, data, binaries: findBinaries(), log: quietLog });
  const prefix = way.prefix.filter((word) => word !== '--pdeathsig' && word !== 'INT');
  const postgres = join(way.binaries.native, 'bin', 'postgres');
  const options = ['-D', data, '-c', 'listen_addresses=', '-k', socketFolder];
  const [command = postgres, ...args] = [...prefix, postgres, ...options];
  const child = spawn(command, args, {
    stdio: 'ignore',
    cwd: '/',
    env: cleanEnvironment(),
    detached: true,
  });
  child.unref();
  const pidFile = join(data, 'postmaster.pid');
  await until(
    () => existsSync(pidFile) && readFileSync(pidFile, 'utf8').includes('ready'),
    within(60_000),
  );
  return child.pid ?? 0;
}

function writePidFile(directory: string, pid: number): void {
  const data = join(directory, 'data');
  const socketFolder = join(directory, 'socket');
  writeFileSync(
    join(data, 'postmaster.pid'),
    `${pid}\n${data}\n1700000000\n5432\n${socketFolder}\n\n  1234 5678\nready\n`,
  );
  writeFileSync(join(socketFolder, '.s.PGSQL.5432.lock'), `${pid}\n${data}\n1700000000\n5432\n\n`);
}

async function zombieChildOf(parent: number): Promise<number> {
  const children = (): number[] =>
    readFileSync(`/proc/${parent}/task/${parent}/children`, 'utf8')
      .split(' ')
      .filter(Boolean)
      .map(Number);
  const isZombie = (pid: number): boolean => / Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  await until(() => children().some(isZombie), within(60_000));
  return children().find(isZombie) ?? 0;
}

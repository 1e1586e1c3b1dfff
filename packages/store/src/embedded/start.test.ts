import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import { systemClock } from '@cyborg/service/clock';
import { makeTempFolder, startPostgresProgram } from '@cyborg/testing/embedded';
import { quietLog } from '@cyborg/testing/log';
import pg from 'pg';
import { describe, it } from 'vitest';

import { startEmbeddedPostgres } from './start.ts';
import type { EmbeddedPostgres } from './start.ts';

function start(directory: string): Promise<EmbeddedPostgres> {
  return startEmbeddedPostgres({
    directory,
    log: quietLog,
    clock: systemClock,
    settings: { fsync: 'off' },
  });
}

async function query(url: string, text: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(text)).rows;
  } finally {
    await client.end();
  }
}

describe('the embedded PostgreSQL', () => {
  it('answers on a unix socket only, and keeps its data over a restart', async ({ expect }) => {
    using folder = makeTempFolder();
    const directory = join(folder.path, 'new', 'postgres');
    const first = await start(directory);
    await query(first.url, 'create table kept as select 7 as x');
    const settings = await query(first.url, 'show listen_addresses');
    await first.stop();
    expect(settings).toEqual([{ listen_addresses: '' }]);
    expect(first.status()).toEqual({ state: 'stopped' });

    const second = await start(directory);
    const kept = await query(second.url, 'select x from kept');
    await second.stop();
    expect(kept).toEqual([{ x: 7 }]);
  });

  it('puts its socket elsewhere when the directory is too deep for one', async ({ expect }) => {
    using folder = makeTempFolder();
    const postgres = await start(join(folder.path, 'd'.repeat(60), 'e'.repeat(60)));
    const rows = await query(postgres.url, 'select 1 as one');
    await postgres.stop();
    expect(rows).toEqual([{ one: 1 }]);
    expect(postgres.socketFolder.startsWith(folder.path)).toBe(false);
    expect(existsSync(postgres.socketFolder)).toBe(false);
  });

  it('refuses a directory whose server lives, naming its pid', async ({ expect }) => {
    using folder = makeTempFolder();
    await using live = await startPostgresProgram(folder.path);
    await expect(start(folder.path)).rejects.toMatchObject({
      reason: 'directory-in-use',
      message: expect.stringContaining(`pid ${live.child.pid}.`),
    });
    expect(await query(live.report.url ?? '', 'select 1 as one')).toEqual([{ one: 1 }]);
  });

  it('lets exactly one of two racing servers have a new directory', async ({ expect }) => {
    using folder = makeTempFolder();
    const [one, two] = await Promise.all([
      startPostgresProgram(folder.path),
      startPostgresProgram(folder.path),
    ]);
    await using _one = one;
    await using _two = two;
    const reasons = new Set([one, two].map(({ report }) => report.reason));
    expect(reasons).toEqual(new Set(['directory-in-use', undefined]));
  });

  it('refuses data of an older PostgreSQL, naming who can read it', async ({ expect }) => {
    using folder = makeTempFolder();
    await (await start(folder.path)).stop();
    const versionFile = join(folder.path, 'data', 'PG_VERSION');
    const own = readFileSync(versionFile, 'utf8');

    writeFileSync(versionFile, '17\n');
    await expect(start(folder.path)).rejects.toMatchObject({
      reason: 'data-older',
      message: expect.stringMatching(
        /written by PostgreSQL 17.*Any PostgreSQL 17.*pg_dump of version 17/s,
      ),
    });
    writeFileSync(versionFile, '99\n');
    await expect(start(folder.path)).rejects.toMatchObject({ reason: 'data-newer' });

    writeFileSync(versionFile, own);
    await (await start(folder.path)).stop();
  });

  it('ends an initialization that was interrupted by starting over', async ({ expect }) => {
    using folder = makeTempFolder();
    const postgres = await start(folder.path);
    await postgres.stop();
    writeFileSync(join(folder.path, 'data.partial'), 'what a killed initdb left');
    const again = await start(folder.path);
    expect(again.pid).toBeGreaterThan(0);
    await again.stop();
  });

  it('says so when the directory is a file', async ({ expect }) => {
    using folder = makeTempFolder();
    const file = join(folder.path, 'file');
    writeFileSync(file, '');
    await expect(start(file)).rejects.toMatchObject({ reason: 'directory-unusable' });
  });
});

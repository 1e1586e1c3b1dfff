import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

import { sql } from 'kysely';
import { describe, it } from 'vitest';

import { openEmptyDatabase, openTestDatabase } from './database.ts';

describe('openTestDatabase', () => {
  it('gives each caller a database of its own', async ({ expect }) => {
    await using one = await openTestDatabase();
    await using other = await openTestDatabase();
    await sql`create table only_here (x int)`.execute(one.db);

    const found = await sql<{
      t: string | null;
    }>`select to_regclass('only_here')::text as t`.execute(other.db);

    expect(found.rows).toEqual([{ t: null }]);
  });

  it('can be opened many times at once', async ({ expect }) => {
    const all = await Promise.all(Array.from({ length: 6 }, () => openTestDatabase()));
    expect(new Set(all.map(({ name }) => name)).size).toBe(6);
    await Promise.all(all.map((database) => database[Symbol.asyncDispose]()));
  });

  it('has a URL that another process can use', async ({ expect }) => {
    await using database = await openTestDatabase();
    const script = `
      import pg from 'pg';
      const client = new pg.Client({ connectionString: process.argv[1] });
      await client.connect();
      console.log((await client.query('select current_database() as name')).rows[0].name);
      await client.end();`;

    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--input-type=module', '-e', script, database.url],
      { cwd: import.meta.dirname, timeout: 60_000 },
    );

    expect(stdout.trim()).toBe(database.name);
  });
});

describe('openEmptyDatabase', () => {
  it('has no tables', async ({ expect }) => {
    await using database = await openEmptyDatabase();
    expect(database.url).toContain(database.name);
  });
});

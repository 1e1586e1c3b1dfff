import { sql } from 'kysely';
import type { Kysely } from 'kysely';
import type { Migration } from 'kysely/migration';
import { openEmptyDatabase } from '@cyborg/testing/database';
import { quietLog } from '@cyborg/testing/log';
import { describe, it } from 'vitest';

import { connect } from './connect.ts';
import { migrateToLatest } from './migrate.ts';
import { migrations } from './migrations/index.ts';
import type { Database } from './schema.ts';

async function withDatabase(
  use: (db: Kysely<Database>, url: string) => Promise<void>,
): Promise<void> {
  await using empty = await openEmptyDatabase();
  const { db } = connect({ url: empty.url, log: quietLog });
  try {
    await use(db, empty.url);
  } finally {
    await db.destroy();
  }
}

const makeTable = (name: string): Migration => ({
  up: async (db) => void (await sql`create table ${sql.table(name)} (x int)`.execute(db)),
});

describe('migrateToLatest', () => {
  it('applies the migrations of this release once', async ({ expect }) => {
    await withDatabase(async (db) => {
      expect((await migrateToLatest(db)).applied).toEqual(Object.keys(migrations).toSorted());
      expect((await migrateToLatest(db)).applied).toEqual([]);
    });
  });

  it('lets servers that start together take turns', async ({ expect }) => {
    await withDatabase(async (db, url) => {
      const other = connect({ url, log: quietLog });
      const both = await Promise.all([migrateToLatest(db), migrateToLatest(other.db)]);
      await other.db.destroy();
      expect(both.flatMap(({ applied }) => applied)).toEqual(Object.keys(migrations).toSorted());
    });
  });

  it('refuses a database of a newer release, with the way out', async ({ expect }) => {
    await withDatabase(async (db) => {
      await migrateToLatest(db, { a: makeTable('a'), b: makeTable('b') });
      await expect(migrateToLatest(db, { a: makeTable('a') })).rejects.toThrow(
        /Downgrade refused.*does not know \(b\).*Start the release that applied them/s,
      );
    });
  });

  it('refuses a database whose migration was another one, and leaves it alone', async ({
    expect,
  }) => {
    await withDatabase(async (db) => {
      const made = (fingerprint: string) => ({ a: { ...makeTable('a'), fingerprint } });
      await migrateToLatest(db, made('one'));
      expect(await migrateToLatest(db, made('one'))).toEqual({ applied: [] });
      const changed = { ...made('two'), b: makeTable('b') };
      await expect(migrateToLatest(db, changed)).rejects.toMatchObject({
        name: 'SchemaDiffers',
        found: 'one',
        wanted: 'two',
      });
      await sql`drop table schema_fingerprint`.execute(db);
      await expect(migrateToLatest(db, changed)).rejects.toMatchObject({ found: null });
      await expect(sql`select from b`.execute(db)).rejects.toThrow('does not exist');
    });
  });

  it('names a migration that fails, and leaves nothing of it', async ({ expect }) => {
    await withDatabase(async (db) => {
      const broken: Migration = {
        up: async (inner) => {
          await sql`create table half (x int)`.execute(inner);
          await sql`select no_such_column`.execute(inner);
        },
      };
      await expect(migrateToLatest(db, { a: makeTable('a'), broken })).rejects.toThrow(
        /The migration broken failed: .*no_such_column/,
      );
      const left = await sql`select 1 where to_regclass('half') is not null`.execute(db);
      expect(left.rows).toEqual([]);
      const fixed = await migrateToLatest(db, { a: makeTable('a'), broken: makeTable('half') });
      expect(fixed.applied).toContain('broken');
    });
  });
});

import { openTestDatabase } from '@cyborg/testing/database';
import { sql } from 'kysely';
import { describe, it } from 'vitest';

import { andCommit, makeNames } from './prepared.ts';

describe('prepared statements', () => {
  it('are named when they come again, and are not without end', ({ expect }) => {
    const names = makeNames();
    const uses = [1, 2, 3, 4, 5].map(() => names.of('select $1'));
    expect(uses).toEqual([undefined, undefined, undefined, 's0_0', 's0_0']);
    for (let text = 0; text < 1000; text++)
      for (let use = 0; use < 4; use++) names.of(`select ${text}`);
    expect(names.of('select 999')).toBeUndefined();
    names.renew();
    for (let use = 0; use < 3; use++) names.of('select $1');
    expect(names.of('select $1')).toBe('s1_0');
  });

  it('are prepared once, and again after a migration changed their table', async ({ expect }) => {
    await using database = await openTestDatabase();
    await database.db.connection().execute(async (db) => {
      const look = () => sql`select * from quota where project_id = ${'x'}`.execute(db);
      for (let n = 0; n < 6; n++) await look();
      const prepared = await sql<{ n: number }>`
        select count(*) as n from pg_prepared_statements where statement like '%from quota%'`.execute(
        db,
      );
      expect(prepared.rows).toEqual([{ n: 1 }]);
      await sql`alter table quota add column note text`.execute(db);
      await expect(look()).rejects.toMatchObject({ code: '0A000' });
      for (let n = 0; n < 6; n++) await look();
    });
  });
});

describe('a transaction', () => {
  it('begins with its first statement, and ends with its last', async ({ expect }) => {
    await using database = await openTestDatabase();
    const { db } = database;
    const count = async (): Promise<number> =>
      (await db.selectFrom('quota').select('type').execute()).length;
    const add = (type: string) =>
      sql`insert into quota (project_id, type, accelerators_max, created_at)
        values ('x', ${type}, 1, ${new Date(0)})`;
    const failing = db.transaction().execute(async (tx) => {
      await add('GPU').execute(tx);
      expect(await count(), 'nobody sees it yet').toBe(0);
      throw new Error('no');
    });
    await expect(failing).rejects.toThrow('no');
    expect(await count()).toBe(0);
    await db.transaction().execute((tx) => add('GPU').execute(tx));
    expect(await count()).toBe(1);
  });

  it('is over with the statement that says so, and undone when that one fails', async ({
    expect,
  }) => {
    await using database = await openTestDatabase();
    const { db } = database;
    const end = sql.raw(andCommit);
    const add = (type: string, accelerators = 1) =>
      sql`insert into quota (project_id, type, accelerators_max, created_at)
        values ('x', ${type}, ${accelerators}, ${new Date(0)})`;
    const types = async () =>
      (await db.selectFrom('quota').select('type').orderBy('type').execute()).map(
        (row) => row.type,
      );
    for (let n = 0; n < 6; n++) {
      await db.transaction().execute(async (tx) => {
        await add(`a${n}`).execute(tx);
        await sql`${add(`b${n}`)} ${end}`.execute(tx);
        expect(await types(), 'everybody sees it').toContain(`b${n}`);
      });
      const failing = db.transaction().execute(async (tx) => {
        await add('never').execute(tx);
        await sql`${add('never', -1)} ${end}`.execute(tx);
      });
      await expect(failing).rejects.toMatchObject({ code: '23514' });
      await db.transaction().execute((tx) => sql`${add(`c${n}`)} ${end}`.execute(tx));
      const thrown = db.transaction().execute(async (tx) => {
        await add('never').execute(tx);
        throw new Error('no');
      });
      await expect(thrown).rejects.toThrow('no');
    }
    const each = [0, 1, 2, 3, 4, 5];
    expect(await types()).toEqual(['a', 'b', 'c'].flatMap((name) => each.map((n) => name + n)));
  });

  it('whose first statement fails is undone, and its connection is good for the next', async ({
    expect,
  }) => {
    await using database = await openTestDatabase();
    const { db } = database;
    for (let n = 0; n < 6; n++) {
      const failing = db.transaction().execute((tx) => sql`select 1 / ${0}::int`.execute(tx));
      await expect(failing).rejects.toMatchObject({ code: '22012' });
    }
    const { rows } = await db
      .transaction()
      .execute((tx) => sql`select ${1}::int as one`.execute(tx));
    expect(rows).toEqual([{ one: 1 }]);
  });

  it('without a statement asks nothing', async ({ expect }) => {
    await using database = await openTestDatabase();
    const { db } = database;
    await db.connection().execute(async (one) => {
      const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(one);
      await one.transaction().execute(async () => {});
      const { rows: last } = await sql<{ query: string }>`
        select query from pg_stat_activity where pid = ${rows[0]?.pid}`.execute(db);
      expect(last[0]?.query).toBe('select pg_backend_pid() as pid');
    });
  });
});

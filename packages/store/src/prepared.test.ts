import { openTestDatabase } from '@cyborg/testing/database';
import { sql } from 'kysely';
import { describe, it } from 'vitest';

import { makeNames } from './prepared.ts';

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

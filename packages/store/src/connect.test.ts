import { sql } from 'kysely';
import { openTestDatabase } from '@cyborg/testing/database';
import { quietLog } from '@cyborg/testing/log';
import { describe, it } from 'vitest';

import { connect } from './connect.ts';
import { isConnectionLost } from './connection-lost.ts';

describe('connect', () => {
  it('survives a connection that is lost inside a transaction', async ({ expect }) => {
    await using database = await openTestDatabase();
    const lost = database.db.transaction().execute(async (tx) => {
      const { rows } = await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(tx);
      await sql`select pg_terminate_backend(${rows[0]?.pid})`.execute(database.db);
      await sql`select 1`.execute(tx);
    });
    const error: unknown = await lost.catch((reason: unknown) => reason);
    expect(isConnectionLost(error)).toBe(true);
    expect((await sql`select 1 as one`.execute(database.db)).rows).toEqual([{ one: 1 }]);
  });

  it('says that the database is away when nobody listens', async ({ expect }) => {
    const { db } = connect({
      url: 'postgresql://cyborg@localhost/x?host=%2Fdoes-not-exist',
      log: quietLog,
    });
    const error: unknown = await sql`select 1`.execute(db).catch((reason: unknown) => reason);
    await db.destroy();
    expect(isConnectionLost(error)).toBe(true);
    expect(isConnectionLost(new Error('syntax error'))).toBe(false);
  });

  it('gives bigints as numbers, and refuses to lose digits', async ({ expect }) => {
    await using database = await openTestDatabase();
    const { rows } =
      await sql`select count(*) as n, max(9007199254740991::bigint) as most from pg_class
      where relkind = '?' or relname = 'pg_class'`.execute(database.db);
    expect(rows).toEqual([{ n: 1, most: 9007199254740991 }]);
    const tooBig = sql`select 9007199254740993::bigint as x`.execute(database.db);
    await expect(tooBig).rejects.toThrow('beyond 2^53');
  });
});

/** Rows written, as PostgreSQL's own statistics count them. */
import type pg from 'pg';

export interface RowChanges {
  readonly inserted: number;
  readonly updated: number;
  readonly transactions: number;
}

/** Runs the work and says what one of its `cycles` wrote on average. */
export async function countRowChanges<T>(
  pool: pg.Pool,
  cycles: number,
  work: () => Promise<T>,
): Promise<{ result: T; rows: RowChanges }> {
  const before = await read(pool);
  const result = await work();
  const after = await read(pool);
  return {
    result,
    rows: {
      inserted: (after.inserted - before.inserted) / cycles,
      updated: (after.updated - before.updated) / cycles,
      transactions: (after.transactions - before.transactions) / cycles,
    },
  };
}

async function read(pool: pg.Pool): Promise<RowChanges> {
  const client = await pool.connect();
  try {
    // Backends report what they did when they are idle for a second, unless asked.
    await client.query('select pg_stat_force_next_flush()');
    const { rows } = await client.query<Record<keyof RowChanges, string>>(
      `select (select sum(n_tup_ins) from pg_stat_user_tables) as inserted,
              (select sum(n_tup_upd) from pg_stat_user_tables) as updated,
              (select xact_commit from pg_stat_database where datname = current_database()) as transactions`,
    );
    return {
      inserted: Number(rows[0]?.inserted),
      updated: Number(rows[0]?.updated),
      transactions: Number(rows[0]?.transactions),
    };
  } finally {
    client.release();
  }
}

/**
 * The database's clock as a `Clock`-like `now()`: the one query in the project that reads it (leases and graces of all
 * replicas are on one clock). Between readings, time runs on the process's monotonic clock.
 */
import { sql, type Kysely } from 'kysely';

import type { Database } from './schema.ts';

export interface DatabaseClock {
  now(): Date;
  /** Reads the database's clock again; call it every few seconds. */
  refresh(): Promise<void>;
}

/** @throws {Error} when the database does not answer. */
export async function openDatabaseClock(
  db: Kysely<Database>,
  monotonicMs: () => number,
): Promise<DatabaseClock> {
  let offsetMs = 0;
  const refresh = async (): Promise<void> => {
    const before = monotonicMs();
    const { rows } = await sql<{ at: Date }>`select clock_timestamp() as at`.execute(db);
    const middle = (before + monotonicMs()) / 2;
    const at = rows[0]?.at;
    if (at !== undefined) offsetMs = at.getTime() - middle;
  };
  await refresh();
  return { now: () => new Date(Math.round(monotonicMs() + offsetMs)), refresh };
}

import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';

import type { StoreLog } from './log.ts';
import { preparing } from './prepared.ts';
import type { Database } from './schema.ts';

export interface ConnectOptions {
  /** `postgresql://…`; with `?host=/folder` a unix socket. */
  readonly url: string;
  readonly log: StoreLog;
  /** Connections at most; default 20. */
  readonly poolSizeMax?: number;
  /** Shown in pg_stat_activity. */
  readonly applicationName?: string;
}

export interface Connection {
  readonly db: Kysely<Database>;
  readonly pool: pg.Pool;
}

const poolSizeDefault = 20;
const connectTimeoutMs = 10_000;
const idleTimeoutMs = 30_000;
/** A transaction that its owner forgot (or that died with a suspended machine) must not hold its locks. */
const idleInTransactionTimeoutMs = 60_000;

/**
 * Opens a pool; nothing is connected before the first query. End it with `db.destroy()`.
 *
 * `bigint` and `count(*)` arrive as numbers; one beyond 2^53 throws instead of losing digits.
 */
export function connect({ url, log, poolSizeMax, applicationName }: ConnectOptions): Connection {
  const pool = new pg.Pool({
    connectionString: url,
    max: poolSizeMax ?? poolSizeDefault,
    connectionTimeoutMillis: connectTimeoutMs,
    idleTimeoutMillis: idleTimeoutMs,
    idle_in_transaction_session_timeout: idleInTransactionTimeoutMs,
    application_name: applicationName ?? 'cyborg',
    keepAlive: true,
    // For `begin` with the first statement (prepared.ts); nobody else sends before an answer came.
    pipeline: true,
    types: { getTypeParser: typeParser },
  });
  handlePoolErrors(pool, log);
  return {
    db: new Kysely<Database>({ dialect: new PostgresDialect({ pool: preparing(pool) }) }),
    pool,
  };
}

/**
 * A lost connection emits `error` on the pool (idle client) or on the client (checked out);
 * without a handler on both, it ends the process.
 */
export function handlePoolErrors(pool: pg.Pool, log: StoreLog): void {
  const report = (error: Error & { readonly code?: string }): void => {
    if (pool.ending) return; // its connections may go before they have said goodbye
    // The error carries the whole client with it: only what tells something is logged.
    log.warn({ code: error.code, reason: error.message }, 'lost a database connection');
  };
  pool.on('error', report);
  pool.on('connect', (client) => client.on('error', report));
}

const typeParser: pg.CustomTypesConfig['getTypeParser'] = (oid, format) =>
  oid === pg.types.builtins.INT8 ? parseBigint : pg.types.getTypeParser(oid, format);

function parseBigint(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) {
    throw new RangeError(
      `The database sent the bigint ${text}, beyond 2^53: it cannot be a number.`,
    );
  }
  return value;
}

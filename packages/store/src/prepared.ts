/**
 * Two economies of round trips and planning on every connection.
 *
 * A transaction's `begin` waits for its first statement and goes out with it, in one write; a transaction without any
 * statement asks nothing of the database. A last statement that is marked as such takes `commit` along.
 *
 * Prepares statements that come again: planning is a third of the time of a reservation. A statement is named on its
 * fourth use, so that texts of one use (lists of varying length) do not fill every connection.
 */
import type { PostgresPool, PostgresPoolClient, PostgresQueryResult } from 'kysely';
import type pg from 'pg';

const usesBeforeNaming = 3;
const namesMax = 256;
const textsMax = 2048;

/** PostgreSQL's code for "cached plan must not change result type": a migration changed a table meanwhile. */
const stalePlanCode = '0A000';

/** The same pool for Kysely, whose statements get names. */
export function preparing(pool: pg.Pool): PostgresPool {
  const names = makeNames();
  const clients = new WeakMap<pg.PoolClient, PostgresPoolClient>();
  return {
    options: pool.options,
    end: () => pool.end(),
    async connect() {
      const client = await pool.connect();
      const known = clients.get(client) ?? wrap(client, names);
      clients.set(client, known);
      return known;
    },
  };
}

export interface Names {
  /** Undefined for a statement that has not come often enough. */
  of(text: string): string | undefined;
  /** Later statements get other names, so that they are prepared anew. */
  renew(): void;
}

export function makeNames(): Names {
  let generation = 0;
  let uses = new Map<string, number>();
  let named = new Map<string, string>();
  return {
    of(text) {
      const name = named.get(text);
      if (name !== undefined || named.size >= namesMax) return name;
      if (uses.size >= textsMax) uses = new Map();
      const count = (uses.get(text) ?? 0) + 1;
      uses.set(text, count);
      if (count <= usesBeforeNaming) return undefined;
      uses.delete(text);
      const fresh = `s${generation}_${named.size}`;
      named.set(text, fresh);
      return fresh;
    },
    renew() {
      generation += 1;
      named = new Map();
    },
  };
}

const begin = 'begin';
const commit = 'commit';
/**
 * Ends a statement with which its transaction is over: `commit` goes out with it, in one write. When the statement fails,
 * PostgreSQL takes the commit for a rollback.
 */
export const andCommit = '/* and commit */';
const nothing = { command: 'SELECT', rowCount: 0, rows: [] } as const;

function wrap(client: pg.PoolClient, names: Names): PostgresPoolClient {
  let isToBegin = false;
  let isOver = false;
  async function query<R>(
    text: string,
    values: readonly unknown[],
  ): Promise<PostgresQueryResult<R>> {
    if (text === begin) {
      isToBegin = true;
      isOver = false;
      return { ...nothing, rows: [] };
    }
    const isFirst = isToBegin;
    isToBegin = false;
    const isEnd = text === commit || text === 'rollback';
    if (isEnd && (isFirst || isOver)) return { ...nothing, rows: [] };
    const name = values.length === 0 ? undefined : names.of(text);
    const statement = { ...(name !== undefined && { name }), text, values: [...values] };
    isOver = text.endsWith(andCommit);
    try {
      return await sendWith<R>(client, statement, { isFirst, isLast: isOver });
    } catch (error) {
      if (name !== undefined && isStalePlan(error)) names.renew();
      throw error;
    }
  }
  return {
    // Kysely asks for cursors only when it was given some.
    query: query as PostgresPoolClient['query'],
    release: (destroy) => {
      isToBegin = false;
      isOver = false;
      client.release(destroy);
    },
  };
}

/** Should `begin` fail, the connection is lost or its transaction aborted, and so does what was sent behind it. */
async function sendWith<R>(
  client: pg.PoolClient,
  statement: pg.QueryConfig,
  { isFirst, isLast }: { readonly isFirst: boolean; readonly isLast: boolean },
): Promise<PostgresQueryResult<R>> {
  if (!isFirst && !isLast) return await send<R>(client, statement);
  const { stream } = client.connection;
  stream.cork();
  const begun = isFirst ? client.query(begin) : undefined;
  const sent = send<R>(client, statement);
  const ended = isLast ? client.query(commit) : undefined;
  stream.uncork();
  // All are waited for, also when one fails: the connection is free only then.
  const [first, result, last] = await Promise.allSettled([begun, sent, ended]);
  if (first.status === 'rejected') throw first.reason;
  if (result.status === 'rejected') throw result.reason;
  if (last.status === 'rejected') throw last.reason;
  return result.value;
}

async function send<R>(
  client: pg.PoolClient,
  statement: pg.QueryConfig,
): Promise<PostgresQueryResult<R>> {
  return (await client.query(statement)) as unknown as PostgresQueryResult<R>;
}

function isStalePlan(error: unknown): boolean {
  return (
    typeof error === 'object' && error !== null && 'code' in error && error.code === stalePlanCode
  );
}

import { sql, type Kysely, type RawBuilder, type SqlBool } from 'kysely';

import type { AcceleratorRow } from './holdings.ts';
import type { BackendState } from './schema-deployments.ts';
import type { Database } from './schema.ts';

/** An accelerator that might be given out, with what its backend and host say. */
export type CandidateRow = AcceleratorRow & {
  readonly backend: string;
  readonly backend_state: BackendState;
  readonly backend_status: 'enabled' | 'disabled';
  readonly host: string;
};

export type Locking = 'skip-locked' | 'wait' | 'none';

export interface CandidateQuery {
  /** On `accelerator a join backend b`. */
  readonly fits: RawBuilder<SqlBool>;
  readonly limit: number;
  readonly locking: Locking;
  /** NUMA nodes that it had better be on; empty or absent: whatever comes first. */
  readonly nodes?: readonly number[] | undefined;
}

const lockings: Readonly<Record<Locking, RawBuilder<unknown>>> = {
  'skip-locked': sql`for update of a skip locked`,
  wait: sql`for update of a`,
  none: sql``,
};

/**
 * The limit is in the text: as a parameter it keeps PostgreSQL from ever settling on one plan.
 *
 * The nearest first, in id order, locked. With `wait`, rows that others hold are waited for, at most the transaction's lock timeout, and
 * left out when they no longer fit.
 */
export async function pickCandidates(
  tx: Kysely<Database>,
  { fits, limit, locking, nodes = [] }: CandidateQuery,
): Promise<CandidateRow[]> {
  const { rows } = await sql<CandidateRow>`
    select a.*, b.state as backend_state, b.status as backend_status, b.name as backend, h.name as host
    from accelerator a join backend b on b.id = a.backend_id join host h on h.id = a.host_id
    where ${fits} order by ${nearestFirst(nodes)} a.id limit ${sql.lit(limit)} ${lockings[locking]}`.execute(
    tx,
  );
  return rows;
}

/** Where the instance's nodes are not known, the index gives the order. */
function nearestFirst(nodes: readonly number[]): RawBuilder<unknown> {
  if (nodes.length === 0) return sql``;
  return sql`case when a.numa_node is null then 1 when a.numa_node = any(${nodes}::integer[]) then 0 else 2 end,`;
}

/** From here on the transaction waits at most so long for a lock; then PostgreSQL says 55P03. */
export async function setLockTimeout(tx: Kysely<Database>, timeoutMs: number): Promise<void> {
  await sql`select set_config('lock_timeout', ${`${Math.round(timeoutMs)}ms`}, true)`.execute(tx);
}

export interface KindRow {
  readonly driver_id: string;
  readonly type: string;
  readonly backend: string;
  readonly free: number;
  /** Some of the free ones, by name. */
  readonly accelerators: readonly { readonly id: string; readonly name: string }[];
}

/** More than a person picks from by hand. */
const acceleratorsPerKindMax = 8;

/** Kinds that fit, by driver, type and backend. */
export async function listKinds(
  db: Kysely<Database>,
  fits: RawBuilder<SqlBool>,
): Promise<KindRow[]> {
  const { rows } = await sql<KindRow>`
    select a.driver_id, a.type, concat(h.name, '@', b.name) as backend, count(*) as free,
      to_jsonb((array_agg(jsonb_build_object('id', a.id, 'name', a.name) order by a.name, a.id)
        )[1:${sql.lit(acceleratorsPerKindMax)}]) as accelerators
    from accelerator a join backend b on b.id = a.backend_id join host h on h.id = a.host_id
    where ${fits} group by a.driver_id, a.type, h.name, b.name
    order by a.driver_id, a.type, h.name, b.name`.execute(db);
  return rows;
}

export interface FreeType {
  readonly type: string;
  readonly free: number;
}

/** Types that fit; that of the lowest id first. */
export async function listFreeTypes(
  db: Kysely<Database>,
  fits: RawBuilder<SqlBool>,
): Promise<FreeType[]> {
  const { rows } = await sql<FreeType>`
    select a.type, count(*) as free
    from accelerator a join backend b on b.id = a.backend_id join host h on h.id = a.host_id
    where ${fits} group by a.type order by min(a.id::text)`.execute(db);
  return rows;
}

export async function driverIds(db: Kysely<Database>): Promise<string[]> {
  const rows = await db.selectFrom('driver').select('id').orderBy('id').limit(1000).execute();
  return rows.map((row) => row.id);
}

/** What reconcilers look for among the operations on accelerators that have not ended. */
import { sql, type Kysely, type RawBuilder } from 'kysely';

import type { OperationRow } from './operations.ts';
import type { Database } from './schema.ts';

const ours = sql`o.kind in ('attach-instance', 'detach-instance')
  and o.state in ('queued', 'running', 'waiting')`;

/** Whether `listOverdueOperations` finds any. */
export function hasOverdueOperations(now: Date): RawBuilder<boolean> {
  return sql`exists (select from operation o where ${ours} and o.deadline_at <= ${now})`;
}

/** Whose time is up, the longest first. */
export async function listOverdueOperations(
  db: Kysely<Database>,
  { now, limit }: { readonly now: Date; readonly limit: number },
): Promise<(OperationRow & { readonly host: string | null })[]> {
  const { rows } = await sql<OperationRow & { host: string | null }>`
    select o.*, h.name as host from operation o left join host h on h.id = o.host_id
    where ${ours} and o.deadline_at <= ${now} order by o.deadline_at limit ${limit}`.execute(db);
  return rows;
}

export interface HostTurn {
  readonly id: string;
  readonly is_up: boolean;
}

/** That wait for a host which is up again, or go on with one that is down. */
export async function listHostTurns(
  db: Kysely<Database>,
  { now, limit }: { readonly now: Date; readonly limit: number },
): Promise<HostTurn[]> {
  const { rows } = await sql<HostTurn>`
    select id, is_up ${turns(now)} order by created_at limit ${limit}`.execute(db);
  return rows;
}

/** Whether `listHostTurns` finds any. */
export function hasHostTurns(now: Date): RawBuilder<boolean> {
  return sql`exists (select ${turns(now)})`;
}

function turns(now: Date): RawBuilder<unknown> {
  return sql`from (
      select o.id, o.state, o.created_at, coalesce(h.lease_expires_at > ${now}, false) as is_up
      from operation o join host h on h.id = o.host_id where ${ours}) as open
    where is_up = (state = 'waiting')`;
}

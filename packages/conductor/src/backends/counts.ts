/** Accelerators of the rows of one page: by index, whatever the fleet has beside them. */
import { sql } from 'kysely';

import type { Db } from '../deps.ts';
import { acceleratorsInScope, type Scope } from '../scope.ts';

export interface Count {
  readonly total: number;
  readonly free: number;
}

const none: Count = { total: 0, free: 0 };

export type Counts = (id: string) => Count;

/** Counts those that the caller sees: row by row of the page, so that the fleet is never scanned. */
export async function countAccelerators(
  db: Db,
  scope: Scope,
  { by, ids }: { readonly by: 'backend_id' | 'device_id'; readonly ids: readonly string[] },
): Promise<Counts> {
  if (ids.length === 0) return () => none;
  const column = sql.ref(`accelerator.${by}`);
  const { rows } = await sql<{ id: string; total: number; free: number }>`
    select page.id, counted.total, counted.free
    from unnest(${ids}::uuid[]) as page(id), lateral (
      select count(*) as total, count(*) filter (where state = 'available') as free
      from accelerator where ${column} = page.id and ${acceleratorsInScope(scope)}) as counted`.execute(
    db,
  );
  const byId = new Map(rows.map((row) => [row.id, row]));
  return (id) => byId.get(id) ?? none;
}

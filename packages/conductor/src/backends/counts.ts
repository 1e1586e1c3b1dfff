/** Accelerators of the rows of one page: by index, whatever the fleet has beside them. */
import { sql } from 'kysely';

import type { Db } from '../deps.ts';
import { acceleratorsInScope, type Scope } from '../scope.ts';

export interface Count {
  readonly total: number;
  readonly free: number;
  readonly cleaning_failed: number;
}

export const none: Count = { total: 0, free: 0, cleaning_failed: 0 };

export interface CountView {
  readonly accelerators_total: number;
  readonly accelerators_free: number;
  /** They stay out until somebody does something about it. */
  readonly accelerators_cleaning_failed: number;
}

export function toCountView(count: Count): CountView {
  return {
    accelerators_total: count.total,
    accelerators_free: count.free,
    accelerators_cleaning_failed: count.cleaning_failed,
  };
}

/** Of accelerators. */
export const counts = sql`count(*) as total, count(*) filter (where state = 'available') as free,
  count(*) filter (where state = 'cleaning_failed') as cleaning_failed`;

export type Counts = (id: string) => Count;

/** Counts those that the caller sees: row by row of the page, so that the fleet is never scanned. */
export async function countAccelerators(
  db: Db,
  scope: Scope,
  {
    by,
    ids,
  }: { readonly by: 'host_id' | 'backend_id' | 'device_id'; readonly ids: readonly string[] },
): Promise<Counts> {
  if (ids.length === 0) return () => none;
  const column = sql.ref(`accelerator.${by}`);
  const { rows } = await sql<Count & { readonly id: string }>`
    select page.id, counted.*
    from unnest(${ids}::uuid[]) as page(id), lateral (
      select ${counts} from accelerator where ${column} = page.id and ${acceleratorsInScope(scope)}) as counted`.execute(
    db,
  );
  const byId = new Map(rows.map((row) => [row.id, row]));
  return (id) => byId.get(id) ?? none;
}

import { sql, type Kysely, type Selectable } from 'kysely';

import type { Database, DeviceProfileTable } from '../schema.ts';
import { inBatches, isAfter, type Sort } from './batches.ts';

export interface V2ProfileRow extends Selectable<DeviceProfileTable> {
  readonly sort_value: string;
}

const byNumber: Sort = { expression: sql`t.number`, type: 'integer', direction: 'asc' };

/** @param names  undefined = all. */
export function streamProfiles(
  db: Kysely<Database>,
  { names }: { readonly names: readonly string[] | undefined },
): AsyncGenerator<readonly V2ProfileRow[]> {
  const named = names === undefined ? sql`` : sql`and t.name = any(${names}::text[])`;
  return inBatches<V2ProfileRow>(async (last, wanted) => {
    const { rows } = await sql<V2ProfileRow>`
      select t.*, t.number::text as sort_value from device_profile t
      where ${isAfter(byNumber, last)} ${named}
      order by t.number limit ${sql.lit(wanted)}`.execute(db);
    return rows;
  });
}

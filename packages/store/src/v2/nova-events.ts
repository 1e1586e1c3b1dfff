/** The outbox of what Nova is to be told of its accelerator requests. */
import type { Insertable, Kysely } from 'kysely';

import { insertMany } from '../bulk.ts';
import type { NovaEventTable } from '../schema-openstack.ts';
import type { Database } from '../schema.ts';

export type NewNovaEvent = Pick<
  Insertable<NovaEventTable>,
  'id' | 'attachment_id' | 'instance_id' | 'status' | 'created_at'
>;

export async function insertNovaEvents(
  tx: Kysely<Database>,
  rows: readonly NewNovaEvent[],
): Promise<void> {
  const columns = [
    'id',
    'attachment_id',
    'instance_id',
    'status',
    'attempts',
    'created_at',
  ] as const;
  await insertMany(tx, {
    table: 'nova_event',
    columns,
    rows: rows.map((row) => ({ ...row, attempts: 0 })),
  });
}

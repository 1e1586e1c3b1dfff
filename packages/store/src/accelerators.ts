import { sql, type Kysely, type RawBuilder, type SqlBool } from 'kysely';

import type { AcceleratorRow } from './holdings.ts';
import { isOnPage, orderOf, type PageOfIds } from './page-of-ids.ts';
import type { BackendState } from './schema-deployments.ts';
import type { Database } from './schema.ts';

/** With what its host, backend and device say. */
export type ListedAcceleratorRow = AcceleratorRow & {
  readonly host: string;
  readonly simulated: boolean;
  readonly backend: string;
  readonly backend_state: BackendState;
  readonly address: string | null;
};

/** In the page's order. */
export async function listAccelerators(
  db: Kysely<Database>,
  page: PageOfIds,
): Promise<ListedAcceleratorRow[]> {
  const { rows } = await sql<ListedAcceleratorRow>`
    select accelerator.*, host.name as host, host.simulated, backend.name as backend,
      backend.state as backend_state, device.address
    from accelerator
    join backend on backend.id = accelerator.backend_id
    join host on host.id = accelerator.host_id
    join device on device.id = accelerator.device_id
    where ${isOnPage('accelerator', page)} order by ${orderOf('accelerator', page.order)}`.execute(
    db,
  );
  return rows;
}

export async function findAccelerator(
  db: Kysely<Database>,
  id: string,
  visible: RawBuilder<SqlBool>,
): Promise<ListedAcceleratorRow | undefined> {
  const [row] = await listAccelerators(db, {
    anyOf: [visible],
    conditions: [sql`accelerator.id = ${id}::uuid`],
    limit: 1,
  });
  return row;
}

export type EditableColumns = Pick<
  AcceleratorRow,
  | 'name'
  | 'description'
  | 'labels'
  | 'before_tenant'
  | 'reserved_for'
  | 'operator_choice'
  | 'operator_reason'
  | 'resetless_reason'
  | 'state'
  | 'reason'
  | 'epoch'
  | 'doubt'
>;

/** Writes what an operator or tenant may edit. The row is locked by the caller. */
export async function updateAccelerator(
  tx: Kysely<Database>,
  id: string,
  changes: EditableColumns & { readonly updated_at: Date },
): Promise<void> {
  await tx
    .updateTable('accelerator')
    .set({
      ...changes,
      labels: JSON.stringify(changes.labels),
      before_tenant: changes.before_tenant && JSON.stringify(changes.before_tenant),
    })
    .where('id', '=', id)
    .execute();
}

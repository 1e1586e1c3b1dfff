/**
 * Accelerators with the attachments that hold them, locked for a change.
 *
 * The row lock of an accelerator guards its live attachment too: whoever changes either takes it first, in id order.
 */
import { liveAttachmentStates } from '@cyborg/model/attachment-lifecycle';
import {
  sql,
  type Kysely,
  type RawBuilder,
  type Selectable,
  type SqlBool,
  type Transaction,
} from 'kysely';

import { refusedPrefix } from './refused-orders.ts';
import type { AcceleratorTable } from './schema-inventory.ts';
import type { AttachmentTable, Database } from './schema.ts';

export type AttachmentRow = Selectable<AttachmentTable>;
export type AcceleratorRow = Selectable<AcceleratorTable>;
export interface LockOptions {
  readonly ids: readonly string[];
  /** Leaves out those that somebody else has locked, instead of waiting. */
  readonly skipLocked?: boolean | undefined;
  /** For rehearsals: reads only. */
  readonly withoutLock?: boolean | undefined;
}

/** In id order. */
export function lockAccelerators(
  tx: Kysely<Database>,
  { ids, skipLocked, withoutLock }: LockOptions,
): Promise<AcceleratorRow[]> {
  let query = tx
    .selectFrom('accelerator')
    .selectAll()
    .where(sql<SqlBool>`id = any(${ids}::uuid[])`)
    .orderBy('id');
  if (withoutLock !== true) query = query.forUpdate();
  if (withoutLock !== true && skipLocked === true) query = query.skipLocked();
  return query.execute();
}

/** The live attachments of accelerators that are locked already. */
export function listLiveAttachments(
  tx: Kysely<Database>,
  acceleratorIds: readonly string[],
): Promise<AttachmentRow[]> {
  return tx
    .selectFrom('attachment')
    .selectAll()
    .where(sql<SqlBool>`accelerator_id = any(${acceleratorIds}::uuid[])`)
    .where('state', 'in', liveAttachmentStates)
    .execute();
}

/** Whether `listReservedAcceleratorIds` finds any. */
export const hasReserved: RawBuilder<boolean> = sql`exists (
  select from attachment where state = 'reserved' and origin = 'cyborg' and accelerator_id is not null
    and allocation is distinct from 'wanted')`;

/** Accelerators of attachments that are to be given out: the oldest first. What Placement has yet to allow waits. */
export async function listReservedAcceleratorIds(
  db: Kysely<Database>,
  limit: number,
): Promise<string[]> {
  const rows = await db
    .selectFrom('attachment')
    .select('accelerator_id')
    .where('state', '=', 'reserved')
    .where('origin', '=', 'cyborg')
    .where('accelerator_id', 'is not', null)
    .where(sql<SqlBool>`allocation is distinct from 'wanted'`)
    .orderBy('created_at')
    .limit(limit)
    .execute();
  return rows.flatMap(({ accelerator_id: id }) => (id === null ? [] : [id]));
}

/** Accelerators whose attachments stand in the same request as one of these attachments. */
export async function listSiblingAcceleratorIds(
  tx: Transaction<Database>,
  { hostId, attachmentIds }: { readonly hostId: string; readonly attachmentIds: readonly string[] },
): Promise<string[]> {
  if (attachmentIds.length === 0) return [];
  const { rows } = await sql<{ accelerator_id: string }>`
    select sibling.accelerator_id from attachment given
    join operation o on o.id = given.operation_id
    join attachment sibling on sibling.operation_id = o.id and sibling.host_id = ${hostId}
    where given.id = any(${attachmentIds}::uuid[]) and given.host_id = ${hostId}
      and o.kind = 'attach-instance' and o.state in ('queued', 'running', 'waiting')
      and sibling.state <> 'released' and sibling.accelerator_id is not null`.execute(tx);
  return rows.map((row) => row.accelerator_id);
}

/**
 * Raises the epochs of what is detached or cleaned just now above `floor`, as each act that takes an accelerator does.
 * The names of devices stay: the epoch that gave them is kept.
 */
export async function renewEpochsOfReturns(
  tx: Transaction<Database>,
  { now, floor }: { readonly now: Date; readonly floor: number },
): Promise<void> {
  const reason = sql`case when starts_with(reason, ${refusedPrefix}) then null else reason end`;
  await sql`
    with taken as (
      update accelerator a set epoch = greatest(a.epoch, ${floor}::bigint) + 1, reason = ${reason}, updated_at = ${now}
      where a.state = 'cleaning' or exists (
        select from attachment t where t.id = a.attachment_id and t.state = 'detaching')
      returning a.attachment_id, a.epoch)
    update attachment t set epoch = taken.epoch, reason = ${reason}, updated_at = ${now}
    from taken where t.id = taken.attachment_id and t.state = 'detaching'`.execute(tx);
}

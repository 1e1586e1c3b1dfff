/** All rows that one act changes, and their events, in one statement: one round trip whatever their number. */
import { sql, type Kysely, type RawBuilder } from 'kysely';

import type { AcceleratorRow, AttachmentRow } from './holdings.ts';
import type { OperationRow } from './operations.ts';
import type { Database } from './schema.ts';

export type NewAttachment = Omit<AttachmentRow, 'number'>;

export interface EventChange {
  readonly at: Date;
  readonly kind: string;
  readonly subject_kind: string;
  readonly subject_id: string;
  readonly host_id: string | null;
  readonly project_id: string | null;
  readonly user_id: string | null;
  readonly data: Readonly<Record<string, unknown>>;
}

export interface LedgerChanges {
  readonly accelerators: readonly AcceleratorRow[];
  readonly attachments: readonly AttachmentRow[];
  readonly newAttachments: readonly NewAttachment[];
  readonly operations: readonly OperationRow[];
  readonly newOperations: readonly OperationRow[];
  readonly events: readonly EventChange[];
}

const acceleratorColumns = [
  'state',
  'reason',
  'epoch',
  'attachment_id',
  'instance_id',
  'project_id',
  'operation_id',
  'updated_at',
] as const;

const attachmentColumns = [
  'state',
  'reason',
  'observed',
  'epoch',
  'device_epoch',
  'operation_id',
  'updated_at',
] as const;

const newAttachmentColumns = [
  ...attachmentColumns,
  'id',
  'accelerator_id',
  'host_id',
  'instance_id',
  'project_id',
  'user_id',
  'origin',
  'plugged_by',
  'profile_id',
  'profile_group',
  'attempts',
  'created_at',
] as const;

const operationColumns = [
  'state',
  'progress_done',
  'progress_total',
  'results',
  'error',
  'updated_at',
  'finished_at',
] as const;

const newOperationColumns = [
  ...operationColumns,
  'id',
  'kind',
  'subject',
  'host_id',
  'user_id',
  'project_id',
  'deadline_at',
  'attempts',
  'created_at',
] as const;

const eventColumns = [
  'at',
  'kind',
  'subject_kind',
  'subject_id',
  'host_id',
  'project_id',
  'user_id',
  'data',
] as const;

export async function writeLedgerChanges(
  tx: Kysely<Database>,
  changes: LedgerChanges,
): Promise<void> {
  const parts = [
    update('accelerator', acceleratorColumns, changes.accelerators),
    update('attachment', attachmentColumns, changes.attachments),
    insert('attachment', newAttachmentColumns, changes.newAttachments),
    update('operation', operationColumns, changes.operations),
    insert('operation', newOperationColumns, changes.newOperations),
    insert('event', eventColumns, changes.events),
  ].filter((part) => part !== undefined);
  if (parts.length === 0) return;
  const named = parts.map((part, index) => sql`${sql.ref(`part${index}`)} as (${part})`);
  await sql`with ${sql.join(named)} select 1`.execute(tx);
}

type Part = RawBuilder<unknown> | undefined;

function update(table: string, columns: readonly string[], rows: readonly object[]): Part {
  if (rows.length === 0) return undefined;
  const set = columns.map((column) => sql`${sql.ref(column)} = ${sql.ref(`given.${column}`)}`);
  return sql`update ${sql.table(table)} as kept set ${sql.join(set)}
    from ${recordset(table, ['id', ...columns], rows)} as given where kept.id = given.id`;
}

/** In the order of the rows, so that events keep theirs. */
function insert(table: string, columns: readonly string[], rows: readonly object[]): Part {
  if (rows.length === 0) return undefined;
  const names = sql.join(columns.map((column) => sql.ref(column)));
  return sql`insert into ${sql.table(table)} (${names}) select ${names}
    from ${recordset(table, columns, rows)} with ordinality as given order by given.ordinality`;
}

function recordset(
  table: string,
  columns: readonly string[],
  rows: readonly object[],
): RawBuilder<unknown> {
  const wanted = new Set(columns);
  const given = rows.map((row) =>
    Object.fromEntries(Object.entries(row).filter(([column]) => wanted.has(column))),
  );
  const json = JSON.stringify(given);
  return sql`jsonb_populate_recordset(null::${sql.table(table)}, ${json}::jsonb)`;
}

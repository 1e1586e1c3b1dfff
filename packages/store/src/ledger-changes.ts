/** All rows that one act changes, and their events, in one statement: one round trip whatever their number. */
import { sql, type Kysely, type RawBuilder } from 'kysely';

import type { AcceleratorRow, AttachmentRow } from './holdings.ts';
import type { OperationRow } from './operations.ts';
import { andCommit } from './prepared.ts';
import type { Database } from './schema.ts';

export type NewAttachment = Omit<
  AttachmentRow,
  'number' | 'trace_parent' | 'again_at' | 'again_count' | 'left_addresses'
>;

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
  readonly newAttachments: readonly Omit<AttachmentRow, 'number'>[];
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
  'programming_id',
  'program_failure',
  'trace_parent',
  'updated_at',
] as const;

const attachmentColumns = [
  'state',
  'accelerator_id',
  'host_id',
  'instance_id',
  'project_id',
  'reason',
  'observed',
  'epoch',
  'device_epoch',
  'was_bound',
  'hostname',
  'operation_id',
  'bind_id',
  'again_at',
  'again_count',
  'left_addresses',
  'trace_parent',
  'updated_at',
] as const;

const newAttachmentColumns = [
  ...attachmentColumns,
  'id',
  'user_id',
  'origin',
  'plugged_by',
  'profile_id',
  'profile_group',
  'allocation',
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
  'trace_parent',
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

/** The text of each part, made once: it is on the path of every reservation. */
const statements = {
  accelerators: updateOf('accelerator', acceleratorColumns),
  attachments: updateOf('attachment', attachmentColumns),
  newAttachments: insertOf('attachment', newAttachmentColumns),
  operations: updateOf('operation', operationColumns),
  newOperations: insertOf('operation', newOperationColumns),
  events: insertOf('event', eventColumns),
} as const satisfies Record<keyof LedgerChanges, Statement>;

const kinds = Object.keys(statements) as (keyof LedgerChanges)[];

/** PostgreSQL's division_by_zero: how a statement says that the one beside it wrote nothing. */
const nothingBesideCode = '22012';

/**
 * Writes the changes and ends the transaction, in one write to the database.
 *
 * @param beside  one more statement, with `returning`, that is sent along and must write a row.
 * @returns false when that one wrote none: then nothing is changed.
 */
export async function writeLastLedgerChanges(
  tx: Kysely<Database>,
  changes: LedgerChanges,
  beside?: RawBuilder<unknown>,
): Promise<boolean> {
  const parts = partsOf(changes);
  if (beside !== undefined) parts.push(sql`beside as (${beside})`);
  if (parts.length === 0) return true;
  const check = beside === undefined ? sql`1` : sql`1 / count(*) from beside`;
  const end = sql.raw(andCommit);
  try {
    await sql`with ${sql.join(parts)} select ${check} ${end}`.execute(tx);
    return true;
  } catch (error) {
    if (codeOf(error) === nothingBesideCode) return false;
    throw error;
  }
}

function codeOf(error: unknown): unknown {
  return typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
}

export async function writeLedgerChanges(
  tx: Kysely<Database>,
  changes: LedgerChanges,
): Promise<void> {
  const parts = partsOf(changes);
  if (parts.length > 0) await sql`with ${sql.join(parts)} select 1`.execute(tx);
}

function partsOf(changes: LedgerChanges): RawBuilder<unknown>[] {
  return kinds
    .filter((kind) => changes[kind].length > 0)
    .map((kind) => toPart(kind, changes[kind]));
}

interface Statement {
  readonly columns: ReadonlySet<string>;
  /** Around the parameter with the rows. */
  readonly before: RawBuilder<unknown>;
  readonly after: RawBuilder<unknown>;
}

function toPart(kind: keyof LedgerChanges, rows: readonly object[]): RawBuilder<unknown> {
  const { columns, before, after } = statements[kind];
  const given = rows.map((row) =>
    Object.fromEntries(Object.entries(row).filter(([column]) => columns.has(column))),
  );
  return sql`${before}${JSON.stringify(given)}${after}`;
}

function updateOf(table: string, columns: readonly string[]): Statement {
  const set = columns.map((column) => `"${column}" = given."${column}"`).join(', ');
  return {
    columns: new Set(['id', ...columns]),
    before: sql.raw(`"changed_${table}" as (update "${table}" as kept set ${set}
      from jsonb_populate_recordset(null::"${table}", `),
    after: sql.raw('::jsonb) as given where kept.id = given.id)'),
  };
}

/** In the order of the rows, so that events keep theirs. */
function insertOf(table: string, columns: readonly string[]): Statement {
  const names = columns.map((column) => `"${column}"`).join(', ');
  return {
    columns: new Set(columns),
    before: sql.raw(`"new_${table}" as (insert into "${table}" (${names}) select ${names}
      from jsonb_populate_recordset(null::"${table}", `),
    after: sql.raw('::jsonb) with ordinality as given order by given.ordinality)'),
  };
}

/** What columns of many tables have in common. */
import type { ColumnType, Generated } from 'kysely';

/** A jsonb column: read as its value, written as JSON text (pg would write an array as a PostgreSQL array). */
export type Json<T> = ColumnType<T, string, string>;
export type JsonWithDefault<T> = ColumnType<T, string | undefined, string>;
export type Instant = ColumnType<Date, Date, Date>;
/** int8, read as a number: epochs and event numbers stay below 2^53 (connect.ts sets the parser). */
export type BigInteger = number;
export type Strings = Readonly<Record<string, string>>;

export interface Timestamps {
  created_at: Instant;
  updated_at: Instant | null;
}

/** The state row is the work item. */
export interface WorkItem {
  next_attempt_at: Instant | null;
  attempts: Generated<number>;
  claimed_by: string | null;
  claim_expires_at: Instant | null;
}

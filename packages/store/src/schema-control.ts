/** What the control plane keeps of itself: the ledger's name, replicas, events, answers. */
import type { ColumnType, Generated, GeneratedAlways } from 'kysely';

import type { BigInteger, Instant, Json, Timestamps } from './schema-columns.ts';

export interface LedgerTable extends Timestamps {
  only_row: Generated<boolean>;
  id: string;
  incarnation: number;
}

export interface ConsoleKeyTable {
  only_row: Generated<boolean>;
  /** 32 bytes, in base64. */
  key: string;
  created_at: Instant;
}

export interface ReplicaTable {
  id: string;
  name: string;
  role: 'api' | 'conductor' | 'all';
  version: string;
  started_at: Instant;
  lease_expires_at: Instant;
}

export interface EventTable {
  id: GeneratedAlways<BigInteger>;
  number: BigInteger | null;
  at: Instant;
  kind: string;
  subject_kind: string;
  subject_id: string;
  host_id: string | null;
  project_id: string | null;
  user_id: string | null;
  data: Json<Readonly<Record<string, unknown>>>;
}

export interface EventCounterTable {
  only_row: Generated<boolean>;
  last: BigInteger;
  forgotten: Generated<BigInteger>;
}

export interface KeptEventTable extends Omit<
  EventTable,
  'id' | 'number' | 'subject_kind' | 'subject_id'
> {
  accelerator_id: string;
  number: BigInteger;
}

export interface IdempotencyKeyTable {
  scope: string;
  key: string;
  body_hash: string;
  status: number | null;
  response: ColumnType<unknown, string | null, string | null>;
  created_at: Instant;
}

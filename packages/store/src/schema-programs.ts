/** The tables of program images (migrations/program-tables.ts). */
import type { Generated } from 'kysely';

import type { BigInteger, Instant, Timestamps, WorkItem } from './schema-columns.ts';

/** A v2 PATCH that had to write a program image first. */
export interface ArqBindTable {
  id: string;
  state: 'started' | 'bound' | 'failed';
  reason: string | null;
  /** Until then, and while `is_held`, its caller waits for the answer: a failure is the answer's to tell. */
  held_until: Instant;
  is_held: Generated<boolean>;
  created_at: Instant;
  finished_at: Instant | null;
}

export interface StagedImageTable extends Timestamps {
  id: string;
  /** Glance's; null = uploaded. */
  image_id: string | null;
  name: string;
  /** null while it is still coming. */
  sha256: string | null;
  size_bytes: Generated<BigInteger>;
  pieces: Generated<number>;
  used_at: Instant;
}

export interface StagedImagePieceTable {
  staged_image_id: string;
  number: number;
  data: Buffer;
}

export type ProgrammingState = 'staging' | 'writing' | 'succeeded' | 'failed';

/** The writing of a program image into a deployable. */
export interface ProgrammingTable extends Timestamps, WorkItem {
  id: string;
  deployable_id: string;
  /** Which its driver is told: one of the deployable's. */
  accelerator_id: string;
  host_id: string;
  bind_id: string | null;
  operation_id: string | null;
  /** Glance's; null = uploaded. */
  image_id: string | null;
  image_name: string;
  function_id: string | null;
  staged_image_id: string | null;
  /** What was asked for; null = whatever the image has. */
  sha256: string | null;
  state: ProgrammingState;
  progress_percent: Generated<number>;
  reason: string | null;
  epoch: BigInteger;
  user_id: string;
  project_id: string;
  deadline_at: Instant;
  finished_at: Instant | null;
  /** W3C traceparent of what it is done for. */
  trace_parent: string | null;
}

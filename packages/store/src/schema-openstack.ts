/** What is between the ledger and OpenStack: what Nova said and is to be told, and what Placement has. */
import type { ColumnType, Generated } from 'kysely';

import type { Instant, JsonWithDefault, Timestamps, WorkItem } from './schema-columns.ts';

/** What Nova last said of an instance. */
export interface NovaServerTable extends WorkItem {
  instance_id: string;
  /** `ACTIVE`, `SHUTOFF`, …; null until Nova has answered once. */
  status: string | null;
  /** What Nova is doing with it; null: nothing. */
  task_state: string | null;
  is_locked: Generated<boolean>;
  /** Nova's name of the compute service's host; `host.service_host` is the same. */
  host: string | null;
  node_name: string | null;
  /** Since when Nova says that it is deleted, or that there is no such server. */
  gone_at: Instant | null;
  looked_at: Instant | null;
}

export interface NovaWatchTable extends Omit<WorkItem, 'attempts'> {
  only_row: Generated<boolean>;
  read_until: Instant | null;
}

/** What Nova is to be told: `accelerator-request-bound`. */
export interface NovaEventTable extends WorkItem {
  id: string;
  attachment_id: string;
  instance_id: string;
  status: 'completed' | 'failed';
  created_at: Instant;
}

/** What a resource provider of ours says in Placement. */
export interface ProviderContent {
  /** Of the compute node: the provider under which it is nested. */
  readonly node_name: string;
  readonly resource_class: string;
  readonly total: number;
  readonly reserved: number;
  /** In the order of the alphabet. */
  readonly traits: readonly string[];
}

/** Why a provider waits: for Placement, its host's compute node, allocations that hold it, others' providers, an answer. */
export type PlacementTrouble = 'outage' | 'no-node' | 'in-use' | 'foreign' | 'refused';

/** `next_attempt_at` set: Placement says something else than the ledger, or may. */
export interface PlacementProviderTable extends Timestamps, WorkItem {
  rp_uuid: string;
  name: string;
  deployable_id: string;
  host_id: string;
  /** What was written last; null = nothing yet. */
  synced: ColumnType<ProviderContent | null, string | null, string | null>;
  /** Placement's, after the last write or check. */
  generation: number | null;
  /** What may be there because of us, written down before it is put there. */
  owned_classes: JsonWithDefault<readonly string[]>;
  owned_traits: JsonWithDefault<readonly string[]>;
  /** It is there, and ours. */
  is_made: Generated<boolean>;
  /** +1 whenever a difference is seen: a change during an attempt is not taken for done. */
  noticed: Generated<number>;
  trouble: PlacementTrouble | null;
  reason: string | null;
  waiting_since: Instant | null;
  checked_at: Instant | null;
}

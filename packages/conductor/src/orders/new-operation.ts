import type { OperationKind } from '@cyborg/model/operation-lifecycle';
import { traceParent } from '@cyborg/service/tracing';
import type { OperationRow } from '@cyborg/store/operations';

import type { Act } from '../transaction.ts';
import { pendingResults } from './results.ts';

export interface NewOperation {
  readonly id: string;
  readonly kind: OperationKind;
  readonly subject: Readonly<Record<string, unknown>>;
  readonly host: { readonly id: string; readonly name: string };
  /** One result each, pending. */
  readonly acceleratorIds: readonly string[];
  readonly userId: string;
  readonly projectId: string;
  readonly deadlineSeconds: number;
}

/** An operation on accelerators of one host, running from the start. */
export function newOperation({ now }: Act, made: NewOperation): OperationRow {
  return {
    id: made.id,
    kind: made.kind,
    state: 'running',
    subject: made.subject,
    progress_done: 0,
    progress_total: made.acceleratorIds.length,
    results: pendingResults(made.host.name, made.acceleratorIds),
    error: null,
    host_id: made.host.id,
    user_id: made.userId,
    project_id: made.projectId,
    deadline_at: new Date(now.getTime() + made.deadlineSeconds * 1000),
    next_attempt_at: null,
    attempts: 0,
    claimed_by: null,
    claim_expires_at: null,
    trace_parent: traceParent(),
    created_at: now,
    updated_at: null,
    finished_at: null,
  };
}

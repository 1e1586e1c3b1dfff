import type { Caller } from '@cyborg/model/caller';
import type { OperationKind } from '@cyborg/model/operation-lifecycle';
import { traceParent } from '@cyborg/service/tracing';
import { toJson } from '@cyborg/store/json';
import type { OperationResult } from '@cyborg/store/schema';

import type { ConductorDeps } from '../deps.ts';
import { toOperationView, type OperationView } from '../operations/read-operations.ts';
import { recordEvents } from '../record-event.ts';
import type { Act } from '../transaction.ts';

export interface NewOperation {
  readonly caller: Caller;
  readonly kind: OperationKind;
  readonly subject: Readonly<Record<string, unknown>>;
  readonly results: readonly OperationResult[];
}

/** An operation that hosts will carry out; one without anything to do has succeeded already. */
export async function addHostOperation(
  deps: Pick<ConductorDeps, 'rng' | 'limits'>,
  running: Act,
  { caller, kind, subject, results }: NewOperation,
): Promise<OperationView> {
  const { tx, now } = running;
  const done = results.filter(({ outcome }) => outcome !== 'pending').length;
  const isOver = results.every(({ outcome }) => outcome === 'succeeded');
  const row = await tx
    .insertInto('operation')
    .values({
      id: deps.rng.uuid(),
      kind,
      state: isOver ? 'succeeded' : 'running',
      subject: toJson(subject),
      progress_done: done,
      progress_total: results.length,
      results: toJson(results),
      user_id: caller.userId,
      project_id: caller.projectId,
      deadline_at: new Date(now.getTime() + deps.limits.waitForHostSeconds * 1000),
      finished_at: isOver ? now : null,
      trace_parent: traceParent(),
      created_at: now,
    })
    .returningAll()
    .executeTakeFirstOrThrow();
  await recordEvents(running, [
    {
      kind: isOver ? 'operation.succeeded' : 'operation.running',
      subjectKind: 'operation',
      subjectId: row.id,
      projectId: caller.projectId,
      userId: caller.userId,
      data: { kind, ...subject },
    },
  ]);
  running.wakeUps.add('deployments');
  return toOperationView(row);
}

/** Operations on drivers and discoveries: done when every host has come where it should, or has failed. */
import { isDeepStrictEqual } from 'node:util';

import { sql } from 'kysely';

import { nextState } from '@cyborg/model/lifecycle';
import { operationLifecycle, type OperationEvent } from '@cyborg/model/operation-lifecycle';
import { traced } from '@cyborg/service/tracing';
import type { OperationRow } from '@cyborg/store/operations';
import { toJson } from '@cyborg/store/json';
import type { OperationResult } from '@cyborg/store/schema';

import type { ConductorDeps } from '../deps.ts';
import { changedAt } from '../etag.ts';
import type { PassReport, Reconciler } from '../reconciler.ts';
import { recordEvents } from '../record-event.ts';
import { watchHostsReturn } from '../reconcilers/hosts-return.ts';
import { conductorSpans } from '../spans.ts';
import { act, type Act } from '../transaction.ts';
import {
  judgeDiscovery,
  judgeInstall,
  judgeUninstall,
  type DiscoverySubject,
  type InstallSubject,
  type UninstallSubject,
} from './judge.ts';
import { judgeRestart, type RestartSubject } from './judge-restart.ts';

const kinds = [
  'install-driver',
  'update-driver',
  'uninstall-driver',
  'discover-services',
  'restart-backend',
] as const;

export function advanceHostOperations(deps: ConductorDeps): Reconciler {
  const areHostsBack = watchHostsReturn(deps);
  return {
    name: 'advance-host-operations',
    periodMs: deps.limits.idlePassMs,
    due: () => sql`exists (select from operation
      where state in ('queued', 'running', 'waiting') and kind = any(${kinds}::text[]))`,
    topics: ['deployments'],
    async pass(signal): Promise<PassReport> {
      const open = await deps.db
        .selectFrom('operation')
        .select('id')
        .where('state', 'in', ['queued', 'running', 'waiting'])
        .where('kind', 'in', [...kinds])
        .orderBy('created_at')
        .execute();
      let ended = 0;
      for (const { id } of open) {
        if (signal.aborted) break;
        if (await advance(deps, id, areHostsBack())) ended += 1;
      }
      return { found: open.length, full: false, notes: { ended } };
    },
  };
}

function advance(deps: ConductorDeps, id: string, mayExpire: boolean): Promise<boolean> {
  return act(deps, async (running) => {
    const row = await running.tx
      .selectFrom('operation')
      .selectAll()
      .where('id', '=', id)
      .where('state', 'in', ['queued', 'running', 'waiting'])
      .forUpdate()
      .skipLocked()
      .executeTakeFirst();
    if (row === undefined) return false;
    const judged = await judgeOperation(running, row);
    const results = mayExpire ? expire(judged, row, running.now) : judged;
    const event = eventFor(results);
    const state = event === 'stay' ? row.state : moved(row, event);
    if (state !== row.state || !isDeepStrictEqual(results, row.results)) {
      const attributes = { 'cyborg.operation_id': row.id, 'cyborg.operation_state': state };
      await traced(conductorSpans.advance, { parent: row.trace_parent, attributes }, () =>
        write(running, row, { state, results }),
      );
    }
    return operationLifecycle.rules[state].settled;
  });
}

/** The subject was written by us, in the act that made the operation. */
function judgeOperation(running: Act, row: OperationRow): Promise<OperationResult[]> {
  const subject: unknown = row.subject;
  if (row.kind === 'uninstall-driver') return judgeUninstall(running, subject as UninstallSubject);
  if (row.kind === 'discover-services') return judgeDiscovery(running, subject as DiscoverySubject);
  if (row.kind === 'restart-backend') return judgeRestart(running, subject as RestartSubject);
  return judgeInstall(running, subject as InstallSubject, row.results);
}

/** After its deadline what is pending has failed; the wish stays, and is carried out when the host is back. */
function expire(
  results: readonly OperationResult[],
  row: OperationRow,
  now: Date,
): OperationResult[] {
  if (row.deadline_at === null || row.deadline_at > now) return [...results];
  return results.map((result) =>
    result.outcome === 'pending'
      ? {
          ...result,
          outcome: 'failed',
          message: `not done in time (${result.message ?? 'the host has not reported it'}); it is still wanted, and done when the host can`,
        }
      : result,
  );
}

function eventFor(results: readonly OperationResult[]): OperationEvent | 'stay' {
  const pending = results.filter(({ outcome }) => outcome === 'pending');
  if (pending.length > 0) {
    const areAllDown = pending.every(({ message }) => message?.startsWith('waiting for the host'));
    return areAllDown ? 'wait-for-host' : 'start';
  }
  return results.some(({ outcome }) => outcome === 'failed') ? 'fail' : 'succeed';
}

function moved(row: OperationRow, event: OperationEvent): OperationRow['state'] {
  const target = { 'wait-for-host': 'waiting', start: 'running' } as const;
  if (event === 'wait-for-host' || event === 'start') {
    if (row.state === target[event]) return row.state;
  }
  return nextState(operationLifecycle, row.state, event);
}

async function write(
  running: Act,
  row: OperationRow,
  { state, results }: { state: OperationRow['state']; results: readonly OperationResult[] },
): Promise<void> {
  const failed = results.filter(({ outcome }) => outcome === 'failed');
  const isOver = operationLifecycle.rules[state].settled;
  const done = results.filter(({ outcome }) => outcome !== 'pending').length;
  const error = state === 'failed' ? errorOf(failed) : null;
  await running.tx
    .updateTable('operation')
    .set({
      state,
      results: toJson(results),
      progress_done: done,
      progress_total: results.length,
      error,
      finished_at: isOver ? running.now : null,
      updated_at: changedAt(row, running.now),
    })
    .where('id', '=', row.id)
    .execute();
  await recordEvents(running, [
    {
      kind: state === row.state ? 'operation.progressed' : `operation.${state}`,
      subjectKind: 'operation',
      subjectId: row.id,
      projectId: row.project_id,
      userId: row.user_id,
      data: { kind: row.kind, done, total: results.length, error },
    },
  ]);
  running.wakeUps.add(`operation:${row.id}`);
}

function errorOf(failed: readonly OperationResult[]): string {
  const [first] = failed;
  if (first === undefined) return 'It failed.';
  const more = failed.length > 1 ? ` (and ${failed.length - 1} more)` : '';
  return `${first.subject}: ${first.message ?? 'failed'}${more}`;
}

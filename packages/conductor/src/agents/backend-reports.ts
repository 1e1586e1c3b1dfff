/** What a host says of its backends. */
import { updateMany } from '@cyborg/store/bulk';
import type { BackendTable } from '@cyborg/store/schema-deployments';
import { sql, type Selectable } from 'kysely';

import { drainingReason } from '../deployments/removing.ts';
import { recordEvents } from '../record-event.ts';
import type { Act } from '../transaction.ts';
import type { AgentHost } from './credentials.ts';
import { finishRemovals } from './removals.ts';
import { noteSetupRequired } from './setup-condition.ts';

export interface BackendReport {
  readonly backend_id: string;
  readonly generation: number;
  readonly discovery: number;
  readonly state: 'ready' | 'stale' | 'failed' | 'blocked' | 'removed';
  readonly reason: string | null;
  readonly refused?: boolean | undefined;
}

type Row = Selectable<BackendTable>;
const written = [
  'state',
  'reason',
  'stale_since',
  'observed_generation',
  'refused_generation',
  'discovery_done',
] as const satisfies readonly (keyof Row)[];
type Reported = Pick<Row, (typeof written)[number]>;

export async function applyBackendReports(
  act: Act,
  host: AgentHost,
  reports: readonly BackendReport[],
): Promise<void> {
  if (reports.length === 0) return;
  const ids = reports.map(({ backend_id }) => backend_id);
  const rows = await act.tx
    .selectFrom('backend')
    .selectAll()
    .where('host_id', '=', host.id)
    .where('id', '=', sql<string>`any(${ids}::uuid[])`)
    .orderBy('id')
    .forUpdate()
    .execute();
  const byId = new Map(reports.map((report) => [report.backend_id, report]));
  const changed = [];
  const removed: string[] = [];
  for (const row of rows) {
    const report = byId.get(row.id);
    if (report === undefined) continue;
    if (isRemoval(row, report)) removed.push(row.id);
    const after = afterReport(row, report, act.now);
    if (written.some((name) => !isEqual(row[name], after[name]))) {
      changed.push({ before: row, after: { ...row, ...after } });
    }
  }
  // No `updated_at`: its ETag is about what people edit, not about what a host reports.
  await updateMany(act.tx, {
    table: 'backend',
    columns: written,
    rows: changed.map(({ after }) => after),
  });
  await tellChanges(act, changed);
  await finishRemovals(act, { backendIds: removed });
  if (changed.length > 0) await noteSetupRequired(act, [host.id]);
}

function isEqual(a: unknown, b: unknown): boolean {
  return a instanceof Date && b instanceof Date ? a.getTime() === b.getTime() : a === b;
}

function isRemoval(row: Row, report: BackendReport): boolean {
  return (
    row.state === 'removing' && report.state === 'removed' && report.generation >= row.generation
  );
}

function afterReport(row: Row, report: BackendReport, now: Date): Reported {
  const progress = {
    observed_generation: Math.max(row.observed_generation, report.generation),
    refused_generation: refusedGeneration(row, report),
    discovery_done: Math.max(row.discovery_done, report.discovery),
  };
  if (row.state === 'removing' || report.state === 'removed') {
    const isDone = isRemoval(row, report);
    return {
      state: row.state,
      stale_since: row.stale_since,
      reason: isDone ? row.reason : (report.reason ?? row.reason),
      discovery_done: progress.discovery_done,
      refused_generation: row.refused_generation,
      observed_generation: isDone ? progress.observed_generation : row.observed_generation,
    };
  }
  if (row.state === 'draining') {
    const isWell = report.state === 'ready';
    const trouble = `${drainingReason}; its host says: ${report.state}: ${report.reason ?? '(no reason)'}`;
    return {
      ...progress,
      state: row.state,
      reason: isWell ? drainingReason : trouble,
      stale_since: isWell ? null : (row.stale_since ?? now),
    };
  }
  // Of an older generation: how the new wish fares is not known yet.
  const isPendingStill = report.generation < row.generation && row.state === 'pending';
  return {
    ...progress,
    state: isPendingStill ? row.state : report.state,
    reason: report.reason,
    stale_since: report.state === 'ready' ? null : (row.stale_since ?? now),
  };
}

function refusedGeneration(row: Row, report: BackendReport): number | null {
  if (report.refused === true) return report.generation;
  // What it says of an older wish does not undo its word about this one.
  return report.generation < row.generation ? row.refused_generation : null;
}

async function tellChanges(
  act: Act,
  changed: readonly { readonly before: Row; readonly after: Row }[],
): Promise<void> {
  await recordEvents(
    act,
    changed.map(({ before, after }) => ({
      kind:
        before.state === after.state && before.discovery_done < after.discovery_done
          ? 'backend.discovered'
          : `backend.${after.state}`,
      subjectKind: 'backend',
      subjectId: after.id,
      hostId: after.host_id,
      data: {
        name: after.name,
        reason: after.reason,
        generation: after.observed_generation,
        discovery: after.discovery_done,
      },
    })),
  );
  if (changed.length > 0) act.wakeUps.add('deployments');
}

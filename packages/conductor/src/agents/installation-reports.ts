/** What a host says of its installations: the state walks through its machine to the one reported. */
import { isDeepStrictEqual } from 'node:util';

import {
  installationLifecycle,
  type InstallationEvent,
  type InstallationState,
} from '@cyborg/model/installation-lifecycle';
import { nextState } from '@cyborg/model/lifecycle';
import { updateMany } from '@cyborg/store/bulk';
import type {
  BackendStats,
  DriverLogLine,
  InstallationTable,
} from '@cyborg/store/schema-deployments';
import { sql, type Selectable } from 'kysely';

import { recordEvents } from '../record-event.ts';
import type { Act } from '../transaction.ts';
import type { AgentHost } from './credentials.ts';
import { finishRemovals } from './removals.ts';

export interface InstallationReport {
  readonly installation_id: string;
  readonly generation: number;
  readonly state: 'fetching' | 'starting' | 'ready' | 'updating' | 'blocked' | 'failed' | 'removed';
  readonly running_version: string | null;
  readonly reason: string | null;
  readonly quarantined?: boolean | undefined;
  readonly restart?: number | undefined;
  readonly log?: readonly DriverLogLine[] | undefined;
  readonly stats?: Readonly<Record<string, BackendStats>> | undefined;
}

type Row = Selectable<InstallationTable>;

/** Events that follow from what the host did, as against `remove`, which is somebody's wish. */
const hostsEvents = ['fetch', 'start', 'ready', 'update', 'block', 'fail', 'removed'] as const;

/** True when the machine allows the way from one state to the other by what a host can do. */
export function canReach(from: InstallationState, to: InstallationState): boolean {
  const seen = new Set<InstallationState>([from]);
  for (const state of seen) {
    for (const event of hostsEvents) {
      const next = nextOf(state, event);
      if (next !== undefined) seen.add(next);
    }
  }
  return seen.has(to);
}

function nextOf(state: InstallationState, event: InstallationEvent): InstallationState | undefined {
  return installationLifecycle.rules[state].on[event];
}

export async function applyInstallationReports(
  act: Act,
  host: AgentHost,
  reports: readonly InstallationReport[],
): Promise<void> {
  if (reports.length === 0) return;
  const ids = reports.map(({ installation_id }) => installation_id);
  const rows = await act.tx
    .selectFrom('installation')
    .selectAll()
    .where('host_id', '=', host.id)
    .where('id', '=', sql<string>`any(${ids}::uuid[])`)
    .orderBy('id')
    .forUpdate()
    .execute();
  const byId = new Map(reports.map((report) => [report.installation_id, report]));
  await noteProcesses(act, rows, byId);
  const changed = rows.flatMap((row) => {
    const after = afterReport(row, byId.get(row.id));
    return isSame(row, after) ? [] : [{ ...row, ...after, updated_at: act.now }];
  });
  await updateMany(act.tx, {
    table: 'installation',
    columns: ['state', 'running_version', 'reason', 'updated_at'],
    rows: changed,
  });
  await tellChanges(act, changed);
  await rollBack(act, host, changed);
  await finishRemovals(act, {
    installationIds: changed.filter(({ state }) => state === 'removed').map(({ id }) => id),
  });
}

const processColumns = ['quarantined_at', 'restart_done', 'log', 'stats'] as const;

/** How its process fares and what it says: no change of the installation, so no event, but restarts wait for it. */
async function noteProcesses(
  act: Act,
  rows: readonly Row[],
  reports: ReadonlyMap<string, InstallationReport>,
): Promise<void> {
  const changed = rows.flatMap((row) => {
    const report = reports.get(row.id);
    if (report === undefined) return [];
    const { quarantined = false, restart = row.restart_done, log = row.log } = report;
    const { stats = row.stats } = report;
    const after = {
      quarantined_at: quarantined ? (row.quarantined_at ?? act.now) : null,
      restart_done: Math.max(row.restart_done, restart),
      log,
      stats,
    };
    return processColumns.every((name) => isDeepStrictEqual(row[name], after[name]))
      ? []
      : [{ id: row.id, ...after }];
  });
  await updateMany(act.tx, { table: 'installation', columns: processColumns, rows: changed });
  if (changed.length > 0) act.wakeUps.add('deployments');
}

/**
 * A version that does not come up beside the one that runs: the host is told to stay with that one, in the transaction
 * that learns of it. Nothing was stopped, so nothing is lost; the version is not tried there again by itself.
 */
async function rollBack(act: Act, host: AgentHost, rows: readonly Row[]): Promise<void> {
  const failed = rows.filter(
    ({ state, running_version: running, wanted_version: wanted }) =>
      state === 'failed' && running !== null && running !== wanted,
  );
  for (const row of failed) {
    await act.tx
      .updateTable('installation')
      .set({
        wanted_version: row.running_version ?? row.wanted_version,
        failed_version: row.wanted_version,
        failed_reason: row.reason,
        state: nextState(installationLifecycle, row.state, 'fetch'),
        reason: null,
        generation: row.generation + 1,
      })
      .where('id', '=', row.id)
      .execute();
  }
  await recordEvents(
    act,
    failed.map((row) => ({
      kind: 'installation.rolled-back',
      subjectKind: 'installation',
      subjectId: row.id,
      hostId: row.host_id,
      data: {
        driver_id: row.driver_id,
        failed_version: row.wanted_version,
        running_version: row.running_version,
        reason: row.reason,
      },
    })),
  );
  if (failed.length > 0) act.wakeUps.add(`host:${host.id}`);
}

type Reported = Pick<Row, 'state' | 'running_version' | 'reason'>;

/** A report about an older generation tells which version runs, but not how the new wish fares. */
function afterReport(row: Row, report: InstallationReport | undefined): Reported {
  if (report === undefined) return row;
  if (report.generation < row.generation)
    return { ...row, running_version: report.running_version };
  const { running_version, reason } = report;
  if (!canReach(row.state, report.state)) return { ...row, running_version, reason };
  return { state: report.state, running_version, reason };
}

function isSame(row: Row, after: Reported): boolean {
  return (
    row.state === after.state &&
    row.running_version === after.running_version &&
    row.reason === after.reason
  );
}

async function tellChanges(act: Act, rows: readonly Row[]): Promise<void> {
  await recordEvents(
    act,
    rows.map((row) => ({
      kind: `installation.${row.state}`,
      subjectKind: 'installation',
      subjectId: row.id,
      hostId: row.host_id,
      data: {
        driver_id: row.driver_id,
        wanted_version: row.wanted_version,
        running_version: row.running_version,
        reason: row.reason,
      },
    })),
  );
  if (rows.length > 0) act.wakeUps.add('deployments');
}

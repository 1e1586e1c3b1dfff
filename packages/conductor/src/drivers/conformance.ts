/** What somebody says of an uploaded version: the report of `cyborg driver-test`. Nothing of it is tried here. */
import type { Caller } from '@cyborg/model/caller';
import { ServiceError } from '@cyborg/model/errors';
import { toJson } from '@cyborg/store/json';
import type { DriverConformance } from '@cyborg/store/schema-drivers';

import { changedAt } from '../etag.ts';
import type { Act } from '../transaction.ts';
import type { VersionRow } from './find-driver.ts';
import { updatedAt } from './version-view.ts';
import { tellOfVersion } from './versions.ts';

export interface ConformanceReport {
  readonly kit: { readonly version: string; readonly protocol: string };
  readonly driver: { readonly id: string; readonly version: string };
  readonly package: { readonly digest: string } | null;
  readonly only: readonly string[];
  readonly backends: readonly string[];
  readonly left_out: readonly string[];
  readonly seed: number;
  readonly duration_ms: number;
  readonly passed: boolean;
  readonly clauses: readonly ReportedClause[];
}

interface ReportedClause {
  readonly clause: string;
  readonly text: string;
  readonly outcome: 'passed' | 'failed' | 'untested' | 'not-run';
  readonly detail: string | null;
}

/** @throws ServiceError `report-refused` with the way out; `wrong-state` for what comes with the release. */
export function checkReport(report: ConformanceReport, row: VersionRow): void {
  const name = `${row.driver_id} ${row.version}`;
  if (row.is_builtin) {
    throw new ServiceError(
      'wrong-state',
      `${name} comes with this release: only what was uploaded is given a report.`,
    );
  }
  const { driver, package: tried, only } = report;
  const again = `run \`cyborg driver-test PACKAGE.tgz --report FILE\` on the package of ${name}`;
  if (driver.id !== row.driver_id || driver.version !== row.version) {
    throw refused(`driver: it is about ${driver.id} ${driver.version}: ${again}.`);
  }
  if (tried === null) throw refused(`package: it is about a folder: ${again}.`);
  if (tried.digest !== row.digest) {
    throw refused(`package.digest: it is about ${tried.digest}, not ${row.digest}: ${again}.`);
  }
  if (only.length > 0) {
    throw refused(`only: it is about ${only.join(', ')} alone: ${again}, without --clause.`);
  }
  checkClauses(report);
}

function checkClauses({ clauses, passed }: ConformanceReport): void {
  const ids = clauses.map(({ clause }) => clause);
  const twice = ids.find((id, index) => ids.indexOf(id) !== index);
  if (twice !== undefined) throw refused(`clauses: ${twice} is in it twice.`);
  const unmet = clauses.find(({ outcome }) => outcome === 'failed' || outcome === 'not-run');
  if (passed === (unmet === undefined)) return;
  const why = unmet === undefined ? 'no clause is broken' : `${unmet.clause} is ${unmet.outcome}`;
  throw refused(`passed: it is ${passed}, but ${why}.`);
}

function refused(detail: string): ServiceError {
  return new ServiceError('report-refused', detail);
}

/** In place of the report before. */
export async function putReport(
  running: Act,
  caller: Caller,
  { row, report }: { readonly row: VersionRow; readonly report: ConformanceReport },
): Promise<VersionRow> {
  const { tx, now } = running;
  const conformance = summaryOf(report);
  const dates = { created_at: row.created_at, updated_at: updatedAt(row) };
  const changed = await tx
    .updateTable('driver_version')
    .set({
      conformance: toJson(conformance),
      conformance_by: caller.userId,
      conformance_at: changedAt(dates, now),
    })
    .where('driver_id', '=', row.driver_id)
    .where('version', '=', row.version)
    .returningAll()
    .executeTakeFirstOrThrow();
  const { passed, kit_version } = conformance;
  const data = { passed, kit_version };
  await tellOfVersion(running, caller, { kind: 'driver.conformance-reported', row: changed, data });
  return changed;
}

function summaryOf(report: ConformanceReport): DriverConformance {
  const { kit, clauses, passed, backends, left_out, seed, duration_ms } = report;
  const count = (wanted: ReportedClause['outcome']): number =>
    clauses.filter(({ outcome }) => outcome === wanted).length;
  return {
    passed,
    kit_version: kit.version,
    protocol: kit.protocol,
    clauses_passed: count('passed'),
    clauses_failed: count('failed'),
    clauses_untested: count('untested'),
    clauses_not_run: count('not-run'),
    failures: clauses
      .filter(({ outcome }) => outcome === 'failed')
      .map(({ clause, text, detail }) => ({ clause, text, reason: detail })),
    backends,
    left_out,
    seed,
    duration_ms,
  };
}

import { ConformanceReportSchema } from '@cyborg/api-spec/v3/conformance';
import type { DriverPackage } from '@cyborg/driver-host/catalogue';
import type { BackendSpec } from '@cyborg/driver-sdk/protocol';
import type { ClauseId } from '@cyborg/driver-test/clauses';
import { noJournal } from '@cyborg/driver-test/journal';
import { runTrials, type Report } from '@cyborg/driver-test/run';
import { systemClock } from '@cyborg/service/clock';
import { Value } from 'typebox/value';

const seed = 20_261_122;
/** More than the kit's own: beside other tests a machine is slow. */
const runMs = 540_000;
/** For a run and what is around it. */
export const kitTimeoutMs = 600_000;

export async function runKit(
  pkg: DriverPackage,
  only?: readonly ClauseId[],
  backends?: readonly BackendSpec[],
): Promise<Report> {
  const options = { pkg, clock: systemClock, journal: noJournal, seed, runMs };
  const report = await runTrials({ ...options, only, backends });
  // What the kit writes is what a server takes.
  Value.Assert(ConformanceReportSchema, JSON.parse(JSON.stringify(report)));
  return report;
}

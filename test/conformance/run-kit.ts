import type { DriverPackage } from '@cyborg/driver-host/catalogue';
import type { ClauseId } from '@cyborg/driver-test/clauses';
import { noJournal } from '@cyborg/driver-test/journal';
import { runTrials, type Report } from '@cyborg/driver-test/run';
import { systemClock } from '@cyborg/service/clock';

const seed = 20_261_122;
/** More than the kit's own: beside other tests a machine is slow. */
const runMs = 240_000;

export async function runKit(pkg: DriverPackage, only?: readonly ClauseId[]): Promise<Report> {
  return await runTrials({ pkg, clock: systemClock, journal: noJournal, seed, runMs, only });
}

/** `npm run bench [-- --quick]`: figures as ratios against baselines of the same run; the last line is a summary. */
import { benchAttach } from './attach.ts';
import { startBenchFleet } from './fleet.ts';
import { makeBenchReport } from './report.ts';

const isQuick = process.argv.includes('--quick');
const report = makeBenchReport();

{
  const accelerators = 1200;
  await using fleet = await startBenchFleet({ accelerators, instances: 40 });
  await benchAttach(fleet, report, { accelerators, cycles: isQuick ? 200 : 1500, heldMany: 1000 });
}
process.exitCode = report.finish();

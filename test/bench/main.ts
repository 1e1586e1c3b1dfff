/** `npm run bench [-- --quick]`: figures as ratios against baselines of the same run; the last line is a summary. */
import { benchAtRest } from './at-rest.ts';
import { benchAttach } from './attach.ts';
import { benchDiscovery } from './discovery.ts';
import { startBenchFleet } from './fleet.ts';
import { benchInventory } from './inventory.ts';
import { benchLists } from './lists.ts';
import { makeBenchReport } from './report.ts';
import { benchRequests } from './requests.ts';
import { benchScrape } from './scrape.ts';

const accelerators = 1200;
const isQuick = process.argv.includes('--quick');
const report = makeBenchReport();

await benchDiscovery(report, { rounds: isQuick ? 8 : 15 });
{
  await using fleet = await startBenchFleet({ accelerators, instances: 40 });
  await benchAtRest(fleet, report, { seconds: isQuick ? 4 : 20 });
  await benchInventory(fleet, report);
  await benchAttach(fleet, report, {
    accelerators,
    cycles: isQuick ? 64 : 600,
    heldMany: 1000,
    turns: isQuick ? 2 : 3,
    reserveTurns: isQuick ? 3 : 5,
  });
  await benchRequests(fleet, report, { cycles: isQuick ? 30 : 120, requestsMany: 1000 });
  await benchLists(fleet, report, { isQuick });
  await benchScrape(fleet, report);
}
process.exitCode = report.finish();

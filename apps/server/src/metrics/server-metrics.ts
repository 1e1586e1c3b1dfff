import type { EndedPass } from '@cyborg/conductor/runner';
import { makeMetrics, type Metrics } from '@cyborg/service/metrics';

import { makeCollector, type CollectDeps } from './collect.ts';
import { makeLedgerMetrics } from './ledger-metrics.ts';
import { makeProcessMetrics, notePass } from './process-metrics.ts';

export interface ServerMetrics {
  readonly metrics: Metrics;
  readonly onPass: (pass: EndedPass) => void;
  collector(deps: Omit<CollectDeps, 'ledger' | 'process'>): Promise<() => Promise<void>>;
}

/** Those of HTTP are made with the application. */
export function makeServerMetrics(): ServerMetrics {
  const metrics = makeMetrics();
  const ledger = makeLedgerMetrics(metrics);
  const process = makeProcessMetrics(metrics);
  return {
    metrics,
    onPass: (pass) => notePass(process, pass),
    collector: (deps) => makeCollector({ ...deps, ledger, process }),
  };
}

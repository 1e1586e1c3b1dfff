/** What this server knows of itself: its pool, its reconcilers. */
import { forgetHistoryName } from '@cyborg/conductor/reconcilers/forget-history';
import type { EndedPass } from '@cyborg/conductor/runner';
import type { RunningReconcilers } from '@cyborg/conductor/runner';
import type { Metrics } from '@cyborg/service/metrics';
import type { Connection } from '@cyborg/store/connect';

export type ProcessMetrics = ReturnType<typeof makeProcessMetrics>;

const passBuckets = [0.001, 0.005, 0.025, 0.1, 0.5, 2, 10, 60];

export function makeProcessMetrics(metrics: Metrics) {
  return {
    pool: metrics.gauge({
      name: 'database_connections',
      help: 'Connections of the pool: idle, busy; waiting = requests without one.',
      labels: ['state'],
    }),
    poolMax: metrics.gauge({
      name: 'database_connections_max',
      help: 'How many the pool may have (--database-pool-size).',
    }),
    passSeconds: metrics.histogram({
      name: 'reconciler_pass_duration_seconds',
      help: 'How long a pass of a reconciler took; most only look.',
      labels: ['reconciler', 'outcome'],
      buckets: passBuckets,
    }),
    items: metrics.counter({
      name: 'reconciler_items_total',
      help: 'Work items that passes of a reconciler have looked at.',
      labels: ['reconciler'],
    }),
    forgotten: metrics.counter({
      name: 'forgotten_total',
      help: 'Rows that were forgotten for their age (--event-retention, --operation-retention).',
      labels: ['kind'],
    }),
    failures: metrics.gauge({
      name: 'reconciler_failures_in_a_row',
      help: 'Passes of a reconciler that have failed since the last good one.',
      labels: ['reconciler'],
    }),
  };
}

export function notePass(to: ProcessMetrics, pass: EndedPass): void {
  const { reconciler, outcome, found, seconds, notes } = pass;
  to.passSeconds.observe({ reconciler, outcome }, seconds);
  to.items.inc({ reconciler }, found);
  if (reconciler !== forgetHistoryName) return;
  for (const [kind, count] of Object.entries(notes)) to.forgotten.inc({ kind }, count);
}

export function setProcess(
  to: ProcessMetrics,
  { pool, reconcilers }: Pick<Connection, 'pool'> & { readonly reconcilers: RunningReconcilers },
): void {
  const { totalCount, idleCount, waitingCount, options } = pool;
  to.pool.set({ state: 'idle' }, idleCount);
  to.pool.set({ state: 'busy' }, totalCount - idleCount);
  to.pool.set({ state: 'waiting' }, waitingCount);
  to.poolMax.set(options.max);
  for (const { name, failuresInARow } of reconcilers.status()) {
    to.failures.set({ reconciler: name }, failuresInARow);
  }
}

/** Gauges that are read when somebody looks. */
import type { RunningReconcilers } from '@cyborg/conductor/runner';
import type { Clock } from '@cyborg/service/clock';
import type { Metrics } from '@cyborg/service/metrics';
import type { Connection } from '@cyborg/store/connect';
import { countAccelerators } from '@cyborg/store/counts';
import { readNovaEventBacklog } from '@cyborg/store/nova/events';
import { countWaitingForPlacement } from '@cyborg/store/placement';

export interface GaugeSources {
  readonly metrics: Metrics;
  readonly connection: Connection;
  readonly reconcilers: RunningReconcilers;
  readonly clock: Pick<Clock, 'monotonicMs' | 'now'>;
}

/** Counting a large fleet is not free, and /metrics is open: at most so often. */
const countEveryMs = 5000;

export function makeGauges({
  metrics,
  connection,
  reconcilers,
  clock,
}: GaugeSources): () => Promise<void> {
  const accelerators = metrics.gauge({
    name: 'accelerators',
    help: 'Accelerators in the ledger, by state.',
    labels: ['state'],
  });
  const pool = metrics.gauge({
    name: 'database_connections',
    help: 'Connections of the pool: idle, busy; waiting = requests without one.',
    labels: ['state'],
  });
  const passes = metrics.gauge({
    name: 'reconciler_passes',
    help: 'Passes of a reconciler since the start.',
    labels: ['reconciler'],
  });
  const failures = metrics.gauge({
    name: 'reconciler_failures_in_a_row',
    help: 'Passes of a reconciler that have failed since the last good one.',
    labels: ['reconciler'],
  });
  const countPlacement = placementGauges({ metrics, connection, clock });
  const novaEvents = metrics.gauge({
    name: 'nova_events_waiting',
    help: 'Bound requests that Nova has yet to be told of.',
  });
  const novaEventsAge = metrics.gauge({
    name: 'nova_events_oldest_seconds',
    help: 'How long the oldest of them has waited; 0 when there is none.',
  });
  let countedAtMs = Number.NEGATIVE_INFINITY;
  return async () => {
    const { totalCount, idleCount, waitingCount } = connection.pool;
    pool.set({ state: 'idle' }, idleCount);
    pool.set({ state: 'busy' }, totalCount - idleCount);
    pool.set({ state: 'waiting' }, waitingCount);
    for (const status of reconcilers.status()) {
      passes.set({ reconciler: status.name }, status.passes);
      failures.set({ reconciler: status.name }, status.failuresInARow);
    }
    if (clock.monotonicMs() - countedAtMs < countEveryMs) return;
    countedAtMs = clock.monotonicMs();
    const backlog = await readNovaEventBacklog(connection.db);
    novaEvents.set(backlog.waiting);
    novaEventsAge.set(secondsSince(backlog.oldest_at, clock.now()));
    const counts = await countAccelerators(connection.db);
    accelerators.reset();
    for (const { state, count } of counts) accelerators.set({ state }, count);
    await countPlacement();
  };
}

function placementGauges({
  metrics,
  connection,
  clock,
}: Omit<GaugeSources, 'reconcilers'>): () => Promise<void> {
  const waiting = metrics.gauge({
    name: 'placement_waiting',
    help: 'Deployables that Placement does not have as the ledger has them, by what they wait for.',
    labels: ['trouble'],
  });
  const age = metrics.gauge({
    name: 'placement_waiting_oldest_seconds',
    help: 'How long the one that has waited longest has waited.',
    labels: ['trouble'],
  });
  return async () => {
    const counts = await countWaitingForPlacement(connection.db);
    waiting.reset();
    age.reset();
    for (const { trouble, count, waiting_since: since } of counts) {
      const labels = { trouble: trouble ?? 'its-turn' };
      waiting.set(labels, count);
      age.set(labels, Math.max(0, (clock.now().getTime() - since.getTime()) / 1000));
    }
  };
}

function secondsSince(at: Date | null, now: Date): number {
  return at === null ? 0 : Math.max(0, (now.getTime() - at.getTime()) / 1000);
}

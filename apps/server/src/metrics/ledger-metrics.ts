/**
 * What the ledger says. Every server of one ledger says the same; docs/reference/metrics.md says how to add up. Labels are
 * words of our own state machines and tables: their number does not grow with the fleet.
 */
import type { Metrics } from '@cyborg/service/metrics';
import type { Db } from '@cyborg/conductor/deps';
import { hostQueues, readBacklogs, reconcilerQueues, type Backlog } from '@cyborg/store/backlog';
import {
  countAccelerators,
  countHostConditions,
  countOpenOperations,
  countParts,
  countUnclaimed,
  type PartCount,
} from '@cyborg/store/counts';
import { readEventBounds } from '@cyborg/store/events';
import { countWaitingForPlacement } from '@cyborg/store/placement';

export type LedgerMetrics = ReturnType<typeof makeLedgerMetrics>;

/** Up to an hour: a rollout, a programming, a detach that waits for a guest. */
const operationBuckets = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600];

export function makeLedgerMetrics(metrics: Metrics) {
  return {
    ...makeFleetMetrics(metrics),
    ...makeWorkMetrics(metrics),
    figuresUp: metrics.gauge({
      name: 'ledger_figures_up',
      help: '1 when the last attempt to read the figures of the ledger succeeded; at 0 they are missing, not old.',
    }),
    figuresSeconds: metrics.histogram({
      name: 'ledger_figures_duration_seconds',
      help: 'How long reading the figures of the ledger took.',
    }),
    lastEvent: metrics.gauge({
      name: 'event_last_number',
      help: 'Number of the latest event that readers can see.',
    }),
    forgottenEvent: metrics.gauge({
      name: 'event_forgotten_number',
      help: 'Number of the latest event that is forgotten; all after it are there. 0 while none is.',
    }),
    events: metrics.counter({
      name: 'events_total',
      help: 'Events that were numbered since this server started, by kind.',
      labels: ['kind'],
    }),
    operationSeconds: metrics.histogram({
      name: 'operation_duration_seconds',
      help: 'From the request to the end of operations that ended since this server started.',
      labels: ['kind', 'outcome'],
      buckets: operationBuckets,
    }),
  };
}

function makeFleetMetrics(metrics: Metrics) {
  return {
    accelerators: metrics.gauge({
      name: 'accelerators',
      help: 'Accelerators in the ledger.',
      labels: ['type', 'state', 'health', 'presence'],
    }),
    host: metrics.gauge({
      name: 'hosts',
      help: 'Hosts; up while their agent holds the lease.',
      labels: ['state', 'status'],
    }),
    conditions: metrics.gauge({
      name: 'host_conditions',
      help: 'Hosts with this condition.',
      labels: ['kind'],
    }),
    backend: metrics.gauge({ name: 'backends', help: 'Backends.', labels: ['state', 'status'] }),
    service: metrics.gauge({
      name: 'services',
      help: 'Functions and daemons that backends offer; down with their host.',
      labels: ['kind', 'state', 'status'],
    }),
    installation: metrics.gauge({
      name: 'installations',
      help: 'Drivers on hosts.',
      labels: ['state'],
    }),
    server: metrics.gauge({
      name: 'servers',
      help: 'Servers of this ledger, by role; down when one ended without saying so.',
      labels: ['role', 'state'],
    }),
    unclaimed: metrics.gauge({
      name: 'unclaimed_devices',
      help: 'Devices of ours that guests have without an attachment: a person decides.',
    }),
  };
}

function makeWorkMetrics(metrics: Metrics) {
  return {
    operations: metrics.gauge({
      name: 'operations_open',
      help: 'Operations that have not ended.',
      labels: ['kind', 'state'],
    }),
    operationsAge: metrics.gauge({
      name: 'operations_open_oldest_seconds',
      help: 'Age of the oldest of them.',
      labels: ['kind', 'state'],
    }),
    work: metrics.gauge({
      name: 'work_waiting',
      help: 'Rows that wait for a reconciler.',
      labels: ['reconciler'],
    }),
    workAge: metrics.gauge({
      name: 'work_waiting_oldest_seconds',
      help: 'How long the one that has waited longest has; 0 when there is none.',
      labels: ['reconciler'],
    }),
    hostWork: metrics.gauge({
      name: 'host_work_waiting',
      help: 'What the agents of hosts have been ordered and have not done yet.',
      labels: ['act'],
    }),
    hostWorkAge: metrics.gauge({
      name: 'host_work_waiting_oldest_seconds',
      help: 'How long the one that has waited longest has; 0 when there is none.',
      labels: ['act'],
    }),
    placement: metrics.gauge({
      name: 'placement_waiting',
      help: 'Deployables that Placement does not have as the ledger has them, by what they wait for.',
      labels: ['trouble'],
    }),
    placementAge: metrics.gauge({
      name: 'placement_waiting_oldest_seconds',
      help: 'How long the one that has waited longest has waited.',
      labels: ['trouble'],
    }),
  };
}

/** Everything is read before anything is set: half of it would be a lie. */
export async function readLedger(db: Db, now: Date): Promise<(to: LedgerMetrics) => void> {
  const accelerators = await countAccelerators(db);
  const parts = await countParts(db, now);
  const conditions = await countHostConditions(db);
  const operations = await countOpenOperations(db);
  const unclaimed = await countUnclaimed(db);
  const work = await readBacklogs(db, reconcilerQueues, now);
  const hostWork = await readBacklogs(db, hostQueues, now);
  const placement = await countWaitingForPlacement(db);
  const events = await readEventBounds(db);
  return (to) => {
    forgetLedger(to);
    for (const { count, ...labels } of accelerators) to.accelerators.set(labels, count);
    for (const part of parts) setPart(to, part);
    for (const { kind, count } of conditions) to.conditions.set({ kind }, count);
    for (const { kind, state, count, oldest_at: oldest } of operations) {
      to.operations.set({ kind, state }, count);
      to.operationsAge.set({ kind, state }, secondsSince(oldest, now));
    }
    to.unclaimed.set(unclaimed);
    setWork(to, { work, hostWork, now });
    for (const { trouble, count, waiting_since: since } of placement) {
      const labels = { trouble: trouble ?? 'its-turn' };
      to.placement.set(labels, count);
      to.placementAge.set(labels, secondsSince(since, now));
    }
    to.lastEvent.set(events.last);
    to.forgottenEvent.set(events.forgotten);
  };
}

function setPart(to: LedgerMetrics, { part, kind, state, status, count }: PartCount): void {
  if (part === 'service') to.service.set({ kind, state, status }, count);
  else if (part === 'server') to.server.set({ role: kind, state }, count);
  else if (part === 'installation') to.installation.set({ state }, count);
  else to[part].set({ state, status }, count);
}

function setWork(
  to: LedgerMetrics,
  {
    work,
    hostWork,
    now,
  }: { readonly work: Backlog[]; readonly hostWork: Backlog[]; readonly now: Date },
): void {
  for (const { queue, waiting, oldest_at: oldest } of work) {
    to.work.set({ reconciler: queue }, waiting);
    to.workAge.set({ reconciler: queue }, secondsSince(oldest, now));
  }
  for (const { queue, waiting, oldest_at: oldest } of hostWork) {
    to.hostWork.set({ act: queue }, waiting);
    to.hostWorkAge.set({ act: queue }, secondsSince(oldest, now));
  }
}

/** What cannot be read is not there: an old figure would look like a new one. */
export function forgetLedger(to: LedgerMetrics): void {
  for (const gauge of [to.unclaimed, to.lastEvent, to.forgottenEvent]) gauge.set(Number.NaN);
  for (const gauge of [to.operations, to.operationsAge]) gauge.reset();
  for (const gauge of [to.work, to.workAge, to.server, to.installation, to.conditions]) {
    gauge.reset();
  }
  for (const gauge of [to.hostWork, to.hostWorkAge, to.placement, to.placementAge]) gauge.reset();
  for (const gauge of [to.accelerators, to.service, to.host, to.backend]) gauge.reset();
}

function secondsSince(at: Date | null, now: Date): number {
  return at === null ? 0 : Math.max(0, (now.getTime() - at.getTime()) / 1000);
}

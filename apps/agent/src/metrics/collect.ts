/** Gauges that are read when somebody looks. */
import type { Clock } from '@cyborg/service/clock';
import { withDeadline } from '@cyborg/service/deadline';
import type { OrderBook } from '../attachments/order-book.ts';
import type { Installation } from '../driver-host/installation.ts';
import type { Installations } from '../driver-host/installations.ts';
import type { WatchedHypervisor } from '../instances/hypervisors.ts';
import type { Log } from '../log.ts';
import type { HeldList } from '../server-link/held-list.ts';
import type { Lease } from '../server-link/lease.ts';
import type { Reporter } from '../server-link/reporter.ts';
import type { AgentMetrics } from './agent-metrics.ts';
import { DriverFigures } from './driver-figures.ts';

export interface CollectParts {
  readonly metrics: AgentMetrics;
  readonly clock: Clock;
  readonly log: Log;
  readonly drivers: Installations;
  readonly hypervisor: WatchedHypervisor;
  readonly book: OrderBook;
  readonly lease: Lease;
  readonly reporter: Reporter;
  readonly held: HeldList;
}

/** A scrape waits no longer for drivers: what they answer later is in the next one. */
const figuresWaitMs = 3_000;

/** @returns what a scrape calls: the text of all metrics. */
export function makeCollector(parts: CollectParts): () => Promise<string> {
  const figures = new DriverFigures(parts);
  const { clock, metrics } = parts;
  return async () => {
    const limit = { clock, timeoutMs: figuresWaitMs, what: 'Asking the drivers' };
    await withDeadline(() => figures.refresh(), limit).catch(() => undefined);
    setDrivers(parts);
    setHost(parts);
    setOrders(parts);
    return await metrics.registry.text();
  };
}

function setDrivers({ metrics, drivers }: CollectParts): void {
  for (const gauge of [metrics.driverState, metrics.backends]) gauge.reset();
  metrics.found.reset();
  for (const installation of drivers.all()) setDriver(metrics, installation);
}

function setDriver(metrics: AgentMetrics, installation: Installation): void {
  const { driverId, driver } = installation;
  const version = driver?.package.version ?? '';
  const state =
    driver === undefined
      ? 'missing'
      : driver.isQuarantined
        ? 'quarantined'
        : driver.isUp
          ? 'up'
          : 'down';
  metrics.driverState.set({ driver: driverId, version, state }, 1);
  for (const { wanted, state: made, inventory } of installation.backends) {
    metrics.backends.inc({ driver: driverId, state: made ?? 'pending' });
    const labels = { driver: driverId, backend: wanted.name };
    for (const { health, deployables } of inventory?.devices ?? []) {
      for (const { type, host_use: use } of deployables.flatMap((part) => part.accelerators)) {
        const status = health.status;
        metrics.found.inc({ ...labels, type, health: status, use: use === null ? 'free' : 'used' });
      }
    }
  }
}

function setHost({ metrics, lease, hypervisor, held }: CollectParts): void {
  metrics.leaseHeld.set(lease.isHeld() ? 1 : 0);
  for (const { hypervisor: kind, healthy } of hypervisor.describe()) {
    metrics.hypervisorUp.set({ hypervisor: kind }, healthy ? 1 : 0);
  }
  // What has not been looked at is not none.
  const hasLooked = hypervisor.world.seenAtMs !== undefined;
  metrics.devices.set(hasLooked ? [...hypervisor.world.devices()].length : Number.NaN);
  metrics.held.set(held.isLoaded ? [...held.values()].length : Number.NaN);
}

function setOrders({ metrics, book, reporter, clock }: CollectParts): void {
  for (const gauge of [metrics.orders, metrics.ordersAge]) gauge.reset();
  for (const [act, { count, oldestMs }] of book.open()) {
    metrics.orders.set({ act }, count);
    metrics.ordersAge.set({ act }, (clock.monotonicMs() - oldestMs) / 1000);
  }
  metrics.reports.set(reporter.waiting);
}

/**
 * What an agent measures. Labels are names that people gave (drivers, backends) and words of ours, never ids of
 * accelerators, instances or attachments: their number is that of what is installed on the host.
 */
import { makeMetrics, type Metrics } from '@cyborg/service/metrics';

export type AgentMetrics = ReturnType<typeof makeAgentMetrics>;

const prefix = 'cyborg_agent_';
/** A discovery, a clean, a programming: up to ten minutes. */
const callBuckets = [0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 600];

export function makeAgentMetrics() {
  const metrics = makeMetrics(prefix);
  return {
    registry: metrics,
    ...driverMetrics(metrics),
    ...hostMetrics(metrics),
    ...orderMetrics(metrics),
  };
}

function driverMetrics(metrics: Metrics) {
  return {
    callSeconds: metrics.histogram({
      name: 'driver_call_duration_seconds',
      help: 'Calls to drivers; outcome is ok or how it failed (gone, busy, deadline, down, nonsense, …).',
      labels: ['driver', 'method', 'outcome'],
      buckets: callBuckets,
    }),
    starts: metrics.counter({
      name: 'driver_starts_total',
      help: 'Processes of a driver that were started, the first and those after a death.',
      labels: ['driver', 'outcome'],
    }),
    crashes: metrics.counter({
      name: 'driver_crashes_total',
      help: 'Processes of a driver that ended by themselves, were killed for what they did, or did not start again.',
      labels: ['driver'],
    }),
    driverState: metrics.gauge({
      name: 'driver_state',
      help: '1 for the state that the driver is in: up, down, quarantined, missing (none was started yet).',
      labels: ['driver', 'version', 'state'],
    }),
    backends: metrics.gauge({
      name: 'backends',
      help: 'Backends of this host, by what their driver made of them.',
      labels: ['driver', 'state'],
    }),
    found: metrics.gauge({
      name: 'accelerators',
      help: 'Accelerators in the last inventories of the drivers; used = by the host itself.',
      labels: ['driver', 'backend', 'type', 'health', 'use'],
    }),
    figures: metrics.gauge({
      name: 'driver_figure',
      help: 'Numbers that a driver with the capability `stats` tells of a backend, at most 32, by its own names.',
      labels: ['driver', 'backend', 'name'],
    }),
    figuresLeftOut: metrics.gauge({
      name: 'driver_figures_left_out',
      help: 'Of them: how many are not shown, being too many, no numbers, or badly named.',
      labels: ['driver', 'backend'],
    }),
    health: metrics.gauge({
      name: 'driver_health',
      help: 'Accelerators by the health that a driver with the capability `health` tells of them now.',
      labels: ['driver', 'backend', 'status'],
    }),
    actSeconds: metrics.histogram({
      name: 'privileged_act_duration_seconds',
      help: 'What drivers asked the agent to do for them; refused acts have the code of the refusal.',
      labels: ['method', 'outcome'],
      buckets: callBuckets,
    }),
  };
}

function hostMetrics(metrics: Metrics) {
  return {
    leaseHeld: metrics.gauge({
      name: 'lease_held',
      help: '1 while this agent may begin something new for its host.',
    }),
    hypervisorUp: metrics.gauge({
      name: 'hypervisor_up',
      help: '1 when the last look at the hypervisor can be trusted.',
      labels: ['hypervisor'],
    }),
    hypervisorSeconds: metrics.histogram({
      name: 'hypervisor_call_duration_seconds',
      help: 'Listing instances, plugging and unplugging.',
      labels: ['hypervisor', 'act', 'outcome'],
      buckets: callBuckets,
    }),
    devices: metrics.gauge({
      name: 'plugged_devices',
      help: 'Devices of ours that the guests of this host have, as last seen.',
    }),
    held: metrics.gauge({
      name: 'held_attachments',
      help: 'Attachments that the ledger says this host holds; missing until they were read.',
    }),
  };
}

function orderMetrics(metrics: Metrics) {
  return {
    orders: metrics.gauge({
      name: 'orders_open',
      help: 'Orders of the server that are not done.',
      labels: ['act'],
    }),
    ordersAge: metrics.gauge({
      name: 'orders_open_oldest_seconds',
      help: 'How long the oldest of them has been known here.',
      labels: ['act'],
    }),
    orderSeconds: metrics.histogram({
      name: 'order_duration_seconds',
      help: 'From an order’s arrival to its outcome, its retries included.',
      labels: ['act', 'outcome'],
      buckets: callBuckets,
    }),
    reports: metrics.gauge({
      name: 'reports_waiting',
      help: 'Words to the server that it has not taken yet.',
    }),
  };
}

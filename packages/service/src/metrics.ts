import { Counter, Gauge, Histogram, Registry, collectDefaultMetrics } from 'prom-client';

export interface MetricOptions<Label extends string> {
  /** Without the prefix, with the unit last, as Prometheus wants it: `request_duration_seconds`. */
  readonly name: string;
  readonly help: string;
  readonly labels?: readonly Label[];
}

export interface HistogramOptions<Label extends string> extends MetricOptions<Label> {
  /** Upper bounds, in the metric's unit. */
  readonly buckets?: readonly number[];
}

/** What documentation says of a metric. */
export interface MetricDescription {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly labels: readonly string[];
  readonly help: string;
}

/** The metrics of one program; two of them in one process share nothing. */
export interface Metrics {
  counter<Label extends string>(options: MetricOptions<Label>): Counter<Label>;
  gauge<Label extends string>(options: MetricOptions<Label>): Gauge<Label>;
  histogram<Label extends string>(options: HistogramOptions<Label>): Histogram<Label>;
  /** All that were made, in the order of their names; not those of the process. */
  described(): readonly MetricDescription[];
  /** Prometheus text format. */
  text(): Promise<string>;
  /** Its Content-Type. */
  readonly contentType: string;
}

/** From 1 ms to 10 s. */
const durationBuckets = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/** A period that never comes: 24 days, the longest of a timer. */
const neverMs = 2 ** 31 - 1;

/** @param prefix  such as `cyborg_`; goes before every name. */
export function makeMetrics(prefix = 'cyborg_'): Metrics {
  const registry = new Registry();
  collectProcessMetrics(registry);
  const descriptions: MetricDescription[] = [];
  const base = <Label extends string>(
    type: MetricDescription['type'],
    { name: bare, help, labels = [] }: MetricOptions<Label>,
  ) => {
    const name = `${prefix}${bare}`;
    descriptions.push({ name, type, labels, help });
    return { name, help, labelNames: [...labels], registers: [registry] };
  };
  return {
    counter: (options) => new Counter(base('counter', options)),
    gauge: (options) => new Gauge(base('gauge', options)),
    histogram: ({ buckets = durationBuckets, ...options }) =>
      new Histogram({ ...base('histogram', options), buckets: [...buckets] }),
    described: () => descriptions.toSorted((a, b) => (a.name < b.name ? -1 : 1)),
    text: () => registry.metrics(),
    contentType: registry.contentType,
  };
}

/**
 * prom-client's own, but for the spread of the event loop's delay: measuring that wakes an idle process a hundred times a
 * second. What is left of it is the delay at the moment of the scrape; how busy the loop was since the last one is ours.
 */
function collectProcessMetrics(registry: Registry): void {
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: neverMs });
  for (const spread of ['min', 'max', 'mean', 'stddev', 'p50', 'p90', 'p99']) {
    registry.removeSingleMetric(`nodejs_eventloop_lag_${spread}_seconds`);
  }
  let last = performance.eventLoopUtilization();
  new Gauge({
    name: 'nodejs_eventloop_utilization',
    help: 'Share of the time since the last scrape that the event loop was busy, 0 to 1.',
    registers: [registry],
    collect() {
      const now = performance.eventLoopUtilization();
      this.set(performance.eventLoopUtilization(now, last).utilization);
      last = now;
    },
  });
}

/** docs/reference/metrics.md as its readers see it: its tables of metrics. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export const metricsPage = join(import.meta.dirname, '../../../docs/reference/metrics.md');

export interface DocumentedMetric {
  readonly name: string;
  readonly type: string;
  readonly labels: readonly string[];
  readonly help: string;
}

/** In the order of their names. */
export function documentedMetrics(isOurs: (name: string) => boolean): DocumentedMetric[] {
  const rows = readFileSync(metricsPage, 'utf8').matchAll(
    /^\| `([a-z0-9_]+)` \| (counter|gauge|histogram) \| ([^|]*) \| (.+) \|$/gm,
  );
  return [...rows]
    .map(([, name = '', type = '', labels = '', help = '']) => ({
      name,
      type,
      labels: [...labels.matchAll(/`([a-z_]+)`/g)].map(([, label = '']) => label),
      help,
    }))
    .filter(({ name }) => isOurs(name))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

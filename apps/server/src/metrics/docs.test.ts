import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

import { documentedMetrics } from '@cyborg/testing/metrics-page';
import { describe, it } from 'vitest';
import { parse } from 'yaml';

import { makeHttpMetrics } from './http-metrics.ts';
import { makeServerMetrics } from './server-metrics.ts';

const alerts = join(import.meta.dirname, '../../../../docs/examples/prometheus-alerts.yaml');

describe('docs/reference/metrics.md', () => {
  it('has every metric of the server as the code has it, and no other', ({ expect }) => {
    const { metrics } = makeServerMetrics();
    makeHttpMetrics(metrics);
    const documented = documentedMetrics((name) => !name.startsWith('cyborg_agent_'));
    expect(documented, 'bring docs/reference/metrics.md up to date').toEqual(metrics.described());
  });
});

interface Rules {
  readonly groups: readonly {
    readonly rules: readonly {
      readonly alert: string;
      readonly expr: string;
      readonly for?: string;
      readonly labels: { readonly severity: string };
      readonly annotations: { readonly summary: string; readonly description: string };
    }[];
  }[];
}

describe('docs/examples/prometheus-alerts.yaml', () => {
  const rules = (parse(readFileSync(alerts, 'utf8')) as Rules).groups.flatMap(
    (group) => group.rules,
  );
  const known = new Map(documentedMetrics(() => true).map((metric) => [metric.name, metric]));

  it('asks only for metrics and labels that there are', ({ expect }) => {
    expect(existsSync(alerts)).toBe(true);
    expect(rules.length).toBeGreaterThan(10);
    for (const { alert, expr } of rules) {
      const names = [...expr.matchAll(/\bcyborg_[a-z0-9_]+/g)].map(([name]) => name);
      expect(names.length, `${alert} asks for nothing of ours`).toBeGreaterThan(0);
      for (const name of names) {
        const base = name.replace(/_(bucket|sum|count)$/, '');
        const metric = known.get(name) ?? known.get(base);
        expect(metric, `${alert}: there is no metric ${name}`).toBeDefined();
        const isHistogram = metric?.type === 'histogram';
        expect(isHistogram, `${alert}: ${name}`).toBe(name !== base || isHistogram);
        for (const label of labelsOf(expr, name)) {
          expect([...(metric?.labels ?? []), 'le'], `${alert}: ${name}`).toContain(label);
        }
      }
    }
  });

  it('says of each what is wrong, what to do, and how bad it is', ({ expect }) => {
    for (const rule of rules) {
      expect(['critical', 'warning']).toContain(rule.labels.severity);
      expect(rule.annotations.summary.length, rule.alert).toBeGreaterThan(10);
      expect(rule.annotations.description.length, rule.alert).toBeGreaterThan(20);
    }
    expect(new Set(rules.map(({ alert }) => alert)).size).toBe(rules.length);
  });
});

/** Those that the selector behind the name asks for. */
function labelsOf(expr: string, name: string): string[] {
  const selectors = expr.matchAll(new RegExp(`\\b${name}\\{([^}]*)\\}`, 'g'));
  return [...selectors].flatMap(([, body = '']) =>
    [...body.matchAll(/([a-z_]+)\s*(?:=~|!~|!=|=)/g)].map(([, label = '']) => label),
  );
}

import { documentedMetrics } from '@cyborg/testing/metrics-page';
import { describe, it } from 'vitest';
import { makeAgentMetrics } from './agent-metrics.ts';

describe('docs/reference/metrics.md', () => {
  it('has every metric of the agent as the code has it, and no other', ({ expect }) => {
    const documented = documentedMetrics((name) => name.startsWith('cyborg_agent_'));
    const { registry } = makeAgentMetrics();
    expect(documented, 'bring docs/reference/metrics.md up to date').toEqual(registry.described());
  });
});

import { describe, it } from 'vitest';

import {
  planRollOut,
  type FoundInstallation,
  type RollOutFacts,
  type RollOutPlan,
} from './roll-out-plan.ts';

const now = new Date('2026-01-01T00:00:00Z');
const later = (seconds: number): Date => new Date(now.getTime() + seconds * 1000);
const names = ['a', 'b', 'c', 'd'];

/** Four hosts on version 1, which are to come to version 2. */
function facts(
  more: Partial<RollOutFacts>,
  installations: Record<string, Partial<FoundInstallation>> = {},
): RollOutFacts {
  return {
    version: '2',
    rollout: {},
    isPaused: false,
    resumeAt: null,
    now,
    wanted: [{ name: 'x', kind: 'x', config: {}, selector: { kind: 'all' } }],
    hosts: names.map((name) => ({ id: name, name, labels: {}, isUp: true })),
    backends: names.map((name) => ({
      id: `${name}-x`,
      host_id: name,
      name: 'x',
      kind: 'x',
      config: {},
      state: 'ready',
      generation: 1,
      observed_generation: 1,
      refused_generation: null,
    })),
    installations: names.map((name) => ({
      id: `i-${name}`,
      host_id: name,
      wanted_version: '1',
      failed_version: null,
      state: 'ready',
      ...installations[name],
    })),
    ...more,
  };
}

const done = { wanted_version: '2' };
const busy = { wanted_version: '2', state: 'updating' } as const;
const wentBack = { failed_version: '2' };
const begun = (plan: RollOutPlan): string[] => plan.hosts.map(({ hostId }) => hostId);

describe('a roll-out', () => {
  it('without a pace begins every host at once', ({ expect }) => {
    expect(begun(planRollOut(facts({})))).toEqual(names);
  });

  it('has at most a batch of hosts under way', ({ expect }) => {
    const rollout = { batch: 2 };
    expect(begun(planRollOut(facts({ rollout })))).toEqual(['a', 'b']);
    expect(begun(planRollOut(facts({ rollout }, { a: done, b: busy })))).toEqual(['c']);
  });

  it('lets the canaries go first, and waits for all of them', ({ expect }) => {
    const rollout = { canary: 2, batch: 1 };
    expect(begun(planRollOut(facts({ rollout })))).toEqual(['a']);
    expect(begun(planRollOut(facts({ rollout }, { a: busy })))).toEqual([]);
    expect(begun(planRollOut(facts({ rollout }, { a: done })))).toEqual(['b']);
    expect(begun(planRollOut(facts({ rollout }, { a: done, b: busy })))).toEqual([]);
    expect(begun(planRollOut(facts({ rollout: { canary: 2 } }, { a: done, b: done })))).toEqual([
      'c',
      'd',
    ]);
  });

  it('begins with the hosts that are named for it', ({ expect }) => {
    const rollout = { canary_hosts: ['c'], batch: 3 };
    expect(begun(planRollOut(facts({ rollout })))).toEqual(['c']);
    expect(begun(planRollOut(facts({ rollout }, { c: done })))).toEqual(['a', 'b', 'd']);
  });

  it('pauses between batches, from the end of one', ({ expect }) => {
    const rollout = { batch: 1, pause_seconds: 60 };
    expect(begun(planRollOut(facts({ rollout })))).toEqual(['a']);
    const running = planRollOut(facts({ rollout }, { a: busy }));
    expect(running).toMatchObject({ hosts: [], resumeAt: undefined });
    const over = planRollOut(facts({ rollout }, { a: done }));
    expect(over).toMatchObject({ hosts: [], resumeAt: later(60) });
    const paused = facts({ rollout, resumeAt: later(1) }, { a: done });
    expect(planRollOut(paused)).toMatchObject({ hosts: [], resumeAt: undefined });
    const next = planRollOut({ ...paused, resumeAt: later(0) });
    expect(begun(next)).toEqual(['b']);
    expect(next.resumeAt).toBeNull();
  });

  it('stops after more failures than it may have', ({ expect }) => {
    const rollout = { batch: 4, max_failures: 1 };
    expect(begun(planRollOut(facts({ rollout }, { a: wentBack })))).toEqual(['b', 'c', 'd']);
    const stopped = planRollOut(facts({ rollout }, { a: wentBack, b: wentBack }));
    expect(stopped).toMatchObject({ hosts: [], stoppedBy: 'b', waiting: 2 });
    const byDefault = planRollOut(facts({ rollout: { batch: 4 } }, { a: wentBack }));
    expect(byDefault).toMatchObject({ hosts: [], stoppedBy: 'a' });
  });

  it('tries a version nowhere else, also without a pace, once it has failed', ({ expect }) => {
    expect(begun(planRollOut(facts({}, { a: wentBack })))).toEqual([]);
  });

  it('does not wait for hosts that are away, and begins them when they are back', ({ expect }) => {
    const rollout = { batch: 1 };
    const hosts = facts({}).hosts.map((host) => ({ ...host, isUp: host.id !== 'a' }));
    expect(begun(planRollOut(facts({ rollout, hosts })))).toEqual(['b']);
    expect(begun(planRollOut(facts({ rollout, hosts }, { a: busy })))).toEqual(['b']);
    const rest = { b: done, c: done, d: done };
    expect(begun(planRollOut(facts({ rollout, hosts }, rest)))).toEqual([]);
    expect(begun(planRollOut(facts({ rollout }, rest)))).toEqual(['a']);
  });

  it('begins nothing while somebody has paused it', ({ expect }) => {
    expect(planRollOut(facts({ isPaused: true }))).toMatchObject({ hosts: [], waiting: 4 });
  });
});

import { acceleratorLifecycle } from '@cyborg/model/accelerator-lifecycle';
import { describe, it } from 'vitest';

import {
  remedyOfAccelerator,
  troubleOfBackend,
  troublesOfHost,
  wordsOfCondition,
} from './remedies.ts';

describe('what a person is told to do', () => {
  it('is said of every backend that does not serve, and of a healthy one nothing', ({ expect }) => {
    const said = ['pending', 'stale', 'failed', 'blocked', 'draining', 'removing'].map(
      (state) => troubleOfBackend({ state, quarantined_since: null })?.remedy ?? '',
    );
    expect(said.filter((remedy) => remedy === '')).toEqual([]);
    expect(new Set(said).size).toBe(said.length);
    expect(troubleOfBackend({ state: 'ready', quarantined_since: null })).toBeUndefined();
  });

  it('is the restart where a driver is not started again by itself, whatever the state', ({
    expect,
  }) => {
    for (const state of ['stale', 'failed', 'draining']) {
      const trouble = troubleOfBackend({ state, quarantined_since: '2030-01-01T00:00:00.000Z' });
      expect(trouble).toMatchObject({ isGrave: true, remedy: expect.stringContaining('Restart') });
    }
  });

  it('is said of accelerators that stay out until somebody acts', ({ expect }) => {
    const states = Object.keys(acceleratorLifecycle.rules);
    const told = states.filter((state) => remedyOfAccelerator(state) !== undefined);
    expect(told.toSorted()).toEqual(['cleaning_failed', 'orphaned', 'withheld']);
  });

  it('names each step that a host waits for, and what blocks attaching', ({ expect }) => {
    const message = 'backend a: load the kernel module x | backend b: apt-get install y';
    const words = wordsOfCondition({ kind: 'setup-required', message, blocks_attaching: false });
    expect(words.steps).toEqual([
      'backend a: load the kernel module x',
      'backend b: apt-get install y',
    ]);
    const other = { kind: 'other', message: 'It is another | host', blocks_attaching: true };
    expect(wordsOfCondition(other)).toMatchObject({ title: other.message, steps: [] });
    expect(wordsOfCondition(other).remedy).toContain('Nothing is attached');
  });

  it('is said of a host that is down, and of one that is disabled with who wanted it so', ({
    expect,
  }) => {
    const up = { state: 'up', status: 'enabled', status_reason: null };
    expect(troublesOfHost(up)).toEqual([]);
    const both = { state: 'down', status: 'disabled', status_reason: 'moving house' };
    expect(troublesOfHost(both)).toMatchObject([
      { remedy: expect.stringContaining('agent') },
      { remedy: 'moving house. Enable gives out from it again.' },
    ]);
  });
});

import { describe, it } from 'vitest';

import { nearest, nearestHint } from './nearest.ts';

describe('the nearest names', () => {
  it('are those that a slip of the finger or a left-out part would make of it', ({ expect }) => {
    expect(nearest('genric', ['generic', 'vendor'])).toEqual(['generic']);
    expect(nearest('hh', ['h', 'node-1'])).toEqual(['h']);
    expect(nearest('web', ['web-server', 'database'])).toEqual(['web-server']);
    expect(nearest('NODE-2', ['node-1', 'node-3', 'edge'])).toEqual(['node-1', 'node-3']);
  });

  it('are none when nothing is like it; then some of what there is', ({ expect }) => {
    const names = ['delta', 'alpha', 'charlie', 'bravo'];
    expect(nearest('no-such-thing', names)).toEqual([]);
    expect(nearestHint('no-such-thing', names, 'none')).toBe('there is alpha, bravo, charlie, …');
    expect(nearestHint('alphs', names, 'none')).toBe('the nearest: alpha');
    expect(nearestHint('alpha', [], 'there are none yet')).toBe('there are none yet');
  });
});

import { describe, it } from 'vitest';

import { matesOf } from './group-mates.ts';
import { togetherWith } from './whole-group.ts';

const card = (id: string, group: number | null, more = {}) => ({
  id,
  name: `card ${id}`,
  host: 'node-1',
  iommu_group: group,
  presence: 'present',
  ...more,
});

describe('what leaves an instance with an accelerator', () => {
  it('is the rest of its IOMMU group that is there', ({ expect }) => {
    const held = [
      card('a', 12),
      card('b', 12),
      card('c', 13),
      card('d', null),
      card('e', null),
      card('f', 12, { presence: 'absent' }),
      card('g', 12, { host: 'node-2' }),
    ];
    const names = (id: string): string[] => matesOf(held, id).map(({ name }) => name);
    expect(names('a')).toEqual(['card b']);
    expect(names('c')).toEqual([]);
    expect(names('d')).toEqual([]);
    expect(names('nobody')).toEqual([]);
  });

  it('is told before, when there is any', ({ expect }) => {
    expect(togetherWith({ ids: ['a'], mates: [] })).toBeUndefined();
    expect(togetherWith({ ids: ['a', 'b'], mates: ['card b'] })).toContain('with card b: they');
  });
});

import { describe, it } from 'vitest';
import type { PlanKind } from '@cyborg/driver-sdk/protocol';
import { unseenKinds, warningOf } from './unseen.ts';

const accelerator = {
  key: 'a',
  name: 'a',
  type: 'GPU' as const,
  offered: true,
  reason: null,
  host_use: null,
  attach_info: {},
};

function seenWith(
  plan: PlanKind,
  asked: readonly string[] = [],
): Parameters<typeof unseenKinds>[0] {
  const backends = [
    { name: 'x', kind: 'card', config: {} },
    { name: 'y', kind: 'other', config: {} },
  ];
  const offered = [{ backend: 'x', accelerator: { ...accelerator, plans: [plan] } }];
  return { asked: new Set(asked), offered, backends };
}

describe('what a run did not show', () => {
  it('is how functions are bound, when nobody asked for it', ({ expect }) => {
    const kinds = unseenKinds(seenWith('pci', ['openNodes']));
    expect(kinds).toEqual([expect.stringMatching(/^card beyond a simulated host \(.*bind/)]);
    expect(warningOf(kinds)).toMatch(/simulated host alone/);
  });

  it('is nothing when an act was asked for, or none is due', ({ expect }) => {
    expect(unseenKinds(seenWith('pci', ['bind']))).toEqual([]);
    expect(unseenKinds(seenWith('virtio-rng'))).toEqual([]);
    expect(warningOf(['other (config.ids is missing); give --backends FILE'])).toBe('');
  });
});

import { checkResult } from '@cyborg/driver-host/messages';
import type { Inventory } from '@cyborg/driver-sdk/protocol';
import { describe, it } from 'vitest';
import { problemOfNames } from './names.ts';

interface Names {
  readonly resourceClass?: string;
  readonly trait?: string;
  readonly service?: string;
}

function inventoryWith({
  resourceClass = 'PGPU',
  trait = 'HW_GPU_X',
  service = 'gpu.compute',
}: Names): Inventory {
  const nothing = { address: null, vendor_id: null, device_id: null, class: null, serial: null };
  const nowhere = { numa_node: null, iommu_group: null, kernel_driver: null };
  const part = { key: 'p', name: 'h_p', resource_class: resourceClass, traits: [trait] };
  const device = {
    ...nothing,
    ...nowhere,
    key: 'd',
    type: 'GPU' as const,
    vendor: null,
    model: null,
    offered: true,
    reason: null,
    health: { status: 'healthy' as const, reason: null },
    info: {},
    deployables: [{ ...part, accelerators: [] }],
  };
  const counts = { accelerators_total: 0, accelerators_offered: 0 };
  const up = { kind: 'function' as const, state: 'up' as const, reason: null };
  return { devices: [device], services: [{ name: service, ...up, ...counts }] };
}

describe('names of an inventory', () => {
  it.for<[string, Names, RegExp]>([
    ['a class with a space', { resourceClass: 'xeon phi' }, /resource_class is "xeon phi"/],
    ['a trait in small letters', { trait: 'Knights Corner' }, /traits\[0\] is "Knights Corner"/],
  ])('with %s are refused by every agent', ([, names, reason], { expect }) => {
    const check = (): object => checkResult('discover', inventoryWith(names), 'acme');
    expect(check).toThrow(reason);
    expect(check).toThrow(/your own, CUSTOM_ and capitals, digits and _/);
  });

  it.for<[string, Names, RegExp]>([
    ['a class', { resourceClass: 'XEON_PHI' }, /resource_class is "XEON_PHI"; .*your own: CUSTOM_/],
    ['a trait', { trait: 'KNIGHTS_CORNER' }, /traits\[0\] is "KNIGHTS_CORNER"; .*your own: CUSTOM/],
    ['a function', { service: 'phi' }, /services\[0\].name is "phi"; .*gpu\.compute/],
  ])('with %s that nobody knows do not conform', ([, names, reason], { expect }) => {
    const inventory = inventoryWith(names);
    expect(checkResult('discover', inventory, 'acme')).toBe(inventory);
    expect(problemOfNames(inventory)).toMatch(reason);
  });

  it('that are known, or one’s own, are fine', ({ expect }) => {
    const mine = { resourceClass: 'CUSTOM_PHI', trait: 'CUSTOM_PHI', service: 'coprocessor.x-1' };
    for (const names of [{}, mine]) {
      const inventory = inventoryWith(names);
      expect(checkResult('discover', inventory, 'acme')).toBe(inventory);
      expect(problemOfNames(inventory)).toBeUndefined();
    }
  });
});

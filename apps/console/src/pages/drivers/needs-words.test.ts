import { describe, it } from 'vitest';

import { needsInWords } from './needs-words.ts';

describe('what a host must have', () => {
  it('is said in words, of the driver and of the kind', ({ expect }) => {
    const ofDriver = { modules: ['vfio-pci'], packages: { deb: ['a', 'b'], rpm: [] } };
    const ofKind = {
      hugepages: [{ size_kib: 2048, count: 64 }],
      kernel_arguments: ['iommu=pt', ['intel_iommu=on', 'amd_iommu=on']],
    };
    expect(needsInWords(ofDriver, ofKind)).toEqual([
      'kernel module vfio-pci',
      'deb packages a, b',
      '64 huge pages of 2048 KiB',
      'kernel argument iommu=pt',
      'kernel argument intel_iommu=on or amd_iommu=on',
    ]);
  });

  it('is nothing where nothing is asked for, and as it is written where a later release asks for more', ({
    expect,
  }) => {
    expect(needsInWords({}, undefined)).toEqual([]);
    expect(needsInWords({ firmware: { min: 3 } })).toEqual(['firmware {"min":3}']);
  });
});

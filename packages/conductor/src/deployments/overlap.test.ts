import { describe, it } from 'vitest';

import { overlapOf, type Claimant, type KnownFunction } from './overlap.ts';
import { isSameSelector, selects, union, without } from './selectors.ts';
import { compareVersions } from './versions.ts';

const gpu: KnownFunction = {
  host: 'h',
  address: '0000:21:00.0',
  vendor_id: '0x10de',
  device_id: '0x2330',
  class: '0x030200',
  kernel_driver: null,
};

function overlap(
  a: Record<string, unknown>,
  b: Record<string, unknown>,
  functions: readonly KnownFunction[] = [],
): string | undefined {
  const empty = { classes: [], rules: [], exclude: [] };
  return overlapOf(
    { kind: 'pci', config: { ...empty, ...a } },
    { kind: 'pci', config: { ...empty, ...b } },
    functions,
  );
}

describe('overlapOf', () => {
  it('finds equal and nested selections without knowing any function', ({ expect }) => {
    expect(overlap({ classes: ['03'] }, { classes: ['0x03'] })).toMatch(/class 03 lies within/);
    expect(overlap({ classes: ['0302'] }, { classes: ['03'] })).toBeDefined();
    expect(
      overlap({ rules: [{ vendor: '10DE', class: '0302' }] }, { classes: ['03'] }),
    ).toBeDefined();
    expect(
      overlap({ rules: [{ address: '0000:21:00.0' }] }, { rules: [{ address: '0000:21:*' }] }),
    ).toBeDefined();
  });

  it('lets disjoint ones be, and those that may meet but have not', ({ expect }) => {
    expect(overlap({ classes: ['03'] }, { classes: ['12'] })).toBeUndefined();
    expect(
      overlap({ rules: [{ vendor: '10de' }] }, { rules: [{ vendor: '1002' }] }),
    ).toBeUndefined();
    expect(overlap({ rules: [{ vendor: '10de' }] }, { classes: ['03'] })).toBeUndefined();
    expect(overlap({ rules: [{}] }, { classes: ['03'] })).toBeUndefined();
  });

  it('finds a function of the ledger that both claim, and honours exclude', ({ expect }) => {
    const byVendor = { rules: [{ vendor: '0x10de' }] };
    expect(overlap(byVendor, { classes: ['03'] }, [gpu])).toBe('both claim 0000:21:00.0 on host h');
    const excluded = { classes: ['03'], exclude: [{ vendor: '10de' }] };
    expect(overlap(byVendor, excluded, [gpu])).toBeUndefined();
    expect(
      overlap({ rules: [{ kernel_driver: 'none' }] }, { classes: ['03'] }, [gpu]),
    ).toBeDefined();
  });

  it('finds what two declare, or one declares and a rule or the ledger gives to the other', ({
    expect,
  }) => {
    const declaring = (plan: object, on: object = {}): Claimant => ({
      kind: 'static',
      config: { accelerators: [{ key: 'a', type: 'GPU', plan }] },
      ...on,
    });
    const pci = (config: object): Claimant => ({
      kind: 'pci',
      config: { classes: [], rules: [], exclude: [], ...config },
    });
    const one = declaring({ kind: 'pci', address: '00000000:21:00.0' });
    const part = declaring({ kind: 'mdev', uuid: 'u', parent: '0000:21:00.0' });
    const other = declaring({ kind: 'mdev', uuid: 'v', parent: '0000:21:00.0' });
    const same = declaring({ kind: 'pci', address: '0000:21:00.0' });
    const far = declaring({ kind: 'pci', address: '10000:21:00.0' });
    expect(overlapOf(one, same, [])).toBe('both declare PCI function 0000:21:00.0');
    expect(overlapOf(part, one, [])).toBe('both declare PCI function 0000:21:00.0');
    expect(overlapOf(part, other, [])).toBeUndefined();
    expect(overlapOf(one, far, [])).toBeUndefined();
    expect(overlapOf(one, pci({ classes: ['03'] }), [])).toBeUndefined();
    expect(overlapOf(one, pci({ classes: ['03'] }), [gpu])).toContain('0000:21:00.0 on host h');
    expect(overlapOf(pci({ rules: [{ address: '0000:21:*' }] }), part, [])).toBeDefined();
    const excluding = { rules: [{ address: '0000:21:*' }], exclude: [{ address: '0000:21:00.0' }] };
    expect(overlapOf(pci(excluding), one, [gpu])).toBeUndefined();
    const lists = [{ host: 'h', address: '0000:21:00.0' }];
    expect(overlapOf({ ...pci({ classes: ['03'] }), lists }, one, [])).toBeDefined();
    const addition = { host: 'g', item: { key: 'a', plan: { kind: 'pci', address: gpu.address } } };
    const onOther = { kind: 'static', config: {}, additions: [addition] };
    expect(overlapOf({ ...pci({ classes: ['03'] }), lists }, onOther, [gpu])).toBeUndefined();
    expect(overlapOf(onOther, same, [])).toBeDefined();
  });

  it('is about these kinds alone', ({ expect }) => {
    const virtual = { kind: 'virtual', config: { classes: ['03'] } };
    expect(overlapOf(virtual, virtual, [])).toBeUndefined();
  });
});

describe('selectors', () => {
  const hosts = [
    { id: 'a', labels: { rack: '1' } },
    { id: 'b', labels: { rack: '2' } },
  ];
  const chosen = (selector: Parameters<typeof selects>[0]): string[] =>
    hosts.filter((host) => selects(selector, host)).map(({ id }) => id);

  it('choose all, named or labelled hosts, less those that were uninstalled from', ({ expect }) => {
    expect(chosen({ kind: 'all' })).toEqual(['a', 'b']);
    expect(chosen({ kind: 'all', except_host_ids: ['a'] })).toEqual(['b']);
    expect(chosen({ kind: 'hosts', host_ids: ['b'] })).toEqual(['b']);
    expect(chosen({ kind: 'labels', labels: { rack: '1' } })).toEqual(['a']);
    expect(chosen({ kind: 'labels', labels: { rack: '1' }, except_host_ids: ['a'] })).toEqual([]);
  });

  it('are joined where one selector can say it', ({ expect }) => {
    const one = { kind: 'hosts', host_ids: ['a'] } as const;
    const two = { kind: 'hosts', host_ids: ['b'] } as const;
    expect(union(one, two, hosts)).toEqual({ kind: 'hosts', host_ids: ['a', 'b'] });
    expect(union(one, { kind: 'all' }, hosts)).toEqual({ kind: 'all' });
    expect(union({ kind: 'all', except_host_ids: ['a', 'b'] }, one, hosts)).toEqual({
      kind: 'all',
      except_host_ids: ['b'],
    });
    const labels = { kind: 'labels', labels: { rack: '1' } } as const;
    expect(union(labels, two, hosts)).toBeUndefined();
    expect(union({ ...labels, except_host_ids: ['a'] }, one, hosts)).toMatchObject(labels);
    expect(union(labels, { kind: 'labels', labels: { rack: '2' } }, hosts)).toBeUndefined();
  });

  it('lose hosts, to the last', ({ expect }) => {
    expect(without({ kind: 'hosts', host_ids: ['a'] }, ['a'])).toBeUndefined();
    expect(without({ kind: 'all' }, ['a'])).toEqual({ kind: 'all', except_host_ids: ['a'] });
    expect(isSameSelector({ kind: 'all' }, { kind: 'all', except_host_ids: [] })).toBe(true);
  });
});

describe('compareVersions', () => {
  it('orders as semantic versions', ({ expect }) => {
    const versions = ['1.10.0', '1.9.0', '1.10.0-rc.2', '1.10.0-rc.10', '0.9.9+build'];
    expect(versions.toSorted(compareVersions)).toEqual([
      '0.9.9+build',
      '1.9.0',
      '1.10.0-rc.2',
      '1.10.0-rc.10',
      '1.10.0',
    ]);
  });
});

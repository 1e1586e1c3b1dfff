import { describe, it } from 'vitest';
import { differenceOf } from './differences.ts';

describe('differenceOf', () => {
  it('names the fields that differ, however long what is around them is', ({ expect }) => {
    const device = { key: 'gpu-0', text: 'x'.repeat(1000), numa_node: 0, info: { a: '1' } };
    const then = { result: { devices: [device] } };
    const now = { result: { devices: [{ ...device, numa_node: 1, info: { a: '1', b: '2' } }] } };
    expect(differenceOf(then, now)).toBe(
      'result.devices[gpu-0].numa_node: then 0, now 1; result.devices[gpu-0].info.b: then nothing, now "2"',
    );
    expect(differenceOf(then, structuredClone(then))).toBeUndefined();
  });

  it('takes a list whose items have keys in any order, and any other as it is', ({ expect }) => {
    const [a, b] = [{ key: 'a' }, { key: 'b' }];
    expect(differenceOf([a, b], [b, a])).toBeUndefined();
    expect(differenceOf([a, b], [b])).toBe('[a]: then {"key":"a"}, now nothing');
    expect(differenceOf([1, 2], [2, 1])).toBe('[0]: then 1, now 2; [1]: then 2, now 1');
  });

  it('says what is of another type, and how much more there is', ({ expect }) => {
    expect(differenceOf({ error: 4003 }, { result: {} })).toBe(
      'error: then 4003, now nothing; result: then nothing, now {}',
    );
    expect(differenceOf([], {})).toBe('it: then [], now {}');
    const numbers = Array.from({ length: 8 }, (_, index) => index);
    const others = numbers.map((one) => one + 1);
    expect(differenceOf(numbers, others)).toMatch(/; and 3 fields more$/);
  });
});

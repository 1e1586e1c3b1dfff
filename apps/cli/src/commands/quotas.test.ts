import { describe, it } from 'vitest';

import { toLimit } from './quotas.ts';

describe('a limit', () => {
  it('is a whole number, or unlimited', ({ expect }) => {
    expect(toLimit('gpu=2')).toEqual({ type: 'GPU', accelerators_max: 2 });
    expect(toLimit('CRYPTO=unlimited')).toEqual({ type: 'CRYPTO', accelerators_max: null });
    expect(toLimit('NIC=1000000')).toMatchObject({ accelerators_max: 1_000_000 });
  });

  it.for([
    ['GPU=-1', "'-1' is no whole number from 0 to 1000000; GPU=unlimited lifts the limit."],
    ['GPU=1000001', "'1000001' is no whole number from 0 to 1000000"],
    ['GPU=99999999999999999999', 'is no whole number from 0 to 1000000'],
    ['GPU=two', "'two' is no whole number"],
    ['BOGUS=1', "there is no type 'BOGUS'; it is one of GPU, FPGA"],
  ] as const)('%s is refused with the value and the way out', ([text, message], { expect }) => {
    expect(() => toLimit(text)).toThrow(message);
  });
});

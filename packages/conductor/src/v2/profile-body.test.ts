import { describe, it } from 'vitest';

import { parseV2Profile } from './profile-body.ts';

const named = (amount: string): unknown =>
  JSON.parse(`[{"name": "x", "groups": [{"resources:FPGA": ${amount}}]}]`);

describe('an amount', () => {
  it.for([
    ['1', '1'],
    ['1.5', '1'],
    ['-0.5', '0'],
    ['-3', '-3'],
    ['9007199254740991', '9007199254740991'],
    ['" +1_000 "', ' +1_000 '],
  ] as const)('of %s is kept as "%s"', ([given, kept], { expect }) => {
    expect(parseV2Profile(named(given)).groups).toEqual([{ 'resources:FPGA': kept }]);
  });

  // Kept as "1e+21" or "Infinity", it would be no number to Nova, which reads the profile at every boot.
  it.for(['1e21', '1e400', '-1e400', '9007199254740993', '"9007199254740993"', 'true', '[1]'])(
    'of %s is refused',
    (given, { expect }) => {
      expect(() => parseV2Profile(named(given))).toThrow(/^Resources number \S+ is invalid$/);
    },
  );
});

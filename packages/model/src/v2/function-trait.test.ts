import { describe, it } from 'vitest';

import { functionTrait, withFunctionTrait } from './function-trait.ts';

describe('the trait of a program image', () => {
  it('is one that Placement takes, whatever its id is made of', ({ expect }) => {
    expect(functionTrait('intel-fpga', 'd8424dc4-a4a3')).toBe(
      'CUSTOM_FPGA_FUNCTION_ID_INTEL_FPGA_D8424DC4_A4A3',
    );
    expect(functionTrait('x', `ä ${'1'.repeat(400)}`)).toMatch(/^CUSTOM_[A-Z0-9_]{1,248}$/);
  });

  it('takes the place of the last one', ({ expect }) => {
    const traits = ['CUSTOM_A', 'CUSTOM_FPGA_FUNCTION_ID_FAKE_OLD'];
    expect(withFunctionTrait(traits, { driverId: 'fake', functionId: 'new' })).toEqual([
      'CUSTOM_A',
      'CUSTOM_FPGA_FUNCTION_ID_FAKE_NEW',
    ]);
    expect(withFunctionTrait(traits, { driverId: 'fake', functionId: null })).toEqual(['CUSTOM_A']);
  });
});

import { it } from 'vitest';

import { deployableName } from './deployable-name.ts';

it('names a deployable by its node and address, and writes what else there is as _', ({
  expect,
}) => {
  expect(deployableName('compute-1.lab', '0000:3b:00.0')).toBe('compute-1.lab_0000:3b:00.0');
  expect(deployableName('peerhost', 'FakeDevice')).toBe('peerhost_FakeDevice');
  expect(deployableName('my host/é', 'FakeDevice')).toBe('my_host___FakeDevice');
});

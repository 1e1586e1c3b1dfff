// The whole driver protocol, without hardware. CYBORG names the command where it is not in the PATH.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'node:test';

const folder = join(import.meta.dirname, '..');

await test('it conforms to the driver protocol', () => {
  // The example machine has this card: the kit needs one to try.
  const backends = join(import.meta.dirname, 'backends.json');
  const args = ['driver-test', folder, '--backends', backends];
  const { status, stdout, stderr, error } = spawnSync(process.env.CYBORG ?? 'cyborg', args, {
    encoding: 'utf8',
  });
  assert.equal(status, 0, `${error?.message ?? ''}${stdout}${stderr}`);
});

/** `npm run test:lab [-- --full] [-- FILE...]`: the tests of the PCI lab. `--full`: 100 cycles in place of 10. */
import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const { values, positionals } = parseArgs({
  options: { full: { type: 'boolean', default: false } },
  allowPositionals: true,
});
const vitest = join(import.meta.dirname, '../../node_modules/vitest/vitest.mjs');
const env = values.full ? { ...process.env, CYBORG_TEST_LAB_FULL: 'yes' } : process.env;
const { status } = spawnSync(
  process.execPath,
  [vitest, 'run', '--project', 'lab', ...positionals],
  { stdio: 'inherit', env },
);
process.exitCode = status ?? 1;

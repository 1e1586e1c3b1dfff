/**
 * `npm run test:lab [-- --full] [-- FILE...]`: the tests of the PCI lab. `--full`: 100 cycles in place of 10, the
 * server away for longer. Everything else goes to vitest: `-t NAME`, say.
 */
import { spawn } from 'node:child_process';
import { constants } from 'node:os';
import { join } from 'node:path';

const full = '--full';
const given = process.argv.slice(2);
const vitest = join(import.meta.dirname, '../../node_modules/vitest/vitest.mjs');
const env = given.includes(full) ? { ...process.env, CYBORG_TEST_LAB_FULL: 'yes' } : process.env;
const args = ['run', '--project', 'lab', ...given.filter((one) => one !== full)];
const child = spawn(process.execPath, [vitest, ...args], { stdio: 'inherit', env });
// Its set-up brings the labs down first.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(signal, () => child.kill(signal));
}
child.once('exit', (status, signal) => {
  process.exitCode = status ?? 128 + (signal === null ? 0 : constants.signals[signal]);
});

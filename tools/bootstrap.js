// Runs before `npm start`, `npm test`, `npm run check`, on whatever Node the machine has: installs what is missing and
// builds the console where its sources are newer. Does nothing when all is as it should be.
import { spawnSync } from 'node:child_process';
import { statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

import { buildConsole } from './build-console.js';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

function modifiedMs(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs;
}

const installed = modifiedMs(join(root, 'node_modules', '.package-lock.json'));
const wanted = modifiedMs(join(root, 'package-lock.json'));
if (installed === undefined || (wanted !== undefined && installed < wanted)) {
  console.error('cyborg: installing packages (about a minute the first time) …');
  const started = Date.now();
  // stdout is the caller's: npm's report goes to stderr.
  const npm = process.env.npm_execpath;
  const args = ['ci', '--no-audit', '--no-fund', '--loglevel=error'];
  const result = npm?.endsWith('.js')
    ? spawnSync(process.execPath, [npm, ...args], { cwd: root, stdio: ['ignore', 2, 2] })
    : spawnSync('npm', args, { cwd: root, stdio: ['ignore', 2, 2] });
  if (result.status !== 0) {
    console.error(
      `cyborg: 'npm ci' failed (${result.error?.message ?? `exit ${result.status}`}); see above, then run it again.`,
    );
    process.exit(1);
  }
  console.error(`cyborg: installed in ${Math.round((Date.now() - started) / 1000)} s`);
}

buildConsole();

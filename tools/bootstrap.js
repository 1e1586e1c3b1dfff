// Runs before `npm start`, `npm test`, `npm run check`, on whatever Node the machine has: installs what is missing and
// builds the console where its sources are newer. Does nothing when all is as it should be.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

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

// What the console is made of; the rest of the tree reaches it as types alone.
const consoleSources = [
  'apps/console/src',
  'apps/console/index.html',
  'apps/console/package.json',
  'apps/console/vite.config.ts',
  'packages/api-client/src',
  'packages/api-spec/src/routes.ts',
  'packages/model/src',
  'package-lock.json',
];

/** Of the newest file; folders count too, for what was removed from them. */
function newestMs(path) {
  const own = modifiedMs(path) ?? 0;
  if (!statSync(path, { throwIfNoEntry: false })?.isDirectory()) return own;
  return Math.max(own, ...readdirSync(path).map((name) => newestMs(join(path, name))));
}

function buildConsole() {
  const folder = join(root, 'apps', 'console');
  const builtMs = modifiedMs(join(folder, 'dist', 'index.html')) ?? 0;
  const vite = join(root, 'node_modules', 'vite', 'bin', 'vite.js');
  if (!existsSync(folder) || !existsSync(vite)) return;
  if (consoleSources.every((path) => newestMs(join(root, path)) <= builtMs)) return;
  console.error('cyborg: building the console …');
  const pinned = join(root, 'node_modules', '.bin', 'node');
  const node = existsSync(pinned) ? pinned : process.execPath;
  // Beside the old one until it is whole: a server may be reading that.
  const fresh = join(folder, `dist-${process.pid}`);
  const args = [vite, 'build', folder, '--outDir', fresh, '--emptyOutDir', '--logLevel', 'warn'];
  const result = spawnSync(node, args, { cwd: folder, stdio: ['ignore', 2, 2] });
  if (result.status === 0) {
    rmSync(join(folder, 'dist'), { recursive: true, force: true });
    renameSync(fresh, join(folder, 'dist'));
    return;
  }
  rmSync(fresh, { recursive: true, force: true });
  // The API works without it, and the server says so at /console/.
  console.error('cyborg: the console could not be built; see above. Going on without it.');
}

buildConsole();

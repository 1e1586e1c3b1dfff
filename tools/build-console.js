// Builds the console into apps/console/dist where its sources are newer, on whatever Node the machine has (2 s).
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

function modifiedMs(path) {
  return statSync(path, { throwIfNoEntry: false })?.mtimeMs;
}

// What the console is made of; the rest of the tree reaches it as types alone.
const consoleSources = [
  'tools/build-console.js',
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

export function buildConsole() {
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
  // Whoever asks (a test, for one) may have another NODE_ENV, with which React is built for its developers.
  const env = { ...process.env, NODE_ENV: 'production' };
  const result = spawnSync(node, args, { cwd: folder, env, stdio: ['ignore', 2, 2] });
  if (result.status === 0) {
    rmSync(join(folder, 'dist'), { recursive: true, force: true });
    renameSync(fresh, join(folder, 'dist'));
    return;
  }
  rmSync(fresh, { recursive: true, force: true });
  // The API works without it, and the server says so at /console/.
  console.error('cyborg: the console could not be built; see above. Going on without it.');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) buildConsole();

// Runs on whatever Node the machine has, right after `npm install`: makes node_modules/.bin/node the pinned Node 24.
// npm 10 drops the link when it removes the package of the other architecture, and an optional package that could
// not be installed is dropped without a word; both would run the project on the machine's own, older Node.
import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, mkdirSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const modules = join(dirname(fileURLToPath(import.meta.url)), '..', 'node_modules');
const packageName = `node-${process.platform}-${process.arch}`;
const pinned = join(modules, packageName, 'bin', 'node');
const link = join(modules, '.bin', 'node');

function fail(message) {
  console.error(`cyborg: ${message}`);
  process.exit(1);
}

if (!existsSync(pinned)) {
  fail(
    `the package ${packageName} is not installed, so Node 24 is missing. Cyborg runs on Linux on x64 and arm64; ` +
      "install again with optional packages ('npm ci --include=optional').",
  );
}
if (!existsSync(link)) {
  mkdirSync(dirname(link), { recursive: true });
  if (lstatSync(link, { throwIfNoEntry: false })) rmSync(link);
  symlinkSync(join('..', packageName, 'bin', 'node'), link);
}
const version = execFileSync(link, ['-v'], { encoding: 'utf8' }).trim();
if (!version.startsWith('v24.')) {
  fail(`node_modules/.bin/node is ${version}, not Node 24. Remove node_modules and run 'npm ci'.`);
}

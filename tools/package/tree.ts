/** Copies what a package is made of into a folder, laid out as a checkout is: our modules find each other by their places. */
import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';

import type { LockedPackage } from './closure.ts';
import type { Recipe } from './recipes.ts';

interface Source {
  readonly root: string;
  readonly packages: readonly LockedPackage[];
}

/** Writes `target`, the tree that becomes /usr/lib/NAME. */
export function writeTree(target: string, recipe: Recipe, { root, packages }: Source): void {
  for (const { place, name, isOurs } of packages) {
    const from = join(root, place);
    if (!existsSync(from)) throw new Error(`${place} is not installed: run npm ci.`);
    cpSync(from, join(target, place), {
      recursive: true,
      verbatimSymlinks: true,
      filter: (path) => (isOurs ? isOurSource(path, from) : isNeededOf(path, from)),
    });
    if (isOurs) linkWorkspace(target, { place, name });
  }
  for (const folder of recipe.built) {
    const built = join(root, folder);
    if (!existsSync(built)) throw new Error(`${folder} is missing: node tools/bootstrap.js.`);
    cpSync(built, join(target, folder), { recursive: true });
  }
  writeFileSync(join(target, 'package.json'), '{ "private": true, "type": "module" }\n');
  copyNode(target, root);
  for (const [program, module] of Object.entries(recipe.programs)) {
    writeFileSync(join(target, 'bin', program), launcherOf(module));
    chmodSync(join(target, 'bin', program), 0o755);
  }
  normaliseModes(target);
}

/** Node strips no types below a real node_modules: a link there leads out of it. */
function linkWorkspace(target: string, { place, name }: { place: string; name: string }): void {
  const link = join(target, 'node_modules', name);
  mkdirSync(dirname(link), { recursive: true });
  symlinkSync(relative(dirname(link), join(target, place)), link);
}

const notOurs = new Set(['node_modules', 'test', 'test-drivers', 'dist', 'all-in-one']);

/** What driver-new copies has tests of its own. */
const isTemplate = (path: string): boolean => /\/apps\/cli\/template(-\w+)?\//.test(path);

function isOurSource(path: string, top: string): boolean {
  if (basename(path) === '__pycache__') return false;
  if (path === top || isTemplate(path)) return true;
  return !notOurs.has(basename(path)) && !path.endsWith('.test.ts');
}

/** A package nested in another is an entry of the lock by itself. */
function isNeededOf(path: string, top: string): boolean {
  if (path === top) return true;
  return basename(path) !== 'node_modules' && !/\.(map|d\.[cm]?ts)$/.test(path);
}

function copyNode(target: string, root: string): void {
  const folder = join(root, 'node_modules', `node-${process.platform}-${process.arch}`);
  mkdirSync(join(target, 'bin'), { recursive: true });
  cpSync(join(folder, 'bin', 'node'), join(target, 'bin', 'node'));
}

function launcherOf(module: string): string {
  const name = basename(dirname(dirname(module)));
  return [
    '#!/bin/sh',
    `# Starts ${name} on the Node of this package, from any folder and through any link.`,
    'here=$(dirname "$(readlink -f "$0")")',
    `exec "$here/node" "$here/../${module}" "$@"`,
    '',
  ].join('\n');
}

/** 0755 and 0644 whatever the umask of who builds. */
export function normaliseModes(path: string): void {
  const stat = lstatSync(path);
  if (stat.isSymbolicLink()) return;
  chmodSync(path, stat.isDirectory() || (stat.mode & 0o100) !== 0 ? 0o755 : 0o644);
  if (!stat.isDirectory()) return;
  for (const name of readdirSync(path)) normaliseModes(join(path, name));
}

/** Version of the Node inside, from its npm package. */
export function nodeVersion(root: string): string {
  const file = join(root, 'node_modules', `node-${process.platform}-${process.arch}`);
  const json: { version: string } = JSON.parse(readFileSync(join(file, 'package.json'), 'utf8'));
  return json.version;
}

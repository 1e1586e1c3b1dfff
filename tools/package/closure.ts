/** What a workspace needs at run time, read from package-lock.json as npm's own resolution would find it. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface LockedPackage {
  /** Its place in the tree, such as `node_modules/pg` or `packages/store`. */
  readonly place: string;
  readonly name: string;
  readonly version: string;
  readonly license: string;
  /** As npm writes it, `sha512-…`; ours have none. */
  readonly integrity: string | undefined;
  readonly isOurs: boolean;
  /** Places of what it needs. */
  readonly needs: readonly string[];
}

interface LockEntry {
  readonly name?: string;
  readonly version?: string;
  readonly license?: string;
  readonly integrity?: string;
  readonly link?: boolean;
  readonly resolved?: string;
  readonly os?: readonly string[];
  readonly cpu?: readonly string[];
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
}

export interface Lock {
  readonly packages: Readonly<Record<string, LockEntry>>;
}

export interface Wanted {
  /** Workspaces, such as `apps/server`. */
  readonly workspaces: readonly string[];
  /** Begin of names that this package does without. */
  readonly without: readonly string[];
}

export function readLock(root: string): Lock {
  const lock: Lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  return lock;
}

/** @returns everything, sorted by place; the workspaces themselves included. */
export function closureOf(lock: Lock, { workspaces, without }: Wanted): LockedPackage[] {
  const found = new Map<string, LockedPackage>();
  const waiting = new Set(workspaces);
  for (const place of waiting) {
    const locked = describePackage(lock, place, without);
    if (locked === undefined) continue;
    found.set(place, locked);
    for (const needed of locked.needs) waiting.add(needed);
  }
  return [...found.values()].toSorted((a, b) => (a.place < b.place ? -1 : 1));
}

function describePackage(
  lock: Lock,
  place: string,
  without: readonly string[],
): LockedPackage | undefined {
  const entry = lock.packages[place];
  if (entry === undefined) throw new Error(`package-lock.json has no ${place}: run npm install.`);
  if (!isForThisMachine(entry)) return undefined;
  const isWanted = (name: string): boolean => !without.some((start) => name.startsWith(start));
  const optional = { ...entry.optionalDependencies, ...entry.peerDependencies };
  const needs = [
    ...Object.keys(entry.dependencies ?? {}).map((name) => ({ name, isOptional: false })),
    ...Object.keys(optional).map((name) => ({ name, isOptional: true })),
  ]
    .filter(({ name }) => isWanted(name))
    .flatMap(({ name, isOptional }) => {
      const at = resolveFrom(lock, place, name);
      if (at === undefined && !isOptional) throw new Error(`${place} needs ${name}: not locked.`);
      return at === undefined || !isForThisMachine(lock.packages[at] ?? {}) ? [] : [at];
    });
  return {
    place,
    name: entry.name ?? place.slice(place.lastIndexOf('node_modules/') + 'node_modules/'.length),
    version: entry.version ?? '0.0.0',
    license: entry.license ?? 'NOASSERTION',
    integrity: entry.integrity,
    isOurs: !place.includes('node_modules/'),
    needs: [...new Set(needs)].toSorted(),
  };
}

/** As Node looks: beside the package, then in each folder above it; a link is followed. */
function resolveFrom(lock: Lock, place: string, name: string): string | undefined {
  const parts = place.split('/');
  for (let length = parts.length; length >= 0; length -= 1) {
    const at = [...parts.slice(0, length), 'node_modules', name].join('/');
    const entry = lock.packages[at];
    if (entry !== undefined) return entry.link === true ? entry.resolved : at;
  }
  return undefined;
}

function isForThisMachine({ os, cpu }: LockEntry): boolean {
  const fits = (allowed: readonly string[] | undefined, own: string): boolean =>
    allowed === undefined || allowed.includes(own);
  return fits(os, process.platform) && fits(cpu, process.arch);
}

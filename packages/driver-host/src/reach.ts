/** Whether a user without privileges can get at a path, and what to do about it when not. */
import { readdir, realpath, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** One step of the set-up of a driver's private mount namespace. */
export type Exposure = readonly [
  act: 'bind' | 'bind-writable' | 'copy',
  source: string,
  target: string,
];

/** Whether everybody may enter every folder on the way, and read the end of it. */
export async function isReachable(path: string): Promise<boolean> {
  const real = await realpath(path);
  for (let at = dirname(real); ; at = dirname(at)) {
    if (((await stat(at)).mode & 0o001) === 0) return false;
    if (at === dirname(at)) break;
  }
  return await isOpen(real);
}

async function isOpen(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return true; // a dangling link is closed to nobody
  const needed = found.isDirectory() ? 0o005 : 0o004;
  return (found.mode & needed) === needed;
}

/**
 * How to show `source` at `target`: as it is when it is open itself and only lies below closed folders; its entries one
 * by one when only it is closed; a copy with open modes when what is inside is closed too.
 */
export async function exposuresOf(source: string, target: string): Promise<Exposure[]> {
  const real = await realpath(source);
  if (!(await stat(real)).isDirectory())
    return [[(await isOpen(real)) ? 'bind' : 'copy', real, target]];
  const entries = await readdir(real);
  const open = await Promise.all(entries.map((name) => isOpen(join(real, name))));
  if (!open.every(Boolean)) return [['copy', real, target]];
  if (await isOpen(real)) return [['bind', real, target]];
  return entries.map((name): Exposure => ['bind', join(real, name), join(target, name)]);
}

import type { TreeReader } from '@cyborg/driver-sdk/sysfs';

/** Mount points with the type of their file system, the longest path first; of two on one path, the upper one first. */
export type MountTypes = readonly (readonly [point: string, type: string])[];

/** @param table  a `mountinfo` of /proc. */
export function readMountTypes(reader: TreeReader, table: string): MountTypes {
  const mounts: [string, string][] = [];
  for (const line of reader.lines(table) ?? []) {
    const [before = '', after = ''] = line.split(' - ');
    const point = before.split(' ')[4];
    const type = after.split(' ')[0];
    if (point === undefined || type === undefined) continue;
    const plain = point.replace(/\\([0-7]{3})/gu, (_all, code: string) =>
      String.fromCodePoint(Number.parseInt(code, 8)),
    );
    mounts.unshift([plain === '/' ? '' : plain, type]);
  }
  return mounts.toSorted(([a], [b]) => b.length - a.length);
}

/** The type of the file system that a path is on; empty when it is not known. */
export function typeAt(mounts: MountTypes, path: string): string {
  const found = mounts.find(([point]) => path === point || path.startsWith(`${point}/`));
  return found?.[1] ?? '';
}

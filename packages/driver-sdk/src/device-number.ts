import type { Stats } from 'node:fs';

/** `c226:128` or `b259:0`; undefined when it is no device. */
export function numberOf(stats: Stats | undefined): string | undefined {
  if (stats === undefined) return undefined;
  const kind = stats.isCharacterDevice() ? 'c' : stats.isBlockDevice() ? 'b' : undefined;
  if (kind === undefined) return undefined;
  const major = (stats.rdev >>> 8) & 0xfff;
  const minor = (stats.rdev & 0xff) | ((stats.rdev >>> 12) & 0xf_ff00);
  return `${kind}${major}:${minor}`;
}

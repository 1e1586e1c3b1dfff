/** Attributes below a function by patterns, in which a star stands for any text of one part: `hwmon/hwmon*`. */
import type { TreeReader } from '@cyborg/driver-sdk/sysfs';
import type { PciFunction } from '@cyborg/driver-sdk/host-use/function';

/** Paths that one part of a pattern may give, and values of one name. */
const pathsMax = 64;

/** The values that the patterns find, each once. */
export function readPatterns(
  reader: TreeReader,
  fn: PciFunction,
  patterns: readonly string[],
): string[] {
  const values = new Set<string>();
  for (const pattern of patterns) {
    for (const path of expand(reader, fn, pattern)) {
      const value = reader.text(path);
      if (value !== undefined && value !== '') values.add(value);
    }
  }
  return [...values].slice(0, pathsMax);
}

/** Files and folders below the function whose path the pattern fits. */
export function expand(reader: TreeReader, fn: PciFunction, pattern: string): string[] {
  const [first = '', ...rest] = pattern.split('/');
  let paths = namesLike([...fn.entries.keys()], first).map((name) => `${fn.path}/${name}`);
  for (const part of rest) {
    const next = paths.flatMap((path) => below(reader, path, part));
    paths = next.slice(0, pathsMax);
  }
  return paths.slice(0, pathsMax);
}

function below(reader: TreeReader, path: string, part: string): string[] {
  if (!part.includes('*')) return reader.exists(`${path}/${part}`) ? [`${path}/${part}`] : [];
  return namesLike(reader.names(path) ?? [], part).map((name) => `${path}/${name}`);
}

function namesLike(names: readonly string[], part: string): string[] {
  if (!part.includes('*')) return names.filter((name) => name === part);
  const source = part.split('*').map((text) => text.replaceAll('.', '\\.'));
  const expression = new RegExp(`^${source.join('.*')}$`, 'u');
  return names.filter((name) => expression.test(name)).toSorted();
}

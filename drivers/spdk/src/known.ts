/** The bdevs that were there last, in the driver's folder: pools are in the configuration, whole bdevs nowhere else. */
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { formatBdev, parseBdevs, type Bdev } from './daemon.ts';
import type { Context } from './volumes.ts';

type Place = Pick<Context, 'backend' | 'stateDir'>;

export function remember(place: Place, bdevs: readonly Bdev[]): void {
  const file = fileOf(place);
  if (file === undefined) return;
  const text = JSON.stringify(bdevs.map(formatBdev));
  if (readText(file) === text) return;
  writeFileSync(`${file}.new`, text);
  renameSync(`${file}.new`, file);
}

/** Undefined when nothing was remembered. */
export function recall(place: Place): Bdev[] | undefined {
  const file = fileOf(place);
  const text = file === undefined ? undefined : readText(file);
  if (text === undefined) return undefined;
  try {
    return parseBdevs(JSON.parse(text));
  } catch {
    return undefined; // a damaged file is as none
  }
}

function readText(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}

function fileOf({ backend, stateDir }: Place): string | undefined {
  return stateDir === null ? undefined : join(stateDir, `bdevs-${encodeURIComponent(backend)}`);
}

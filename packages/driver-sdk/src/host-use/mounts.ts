import type { TreeReader } from '../sysfs.ts';

export interface Mounts {
  /** By `major:minor` of the block device. */
  readonly byNumber: ReadonlyMap<string, string>;
  /** By source as it was given to mount: `/dev/nvme0n1p1`. */
  readonly bySource: ReadonlyMap<string, string>;
}

/** What is mounted: in the host's first process's eyes where we may look, and in our own. Undefined: no table at all. */
export function readMounts(reader: TreeReader, proc: string): Mounts | undefined {
  const byNumber = new Map<string, string>();
  const bySource = new Map<string, string>();
  let hasTable = false;
  for (const path of [`${proc}/1/mountinfo`, `${proc}/self/mountinfo`]) {
    const table = readMountTable(reader, path);
    if (table !== undefined) hasTable = true;
    for (const { number, source, place } of table ?? []) {
      note(byNumber, number, place);
      note(bySource, source, place);
    }
  }
  for (const path of [`${proc}/1/mounts`, `${proc}/self/mounts`, `${proc}/mounts`]) {
    for (const line of reader.lines(path) ?? []) {
      hasTable = true;
      const [source, place] = line.split(' ');
      if (source !== undefined && place !== undefined)
        note(bySource, unescape(source), unescape(place));
    }
  }
  return hasTable ? { byNumber, bySource } : undefined;
}

/** The first place counts, which is the oldest: a driver's own mounts, which only it sees, come last. */
function note(places: Map<string, string>, what: string, place: string): void {
  if (!places.has(what)) places.set(what, place);
}

export interface Mount {
  /** `major:minor`. */
  readonly number: string;
  readonly source: string;
  readonly place: string;
}

/** A `mountinfo`; undefined when it cannot be read. */
export function readMountTable(reader: TreeReader, path: string): Mount[] | undefined {
  return reader.lines(path)?.flatMap((line) => {
    const [left = '', right = ''] = line.split(' - ');
    const [, , number, , place = ''] = left.split(' ');
    const [, source = ''] = right.split(' ');
    return number === undefined
      ? []
      : [{ number, source: unescape(source), place: unescape(place) }];
  });
}

/** Devices that are swapped to, as `/dev/sda2`. Undefined: no table. */
export function readSwaps(reader: TreeReader, proc: string): ReadonlySet<string> | undefined {
  const lines = reader.lines(`${proc}/swaps`);
  if (lines === undefined) return undefined;
  return new Set(lines.slice(1).map((line) => unescape(line.split(/\s/u)[0] ?? '')));
}

/** The kernel writes blanks and backslashes in octal. */
function unescape(text: string): string {
  return text.replaceAll(/\\(\d{3})/gu, (_, digits: string) =>
    String.fromCharCode(parseInt(digits, 8)),
  );
}

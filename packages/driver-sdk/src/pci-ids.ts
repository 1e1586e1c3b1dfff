/** Names of vendors and devices from the system's own pci.ids, where it has one. */
import { statSync } from 'node:fs';

import type { TreeReader } from './sysfs.ts';

/** Debian, Fedora, others. */
export const pciIdsPaths: readonly string[] = [
  '/usr/share/misc/pci.ids',
  '/usr/share/hwdata/pci.ids',
  '/usr/share/pci.ids',
];

/** The file has 1.5 MB today. */
const fileBytesMax = 16 * 1024 * 1024;

interface Kept {
  readonly path: string;
  readonly version: string;
  readonly names: PciIds;
}
let kept: Kept | undefined;

/** The same as before while the file is: most of a scan's look-ups were made by the scan before it. */
export function openPciIds(reader: TreeReader, paths: readonly string[] = pciIdsPaths): PciIds {
  for (const path of paths) {
    const version = reader.probe(path, () => versionOf(path));
    if (version === undefined) continue;
    if (kept?.path === path && kept.version === version) return kept.names;
    const bytes = reader.bytes(path, fileBytesMax);
    if (bytes === undefined) continue;
    kept = { path, version, names: new PciIds(bytes) };
    return kept.names;
  }
  return new PciIds(Buffer.alloc(0));
}

function versionOf(path: string): string {
  const { dev, ino, size, mtimeMs, ctimeMs } = statSync(path);
  return [dev, ino, size, mtimeMs, ctimeMs].join(' ');
}

/** Searched as bytes: to make text of all of it takes longer than every look-up of a scan. */
export class PciIds {
  readonly #bytes: Buffer;
  readonly #names = new Map<string, string | null>();
  readonly #vendors = new Map<string, number>();

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** The vendor's name, or null when it, or the whole list, is not there. @param id  0…0xffff */
  vendor(id: number): string | null {
    const key = toKey(id);
    return this.#once(key, () => nameAt(this.#bytes, this.#vendorStart(key)));
  }

  /** The device's name, or null. */
  device(vendorId: number, deviceId: number): string | null {
    const [vendor, device] = [toKey(vendorId), toKey(deviceId)];
    return this.#once(`${vendor}:${device}`, () => {
      const bytes = this.#bytes;
      const start = this.#vendorStart(vendor);
      if (start === -1) return null;
      const found = bytes.indexOf(`\n\t${device}  `, start);
      return found !== -1 && found < endOfVendor(bytes, start) ? nameAt(bytes, found + 2) : null;
    });
  }

  #vendorStart(key: string): number {
    const known = this.#vendors.get(key);
    if (known !== undefined) return known;
    const bytes = this.#bytes;
    const entry = `${key}  `;
    const isFirst = bytes.subarray(0, entry.length).equals(Buffer.from(entry));
    const found = isFirst ? 0 : bytes.indexOf(`\n${entry}`);
    const start = found <= 0 ? found : found + 1;
    this.#vendors.set(key, start);
    return start;
  }

  #once(key: string, find: () => string | null): string | null {
    const known = this.#names.get(key);
    if (known !== undefined) return known;
    const name = find();
    this.#names.set(key, name);
    return name;
  }
}

const [newline, tab, hash] = [0x0a, 0x09, 0x23];

const toKey = (id: number): string => id.toString(16).padStart(4, '0');

/** Of an entry that starts at `start` with a four-digit id and two spaces. */
function nameAt(bytes: Buffer, start: number): string | null {
  if (start === -1) return null;
  const end = bytes.indexOf(newline, start);
  const name = bytes.toString('utf8', start + 6, end === -1 ? bytes.length : end);
  return name.trim() || null;
}

/** The next line that starts with neither tab nor comment. */
function endOfVendor(bytes: Buffer, start: number): number {
  for (let at = bytes.indexOf(newline, start); at !== -1; at = bytes.indexOf(newline, at + 1)) {
    const next = bytes[at + 1];
    if (next !== tab && next !== hash && next !== newline) return at;
  }
  return bytes.length;
}

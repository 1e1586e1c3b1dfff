/** Names of vendors and devices from the system's own pci.ids, where it has one. */
import type { TreeReader } from './sysfs.ts';

/** Debian, Fedora, others. */
export const pciIdsPaths: readonly string[] = [
  '/usr/share/misc/pci.ids',
  '/usr/share/hwdata/pci.ids',
  '/usr/share/pci.ids',
];

/** The file has 1.5 MB today. */
const fileBytesMax = 16 * 1024 * 1024;

/** Searched as bytes: to make text of all of it takes longer than every look-up of a scan. */
export class PciIds {
  readonly #reader: TreeReader;
  readonly #paths: readonly string[];
  readonly #names = new Map<string, string | null>();
  readonly #vendors = new Map<string, number>();
  #bytes: Buffer | undefined;

  constructor(reader: TreeReader, paths: readonly string[] = pciIdsPaths) {
    this.#reader = reader;
    this.#paths = paths;
  }

  /** The vendor's name, or null when it, or the whole list, is not there. @param id  0…0xffff */
  vendor(id: number): string | null {
    const key = toKey(id);
    return this.#once(key, () => nameAt(this.#load(), this.#vendorStart(key)));
  }

  /** The device's name, or null. */
  device(vendorId: number, deviceId: number): string | null {
    const [vendor, device] = [toKey(vendorId), toKey(deviceId)];
    return this.#once(`${vendor}:${device}`, () => {
      const bytes = this.#load();
      const start = this.#vendorStart(vendor);
      if (start === -1) return null;
      const found = bytes.indexOf(`\n\t${device}  `, start);
      return found !== -1 && found < endOfVendor(bytes, start) ? nameAt(bytes, found + 2) : null;
    });
  }

  #vendorStart(key: string): number {
    const known = this.#vendors.get(key);
    if (known !== undefined) return known;
    const bytes = this.#load();
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

  #load(): Buffer {
    if (this.#bytes !== undefined) return this.#bytes;
    for (const path of this.#paths) {
      const bytes = this.#reader.exists(path) ? this.#reader.bytes(path, fileBytesMax) : undefined;
      if (bytes !== undefined) return (this.#bytes = bytes);
    }
    return (this.#bytes = Buffer.alloc(0));
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

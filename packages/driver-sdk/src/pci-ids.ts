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

export class PciIds {
  readonly #reader: TreeReader;
  readonly #paths: readonly string[];
  readonly #names = new Map<string, string | null>();
  #text: string | undefined;

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
      const text = this.#load();
      const start = this.#vendorStart(vendor);
      if (start === -1) return null;
      const found = text.indexOf(`\n\t${device}  `, start);
      return found !== -1 && found < endOfVendor(text, start) ? nameAt(text, found + 2) : null;
    });
  }

  #vendorStart(key: string): number {
    const found = this.#load().indexOf(`\n${key}  `);
    return found === -1 ? -1 : found + 1;
  }

  #once(key: string, find: () => string | null): string | null {
    const known = this.#names.get(key);
    if (known !== undefined) return known;
    const name = find();
    this.#names.set(key, name);
    return name;
  }

  #load(): string {
    if (this.#text !== undefined) return this.#text;
    for (const path of this.#paths) {
      const bytes = this.#reader.exists(path) ? this.#reader.bytes(path, fileBytesMax) : undefined;
      if (bytes !== undefined) return (this.#text = `\n${bytes.toString('utf8')}`);
    }
    return (this.#text = '');
  }
}

const toKey = (id: number): string => id.toString(16).padStart(4, '0');

/** Of an entry that starts at `start` with a four-digit id and two spaces. */
function nameAt(text: string, start: number): string | null {
  if (start === -1) return null;
  const end = text.indexOf('\n', start);
  return text.slice(start + 6, end === -1 ? undefined : end).trim() || null;
}

/** The next line that starts with neither tab nor comment. */
function endOfVendor(text: string, start: number): number {
  const next = /\n[^\t#\n]/gu;
  next.lastIndex = start;
  return next.exec(text)?.index ?? text.length;
}

/**
 * Reads kernel trees (sysfs, proc, recorded copies) that may be damaged: what is missing, unreadable, too large or not
 * text is `undefined`, never an error. Synchronous, because a tree has thousands of small files and each asynchronous
 * read costs ten times as much; run it in a {@link ScanProcess}, which survives a file that blocks.
 */
import { closeSync, constants, existsSync, fstatSync, openSync, readSync } from 'node:fs';
import { readdirSync, readlinkSync, realpathSync, statSync } from 'node:fs';

export const sysfsLimits = {
  /** A sysfs attribute is at most one page; what is longer is not an attribute. */
  attributeBytesMax: 4096,
  /** Tables of /proc (mountinfo of a host with many containers). */
  tableBytesMax: 4 * 1024 * 1024,
  directoryEntriesMax: 65_536,
} as const;

/** Told of each system call before and after it is made, so that somebody else can see which one hangs. */
export interface ReadWatch {
  before(path: string): void;
  after(): void;
}

const unwatched: ReadWatch = { before: () => undefined, after: () => undefined };

export type EntryKind = 'file' | 'directory' | 'link' | 'other';

// Not blocking: a FIFO in the tree is opened and found out, where a plain open would wait for a writer for ever.
const openFlags = constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY;
// Text that the kernel writes: printable ASCII, tab and newline; and whatever UTF-8 a vendor put in a name.
// oxlint-disable-next-line no-control-regex -- control characters are what tells garbage from text
const garbage = /[\u0000-\u0008\u000b-\u001f\u007f]/u;

export class TreeReader {
  readonly #watch: ReadWatch;
  /** Files that are known to hang: taken for unreadable. */
  readonly #skip: ReadonlySet<string>;
  #buffer = Buffer.allocUnsafeSlow(sysfsLimits.attributeBytesMax + 1);

  constructor({
    watch = unwatched,
    skip = [],
  }: { watch?: ReadWatch; skip?: Iterable<string> } = {}) {
    this.#watch = watch;
    this.#skip = new Set(skip);
  }

  /** The text of an attribute without surrounding white space. */
  text(path: string, bytesMax: number = sysfsLimits.attributeBytesMax): string | undefined {
    const length = this.#read(path, bytesMax);
    return length === undefined ? undefined : this.#toText(length, bytesMax);
  }

  /**
   * The same for a file that a listing has just shown to be plain, which saves a system call.
   * A FIFO put in its place meanwhile does not block either.
   */
  plainText(path: string): string | undefined {
    const length = this.#read(path, sysfsLimits.attributeBytesMax, true);
    return length === undefined ? undefined : this.#toText(length, sysfsLimits.attributeBytesMax);
  }

  /** The lines of a table such as /proc/self/mountinfo. */
  lines(path: string): string[] | undefined {
    const text = this.text(path, sysfsLimits.tableBytesMax);
    return text === undefined ? undefined : text.split('\n');
  }

  /** A number in decimal, or in hexadecimal with 0x. */
  integer(path: string): number | undefined {
    return toInteger(this.text(path));
  }

  /** The first bytes of a binary attribute; fewer when the file, or what we may read of it, is shorter. */
  bytes(path: string, bytesMax: number): Buffer | undefined {
    const length = this.#read(path, bytesMax);
    if (length === undefined) return undefined;
    return Buffer.from(this.#buffer.subarray(0, Math.min(length, bytesMax)));
  }

  /** Where a symbolic link points, as written. */
  link(path: string): string | undefined {
    return this.#attempt(path, () => readlinkSync(path));
  }

  /** The last part of a link's target: `vfio-pci` of `driver`, `21` of `iommu_group`. */
  linkName(path: string): string | undefined {
    const target = this.link(path);
    return target === undefined
      ? undefined
      : target.slice(target.lastIndexOf('/') + 1) || undefined;
  }

  /** The path without links; undefined when it leads nowhere. */
  resolve(path: string): string | undefined {
    return this.exists(path) ? this.#attempt(path, () => realpathSync(path)) : undefined;
  }

  /** Any other look at a path, under the same care; undefined when it throws, or the path is to be skipped. */
  probe<T>(path: string, look: () => T): T | undefined {
    return this.#attempt(path, look);
  }

  /** Changes when the kernel makes the file or folder anew, as when a card was swapped. */
  inode(path: string): number | undefined {
    return this.#attempt(path, () => statSync(path).ino);
  }

  /** Follows links: a dangling link does not exist. */
  exists(path: string): boolean {
    return this.#attempt(path, () => existsSync(path)) ?? false;
  }

  /** The names in a folder; undefined when it cannot be listed. */
  names(path: string): string[] | undefined {
    const names = this.#attempt(path, () => readdirSync(path));
    return names?.slice(0, sysfsLimits.directoryEntriesMax);
  }

  /** The names in a folder with what they are, links not followed; undefined when it cannot be listed. */
  entries(path: string): Map<string, EntryKind> | undefined {
    const list = this.#attempt(path, () => readdirSync(path, { withFileTypes: true }));
    if (list === undefined) return undefined;
    const entries = new Map<string, EntryKind>();
    for (const entry of list) {
      if (entry.isFile()) entries.set(entry.name, 'file');
      else if (entry.isDirectory()) entries.set(entry.name, 'directory');
      else entries.set(entry.name, entry.isSymbolicLink() ? 'link' : 'other');
    }
    return entries;
  }

  /** Fills the buffer with up to `bytesMax + 1` bytes, so that the caller can tell "all" from "more". */
  #read(path: string, bytesMax: number, isPlain = false): number | undefined {
    return this.#attempt(path, () => {
      const file = openSync(path, openFlags);
      try {
        if (bytesMax >= this.#buffer.length) {
          this.#buffer = Buffer.allocUnsafeSlow(bytesMax + 1);
        }
        if (!isPlain && !fstatSync(file).isFile()) return undefined;
        return this.#fill(file, bytesMax + 1);
      } finally {
        closeSync(file);
      }
    });
  }

  /** The kernel gives an attribute in one piece, but a table of /proc page by page. */
  #fill(file: number, wanted: number): number {
    let length = readSync(file, this.#buffer, 0, wanted, null);
    if (length < sysfsLimits.attributeBytesMax / 2) return length;
    while (length < wanted) {
      const more = readSync(file, this.#buffer, length, wanted - length, null);
      if (more === 0) break;
      length += more;
    }
    return length;
  }

  #toText(length: number, bytesMax: number): string | undefined {
    if (length > bytesMax) return undefined;
    const text = this.#buffer.toString('utf8', 0, length).trim();
    return garbage.test(text) ? undefined : text;
  }

  #attempt<T>(path: string, act: () => T): T | undefined {
    if (this.#skip.size > 0 && this.#skip.has(path)) return undefined;
    this.#watch.before(path);
    try {
      return act();
    } catch {
      return undefined; // missing, unreadable, gone while we looked: all the same to the caller
    } finally {
      this.#watch.after();
    }
  }
}

/** A number as the kernel writes it: decimal, or hexadecimal with 0x. */
export function toInteger(text: string | undefined): number | undefined {
  if (text === undefined || !/^(?:-?\d{1,15}|0x[0-9a-f]{1,12})$/iu.test(text)) return undefined;
  return Number(text);
}

/** A package's tarball, entry by entry; whatever a package may not have is refused before its content is read. */
import { pipeline } from 'node:stream/promises';
import { createGunzip } from 'node:zlib';
import { extract, type Headers } from 'tar-stream';

import { packageLimits } from './limits.ts';
import { PackageError } from './package-error.ts';

export interface PackageEntry {
  /** Below the package's folder, such as `src/main.js`. */
  readonly path: string;
  readonly kind: 'file' | 'folder';
  readonly bytes: number;
  readonly isExecutable: boolean;
  /** Must be read to its end before the next entry; nothing for a folder. */
  readonly content: AsyncIterable<Uint8Array>;
}

/** What npm puts everything in. */
export const packageFolder = 'package';

/**
 * Calls `visit` for every file and folder, one after the other.
 *
 * @throws PackageError for what is no gzipped tar, has links, devices, paths that leave the package, the same path twice,
 *   or is over one of `packageLimits`.
 */
export async function readArchive(
  tarball: AsyncIterable<Uint8Array>,
  visit: (entry: PackageEntry) => Promise<void>,
): Promise<void> {
  const budget = new Budget();
  const unpacked = extract();
  const fed = pipeline(
    tarball,
    (source: AsyncIterable<Uint8Array>) => budget.compressed(source),
    createGunzip(),
    (source: AsyncIterable<Uint8Array>) => budget.unpacked(source),
    unpacked,
  );
  const read = visitAll(unpacked, visit);
  const [reading, feeding] = await Promise.allSettled([
    read.catch((error: unknown) => {
      unpacked.destroy();
      throw error;
    }),
    fed,
  ]);
  const failure = firstFailure(reading, feeding);
  if (failure !== undefined) throw toPackageError(failure);
}

/** Our own complaint before that of a stream that was ended because of it. */
function firstFailure(...results: readonly PromiseSettledResult<void>[]): unknown {
  const reasons = results.flatMap((result) =>
    result.status === 'rejected' ? [result.reason as unknown] : [],
  );
  return reasons.find((reason) => reason instanceof PackageError) ?? reasons[0];
}

async function visitAll(
  unpacked: ReturnType<typeof extract>,
  visit: (entry: PackageEntry) => Promise<void>,
): Promise<void> {
  const paths = new Paths();
  for await (const entry of unpacked) {
    const found = toEntry(entry.header, entry);
    if (found === undefined) {
      entry.resume();
      continue;
    }
    paths.add(found);
    await visit(found);
    entry.resume();
  }
}

function toEntry(header: Headers, content: AsyncIterable<Uint8Array>): PackageEntry | undefined {
  const { name, type, size = 0, mode = 0 } = header;
  if (type !== 'file' && type !== 'directory') {
    throw new PackageError(
      `${shown(name)} is a ${type ?? 'thing of unknown kind'}: a package has files and folders, no links and no devices.`,
    );
  }
  const path = toPath(name);
  if (type === 'file' && size > packageLimits.fileBytesMax) {
    throw new PackageError(
      `${path} has ${size} bytes; a file may have ${packageLimits.fileBytesMax}.`,
    );
  }
  if (path === '') {
    if (type === 'directory') return undefined;
    throw new PackageError(`${packageFolder} is a file: it must be the folder that npm makes.`);
  }
  const kind = type === 'file' ? 'file' : 'folder';
  return { path, kind, bytes: size, isExecutable: (mode & 0o100) !== 0, content };
}

/** @returns the path below the package's folder; empty for that folder itself. */
function toPath(name: string): string {
  const path = name.endsWith('/') ? name.slice(0, -1) : name;
  const segments = path.split('/');
  const isPlain = segments.every(
    (segment) => segment !== '' && segment !== '.' && segment !== '..' && !hasOddCharacter(segment),
  );
  if (!isPlain) {
    throw new PackageError(
      `${shown(name)}: a path must be relative, without "..", "." and empty parts, backslashes and control characters.`,
    );
  }
  if (segments[0] !== packageFolder) {
    throw new PackageError(
      `${shown(name)} is not in the folder ${packageFolder}/, in which npm puts everything: make the package with \`npm pack\` or \`cyborg driver-pack\`.`,
    );
  }
  const { pathCharsMax, pathSegmentsMax } = packageLimits;
  if (path.length > pathCharsMax || segments.length > pathSegmentsMax) {
    throw new PackageError(
      `${shown(name)}: a path may have ${pathCharsMax} characters and ${pathSegmentsMax} parts.`,
    );
  }
  return segments.slice(1).join('/');
}

function hasOddCharacter(segment: string): boolean {
  return /[\p{Cc}\p{Cf}\\]/u.test(segment);
}

function shown(name: string): string {
  return JSON.stringify(name.slice(0, 120));
}

/** No path twice, and nothing inside a file. */
class Paths {
  readonly #files = new Set<string>();
  readonly #folders = new Set<string>();
  #count = 0;

  add({ path, kind }: PackageEntry): void {
    this.#count += 1;
    if (this.#count > packageLimits.entriesMax) {
      throw new PackageError(
        `It has more than ${packageLimits.entriesMax} files and folders: bundle what it needs.`,
      );
    }
    for (const parent of parentsOf(path)) {
      if (this.#files.has(parent)) throw twice(parent);
      this.#folders.add(parent);
    }
    const isTaken = this.#files.has(path) || (kind === 'file' && this.#folders.has(path));
    if (isTaken) throw twice(path);
    (kind === 'file' ? this.#files : this.#folders).add(path);
  }
}

function twice(path: string): PackageError {
  return new PackageError(`${shown(path)} is in it twice.`);
}

function parentsOf(path: string): string[] {
  const segments = path.split('/');
  return segments.slice(1).map((_, index) => segments.slice(0, index + 1).join('/'));
}

/** How much has come in and how much it became: a small tarball must not fill a disk. */
class Budget {
  #in = 0;
  #out = 0;

  async *compressed(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const piece of source) {
      this.#in += piece.length;
      if (this.#in > packageLimits.tarballBytesMax) {
        throw new PackageError(
          `It is over ${packageLimits.tarballBytesMax} bytes: leave out what the driver does not need.`,
        );
      }
      yield piece;
    }
  }

  async *unpacked(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    const { unpackedBytesMax, ratioMax, ratioFreeBytes } = packageLimits;
    for await (const piece of source) {
      this.#out += piece.length;
      if (this.#out > unpackedBytesMax) {
        throw new PackageError(`Unpacked, it is over ${unpackedBytesMax} bytes.`);
      }
      if (this.#out > ratioFreeBytes && this.#out > this.#in * ratioMax) {
        throw new PackageError(`It unpacks to more than ${ratioMax} times its size.`);
      }
      yield piece;
    }
  }
}

function toPackageError(error: unknown): unknown {
  if (error instanceof PackageError) return error;
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  const isTar = error instanceof Error && /^(Invalid tar|Unexpected end)/.test(error.message);
  if (code.startsWith('Z_') || isTar) {
    return new PackageError('It is no whole gzipped tar: make it with `npm pack`.');
  }
  return error;
}

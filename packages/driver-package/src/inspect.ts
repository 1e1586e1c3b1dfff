/** Reads a package through, keeps nothing but its manifest, and says what is wrong with it. */
import { readArchive, type PackageEntry } from './archive.ts';
import { Hasher, type Hashed } from './digest.ts';
import { packageLimits } from './limits.ts';
import { parseManifest, parseNpmManifest, type PackageManifest } from './manifest.ts';
import { PackageError } from './package-error.ts';

interface PackagedFile {
  readonly path: string;
  readonly isExecutable: boolean;
}

export interface Inspected extends Hashed {
  readonly manifest: PackageManifest;
  readonly unpackedBytes: number;
  readonly files: number;
  /** In the order of the package. */
  readonly listing: readonly PackagedFile[];
}

/** @throws PackageError with the first thing that is wrong. */
export async function inspectPackage(tarball: AsyncIterable<Uint8Array>): Promise<Inspected> {
  const hasher = new Hasher();
  const files = new Map<string, { readonly isExecutable: boolean }>();
  const texts = new Map<string, string>();
  let unpackedBytes = 0;
  await readArchive(hashed(tarball, hasher), async (entry) => {
    if (entry.kind === 'folder') return;
    files.set(entry.path, entry);
    unpackedBytes += entry.bytes;
    if (entry.path === 'manifest.json' || entry.path === 'package.json') {
      texts.set(entry.path, await readText(entry));
    }
  });
  const manifest = parseManifest(textOf(texts, 'manifest.json'));
  checkVersion(manifest, textOf(texts, 'package.json'));
  checkFiles(manifest, files);
  const listing = [...files].map(([path, { isExecutable }]) => ({ path, isExecutable }));
  return { ...hasher.end(), manifest, unpackedBytes, files: files.size, listing };
}

async function* hashed(
  source: AsyncIterable<Uint8Array>,
  hasher: Hasher,
): AsyncGenerator<Uint8Array> {
  for await (const piece of source) {
    hasher.add(piece);
    yield piece;
  }
}

async function readText({ path, bytes, content }: PackageEntry): Promise<string> {
  if (bytes > packageLimits.manifestBytesMax) {
    throw new PackageError(
      `${path} has ${bytes} bytes; it may have ${packageLimits.manifestBytesMax}.`,
    );
  }
  const pieces: Uint8Array[] = [];
  for await (const piece of content) pieces.push(piece);
  return Buffer.concat(pieces).toString('utf8');
}

function textOf(texts: ReadonlyMap<string, string>, path: string): string {
  const text = texts.get(path);
  if (text === undefined) throw new PackageError(`It has no ${path} in its folder.`);
  return text;
}

function checkVersion(manifest: PackageManifest, npmText: string): void {
  const { version } = parseNpmManifest(npmText);
  if (version === manifest.version) return;
  throw new PackageError(
    `manifest.json: version: ${manifest.version} is not that of package.json, ${version}.`,
  );
}

function checkFiles(
  { entry, runtime, definitions = [] }: PackageManifest,
  files: ReadonlyMap<string, { readonly isExecutable: boolean }>,
): void {
  for (const [field, path] of [
    ['entry', entry],
    ...definitions.map((file) => ['definitions', file] as const),
  ] as const) {
    if (files.has(path)) continue;
    throw new PackageError(`manifest.json: ${field}: there is no file ${path} in the package.`);
  }
  if (runtime === 'program' && files.get(entry)?.isExecutable === false) {
    throw new PackageError(`manifest.json: entry: ${entry} is not executable.`);
  }
}

/** Makes a package of a folder, the same bytes every time: no owners, no dates. */
import { createReadStream, createWriteStream } from 'node:fs';
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createGzip } from 'node:zlib';
import { pack, type Pack } from 'tar-stream';

import { packageFolder } from './archive.ts';
import { PackageError } from './package-error.ts';

/** Never part of a package: a version control's, what is made anew, settings of the machine that packs it. */
const leftOut = new Set(['.git', '.gitignore', '.npmignore', '.npmrc', '.DS_Store', '__pycache__']);

function isLeftOut(name: string): boolean {
  return leftOut.has(name) || name.endsWith('.pyc') || /^\.env(?:\.|$)/u.test(name);
}

/** As the first line of a key in PEM has it, OpenSSH's and PGP's, too. */
const privateKey = /^-----BEGIN (?:[A-Z0-9]+ )*PRIVATE KEY(?: BLOCK)?-----/mu;
/** Of the longest such line, so that it is found across two pieces of a file. */
const keyLineCharsMax = 64;

/** What npm takes for the date of every file: the year 1985, so that zip tools are not confused. */
const packedAt = new Date('1985-10-26T08:15:00.000Z');

/** @throws PackageError for links, devices and private keys; what else may be wrong is `inspectPackage`'s to say. */
export async function packFolder(folder: string, tarball: string): Promise<void> {
  const archive = pack();
  const written = pipeline(archive, createGzip({ level: 9 }), createWriteStream(tarball));
  const added = addFolder(archive, folder, packageFolder).then(
    () => archive.finalize(),
    (error: unknown) => {
      archive.destroy();
      throw error;
    },
  );
  const [adding, writing] = await Promise.allSettled([added, written]);
  if (adding.status === 'rejected') throw adding.reason;
  if (writing.status === 'rejected') throw writing.reason;
}

async function addFolder(archive: Pack, folder: string, name: string): Promise<void> {
  const names = await readdir(folder);
  for (const child of names.toSorted((a, b) => (a < b ? -1 : 1))) {
    const isTarball = name === packageFolder && child.endsWith('.tgz');
    if (isLeftOut(child) || isTarball) continue;
    await addOne(archive, join(folder, child), `${name}/${child}`);
  }
}

async function addOne(archive: Pack, path: string, name: string): Promise<void> {
  const found = await lstat(path);
  if (found.isDirectory()) return addFolder(archive, path, name);
  if (!found.isFile()) {
    throw new PackageError(`${path} is no plain file: a package has no links and no devices.`);
  }
  await refuseKey(path);
  const mode = (found.mode & 0o100) === 0 ? 0o644 : 0o755;
  const entry = archive.entry({ name, size: found.size, mode, mtime: packedAt });
  await pipeline(createReadStream(path), entry);
}

/** @throws PackageError when the file holds a private key: whoever gets the package would have it. */
async function refuseKey(path: string): Promise<void> {
  let end = '';
  for await (const piece of createReadStream(path, 'latin1')) {
    const text = end + String(piece);
    if (privateKey.test(text)) {
      throw new PackageError(
        `${path} holds a private key, which everybody who gets the package would have. Move it out of the folder.`,
      );
    }
    end = text.slice(-keyLineCharsMax);
  }
}

/** Writes a package's files into a folder of their own. */
import { createReadStream } from 'node:fs';
import { mkdir, open } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { readArchive } from './archive.ts';

/**
 * @param folder  must not exist; everybody may read what comes into it.
 * @throws PackageError as `readArchive` does; what was written by then is left there.
 */
export async function unpackPackage(tarball: string, folder: string): Promise<void> {
  await makeFolder(folder);
  await readArchive(createReadStream(tarball), async ({ path, kind, isExecutable, content }) => {
    const target = join(folder, path);
    await makeFolder(kind === 'folder' ? target : dirname(target));
    if (kind === 'folder') return;
    await using file = await open(target, 'wx', 0o600);
    for await (const piece of content) await file.writeFile(piece);
    await file.chmod(isExecutable ? 0o755 : 0o644);
  });
}

async function makeFolder(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o755 });
}

import {
  createReadStream,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  mkdirSync,
} from 'node:fs';
import { readFile, readdir, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'vitest';

import { inspectPackage } from './inspect.ts';
import { packFolder } from './pack.ts';
import { testManifest } from './test-package.ts';
import { unpackPackage } from './unpack.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cyborg-pack-'));
  const source = join(folder, 'source');
  mkdirSync(join(source, 'src'), { recursive: true });
  writeFileSync(join(source, 'package.json'), '{"name":"acme","version":"1.0.0"}');
  writeFileSync(
    join(source, 'manifest.json'),
    JSON.stringify({ ...testManifest, runtime: 'program' }),
  );
  writeFileSync(join(source, 'src', 'main.js'), '#!/bin/sh\n', { mode: 0o755 });
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

describe('a folder', () => {
  it('becomes the same package every time, and comes out of it as it was', async ({ expect }) => {
    const [first, second] = [join(folder, 'a.tgz'), join(folder, 'b.tgz')];
    await packFolder(join(folder, 'source'), first);
    await packFolder(join(folder, 'source'), second);
    const inspected = await inspectPackage(createReadStream(first));
    expect(await inspectPackage(createReadStream(second))).toEqual(inspected);
    const out = join(folder, 'out');
    await unpackPackage(first, out);
    expect((await readdir(out)).toSorted()).toEqual(['manifest.json', 'package.json', 'src']);
    expect(await readFile(join(out, 'src', 'main.js'), 'utf8')).toBe('#!/bin/sh\n');
    expect((await stat(join(out, 'src', 'main.js'))).mode & 0o777).toBe(0o755);
    expect((await stat(join(out, 'manifest.json'))).mode & 0o777).toBe(0o644);
  });

  it('leaves out what is made anew, and settings of the machine that packs it', async ({
    expect,
  }) => {
    const cache = join(folder, 'source', 'src', '__pycache__');
    mkdirSync(cache);
    for (const path of [join(cache, 'main.cpython-312.pyc'), join(folder, 'source', 'old.pyc')]) {
      writeFileSync(path, 'x');
    }
    for (const name of ['.env', '.env.local']) writeFileSync(join(folder, 'source', name), 'A=b');
    writeFileSync(join(folder, 'source', '.environment'), 'kept');
    await packFolder(join(folder, 'source'), join(folder, 'a.tgz'));
    const { listing } = await inspectPackage(createReadStream(join(folder, 'a.tgz')));
    expect(listing).toEqual([
      { path: '.environment', isExecutable: false },
      { path: 'manifest.json', isExecutable: false },
      { path: 'package.json', isExecutable: false },
      { path: 'src/main.js', isExecutable: true },
    ]);
  });

  it.for(['PRIVATE KEY', 'RSA PRIVATE KEY', 'OPENSSH PRIVATE KEY', 'PGP PRIVATE KEY BLOCK'])(
    'with a file that holds a %s is refused, wherever in it the key is',
    async (name, { expect }) => {
      // Across two pieces of the file, as it is read.
      const before = `${'x'.repeat(64 * 1024 - 8)}\n`;
      const file = join(folder, 'source', 'notes.txt');
      writeFileSync(file, `${before}-----BEGIN ${name}-----\nMC4C\n`);
      const packing = packFolder(join(folder, 'source'), join(folder, 'a.tgz'));
      await expect(packing).rejects.toThrow(`${file} holds a private key`);
    },
  );

  it('with a public key in it, or with code that looks for private ones, is packed', async ({
    expect,
  }) => {
    writeFileSync(join(folder, 'source', 'a.pem'), '-----BEGIN PUBLIC KEY-----\nMCow\n');
    writeFileSync(join(folder, 'source', 'b.js'), "x = '-----BEGIN PRIVATE KEY-----';\n");
    await packFolder(join(folder, 'source'), join(folder, 'a.tgz'));
    const { files } = await inspectPackage(createReadStream(join(folder, 'a.tgz')));
    expect(files).toBe(5);
  });

  it('with a link in it is refused', async ({ expect }) => {
    symlinkSync('/etc/hostname', join(folder, 'source', 'x'));
    await expect(packFolder(join(folder, 'source'), join(folder, 'a.tgz'))).rejects.toThrow(
      'no links and no devices',
    );
  });
});

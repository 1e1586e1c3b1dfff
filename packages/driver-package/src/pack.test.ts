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

  it('with a link in it is refused', async ({ expect }) => {
    symlinkSync('/etc/hostname', join(folder, 'source', 'x'));
    await expect(packFolder(join(folder, 'source'), join(folder, 'a.tgz'))).rejects.toThrow(
      'no links and no devices',
    );
  });
});

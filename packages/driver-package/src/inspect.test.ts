import { gzipSync } from 'node:zlib';
import { describe, it } from 'vitest';

import { digestOf } from './digest.ts';
import { inspectPackage } from './inspect.ts';
import { packageLimits } from './limits.ts';
import { inPieces, tarOf, tarballOf, testEntries, type TestEntry } from './test-package.ts';

async function refusalOf(entries: readonly TestEntry[]): Promise<string> {
  return inspectPackage(inPieces(await tarballOf(entries))).then(
    () => 'taken',
    (error: Error) => `${error.name}: ${error.message}`,
  );
}

describe('a package', () => {
  it('is read to its manifest, digest and size', async ({ expect }) => {
    const tarball = await tarballOf(testEntries({}, [{ name: 'package/lib/', type: 'directory' }]));
    const inspected = await inspectPackage(inPieces(tarball));
    expect(inspected).toMatchObject({ bytes: tarball.length, files: 3, manifest: { id: 'acme' } });
    expect(inspected.digest).toMatch(/^sha512-[A-Za-z0-9+/]{86}==$/);
    expect((await digestOf(inPieces(tarball, 77))).digest).toBe(inspected.digest);
  });

  it.for<[string, TestEntry, RegExp]>([
    [
      'a symbolic link',
      { name: 'package/x', type: 'symlink', linkname: '/etc/passwd' },
      /is a symlink/,
    ],
    [
      'a hard link',
      { name: 'package/x', type: 'link', linkname: 'package/package.json' },
      /is a link/,
    ],
    [
      'a device',
      { name: 'package/x', type: 'character-device', devmajor: 1 },
      /is a character-device/,
    ],
    ['a pipe', { name: 'package/x', type: 'fifo' }, /is a fifo/],
    ['a path upwards', { name: 'package/../../x', content: 'x' }, /must be relative/],
    ['an absolute path', { name: '/package/x', content: 'x' }, /must be relative/],
    ['a backslash', { name: 'package/..\\x', content: 'x' }, /must be relative/],
    ['a control character', { name: 'package/a\u001bb', content: 'x' }, /must be relative/],
    ['another folder', { name: 'other/x', content: 'x' }, /not in the folder package/],
    ['the same path twice', { name: 'package/src/main.js', content: 'x' }, /in it twice/],
    ['a file in a file', { name: 'package/src/main.js/x', content: 'x' }, /in it twice/],
    ['a file in place of a folder', { name: 'package/src', content: 'x' }, /in it twice/],
    ['a long path', { name: `package/${'a'.repeat(250)}`, content: 'x' }, /200 characters/],
    ['a deep path', { name: `package/${'a/'.repeat(40)}b`, content: 'x' }, /32 parts/],
  ])('with %s is refused', async ([, entry, reason], { expect }) => {
    expect(await refusalOf(testEntries({}, [entry]))).toMatch(reason);
  });

  it.for<[string, object, RegExp]>([
    ['without an id', { id: undefined }, /manifest.json: id is missing/],
    ['with an id that is a path', { id: '../x' }, /manifest.json: id is "\.\.\/x"; .*lower-case/],
    [
      'with an unknown key',
      { shell: 'rm' },
      /manifest.json: shell is not known; the keys are id, version, .*runtime/,
    ],
    [
      'with an unknown runtime',
      { runtime: 'ruby' },
      /runtime is "ruby"; it must be one of "node", "python3", "program"\./,
    ],
    ['whose version is no version', { version: '1.0' }, /version is "1.0"; .*semantic version/],
    [
      'whose entry is a path upwards',
      { entry: '../main.js' },
      /manifest.json: entry is "\.\.\/main.js"; .*A file of the package, such as/,
    ],
    ['whose entry is not in it', { entry: 'src/other.js' }, /there is no file src\/other.js/],
    ['with definitions that are not in it', { definitions: ['a.yaml'] }, /there is no file a.yaml/],
    ['with a program that is not executable', { runtime: 'program' }, /is not executable/],
    ['with a protocol from 2 to 1', { protocol: { min: 2, max: 1 } }, /protocol.min/],
    [
      'with a default backend of no kind',
      { default_backends: [{ name: 'x', kind: 'y', config: {} }] },
      /x is of kind y/,
    ],
  ])('%s is refused', async ([, manifest, reason], { expect }) => {
    expect(await refusalOf(testEntries(manifest))).toMatch(reason);
  });

  it('without manifest, or with another version in package.json, is refused', async ({
    expect,
  }) => {
    const [npm, ...rest] = testEntries();
    expect(await refusalOf(rest)).toMatch('no package.json');
    const other = {
      ...npm,
      name: 'package/package.json',
      content: '{"name":"x","version":"9.0.0"}',
    };
    expect(await refusalOf([other, ...rest])).toMatch('not that of package.json, 9.0.0');
  });

  it('whose manifest begins with a byte order mark is refused', async ({ expect }) => {
    const [npm, manifest, ...rest] = testEntries();
    const marked = { name: 'package/manifest.json', content: `\uFEFF${String(manifest?.content)}` };
    const entries = [npm, marked, ...rest].filter((one) => one !== undefined);
    expect(await refusalOf(entries)).toMatch('manifest.json begins with a byte order mark');
  });

  it('that unpacks to a hundred times its size is refused', async ({ expect }) => {
    const zeros = { name: 'package/zeros', content: Buffer.alloc(8 * 1024 * 1024) };
    expect(await refusalOf(testEntries({}, [zeros]))).toMatch('more than 100 times its size');
  });

  it('with too large a file is refused by its header', async ({ expect }) => {
    const tar = await tarOf([{ name: 'package/big', content: 'x' }]);
    const size = (packageLimits.fileBytesMax + 1).toString(8).padStart(11, '0');
    tar.write(size, 124);
    tar.write('        ', 148);
    const sum = tar.subarray(0, 512).reduce((total, byte) => total + byte, 0);
    tar.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
    await expect(inspectPackage(inPieces(gzipSync(tar)))).rejects.toThrow('a file may have');
  });

  it('with too many files is refused', async ({ expect }) => {
    const many = Array.from({ length: packageLimits.entriesMax }, (_, index) => ({
      name: `package/f${index}`,
      content: '',
    }));
    expect(await refusalOf(testEntries({}, many))).toMatch('more than 8192 files');
  });

  it('that is cut off, or is no gzip at all, is refused', async ({ expect }) => {
    const tarball = await tarballOf(testEntries());
    for (const bytes of [tarball.subarray(0, 60), Buffer.from('hello'), Buffer.alloc(0)]) {
      await expect(inspectPackage(inPieces(bytes))).rejects.toThrow(
        /PackageError|no whole gzipped|has no/,
      );
    }
    const cut = gzipSync((await tarOf(testEntries())).subarray(0, 700));
    await expect(inspectPackage(inPieces(cut))).rejects.toThrow(/no whole gzipped|has no/);
  });
});

import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'vitest';
import { openPciIds } from './pci-ids.ts';
import { TreeReader } from './sysfs.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cyborg-sysfs-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const reader = new TreeReader();

describe('TreeReader', () => {
  it('reads text without the newline, numbers in both notations, and link names', ({ expect }) => {
    writeFileSync(join(folder, 'vendor'), '0x10de\n');
    writeFileSync(join(folder, 'numa_node'), '-1'); // recorded without a newline
    symlinkSync('../../drivers/vfio-pci', join(folder, 'driver'));
    expect(reader.text(join(folder, 'vendor'))).toBe('0x10de');
    expect(reader.integer(join(folder, 'vendor'))).toBe(0x10de);
    expect(reader.integer(join(folder, 'numa_node'))).toBe(-1);
    expect(reader.linkName(join(folder, 'driver'))).toBe('vfio-pci');
  });

  it('takes for missing: what is missing, a folder, garbage, what is too large', ({ expect }) => {
    mkdirSync(join(folder, 'folder'));
    writeFileSync(join(folder, 'garbage'), Buffer.from([0x30, 0, 0xff, 0x1b]));
    writeFileSync(join(folder, 'large'), 'x'.repeat(5000));
    symlinkSync('nowhere', join(folder, 'dangling'));
    for (const name of ['missing', 'folder', 'garbage', 'large', 'dangling']) {
      expect(reader.text(join(folder, name)), name).toBeUndefined();
    }
    expect(reader.names(join(folder, 'missing'))).toBeUndefined();
    expect(reader.entries(join(folder, 'garbage'))).toBeUndefined();
  });

  it('does not wait for the writer of a FIFO', ({ expect }) => {
    const fifo = join(folder, 'fifo');
    execFileSync('mkfifo', [fifo]);
    expect(reader.text(fifo)).toBeUndefined();
    expect(reader.plainText(fifo)).toBe(''); // taken for plain by mistake: read, and empty
    expect(reader.entries(folder)?.get('fifo')).toBe('other');
  });

  it('reads tables that are longer than a page', ({ expect }) => {
    const lines = Array.from({ length: 5000 }, (_, index) => `line ${index}`);
    writeFileSync(join(folder, 'table'), `${lines.join('\n')}\n`);
    expect(reader.lines(join(folder, 'table'))).toEqual(lines);
  });

  it('does not touch a path that it was told to skip', ({ expect }) => {
    writeFileSync(join(folder, 'vendor'), '0x10de\n');
    const careful = new TreeReader({ skip: [join(folder, 'vendor')] });
    expect(careful.text(join(folder, 'vendor'))).toBeUndefined();
  });
});

describe('PciIds', () => {
  it('names vendors and devices, and nothing where there is no list', ({ expect }) => {
    const path = join(folder, 'pci.ids');
    writeFileSync(
      path,
      '# list\n10de  NVIDIA Corporation\n\t2330  GH100\n\t\t10de 16c1  board\n10df  Emulex\n\t2331  Other\n',
    );
    const names = openPciIds(reader, ['/nowhere/pci.ids', path]);
    expect(names.vendor(0x10de)).toBe('NVIDIA Corporation');
    expect(names.device(0x10de, 0x2330)).toBe('GH100');
    expect(names.device(0x10de, 0x2331)).toBeNull(); // is the next vendor's
    expect(names.vendor(0x1234)).toBeNull();
    expect(openPciIds(reader, []).vendor(0x10de)).toBeNull();
    expect(openPciIds(reader, [path]), 'the same file').toBe(names);
    writeFileSync(path, '10de  NVIDIA\n');
    expect(openPciIds(reader, [path]).vendor(0x10de), 'a newer list').toBe('NVIDIA');
  });
});

import { execFile } from 'node:child_process';
import { createReadStream, existsSync } from 'node:fs';
import { chmod, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConformanceReportSchema } from '@cyborg/api-spec/v3/conformance';
import { digestOf } from '@cyborg/driver-package/digest';
import { buildTree } from '@cyborg/driver-sdk/tree-builder';
import { Value } from 'typebox/value';
import { afterAll, beforeAll, describe, it } from 'vitest';

const program = join(import.meta.dirname, 'main.ts');

interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

const hasPython = existsSync('/usr/bin/python3') || existsSync('/bin/python3');

/** The program itself, in a folder that is no checkout. */
async function cyborg(cwd: string, ...args: string[]): Promise<Ended> {
  return await run(process.execPath, [program, ...args], cwd);
}

async function run(command: string, args: readonly string[], cwd: string): Promise<Ended> {
  return await new Promise((resolve) => {
    execFile(command, [...args], { cwd }, (error, stdout, stderr) => {
      const code = error === null ? 0 : Number(error.code ?? -1);
      resolve({ code, stdout, stderr });
    });
  });
}

async function edit(file: string, change: (text: string) => string): Promise<void> {
  const before = await readFile(file, 'utf8');
  const after = change(before);
  if (after === before) throw new Error(`${file} is not as docs/how-to/write-a-driver.md says`);
  await writeFile(file, after);
}

const updateInPython = `

def update(context, order, tell):
    with open(order["image"], "rb") as image:
        for percent in range(0, 101, 5):
            context.check_cancelled()
            image.read(65536)
            tell(percent)
`;

const clauses = ['--clause', 'D-DISC-5', '--clause', 'D-REL-3', '--clause', 'D-PREP-4'];

describe('cyborg driver-new', { timeout: 180_000 }, () => {
  let folder = '';
  let made: Ended;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'driver-new-'));
    await chmod(folder, 0o755);
    made = await cyborg(folder, 'driver-new', 'acme');
  });
  afterAll(async () => {
    await rm(folder, { recursive: true, force: true });
  });

  it('writes a driver that conforms as it is, and its package too', async ({ expect }) => {
    expect(made, made.stderr).toMatchObject({ code: 0 });
    const tried = await cyborg(folder, 'driver-test', 'acme', ...clauses);
    expect(tried, tried.stdout + tried.stderr).toMatchObject({ code: 0 });
    const packed = await cyborg(folder, 'driver-pack', 'acme');
    expect(packed, packed.stderr).toMatchObject({ code: 0 });
    const tarball = ['driver-test', 'acme-0.1.0.tgz', '--clause', 'D-PREP-1'];
    const unpacked = await cyborg(folder, ...tarball, '--report', 'report.json');
    expect(unpacked, unpacked.stdout + unpacked.stderr).toMatchObject({ code: 0 });
    expect(unpacked.stdout).toContain('driver acme 0.1.0 conforms');
    const report: unknown = JSON.parse(await readFile(join(folder, 'report.json'), 'utf8'));
    const { digest } = await digestOf(createReadStream(join(folder, 'acme-0.1.0.tgz')));
    expect(report).toMatchObject({ package: { digest }, only: ['D-PREP-1'] });
    // What the kit writes is what the server takes.
    expect(Value.Errors(ConformanceReportSchema, report)).toEqual([]);
  });

  it('needs but a few lines for another card', async ({ expect }) => {
    const other = join(folder, 'crypto');
    expect((await cyborg(folder, 'driver-new', 'cavium', '--dir', 'crypto')).code).toBe(0);
    await edit(join(other, 'manifest.json'), (text) => text.replace('8086:0b30', '177d:0010'));
    await edit(join(other, 'test', 'backends.json'), (text) =>
      text.replace('8086:0b30', '177d:0010'),
    );
    await edit(join(other, 'src', 'family.js'), (text) =>
      text.replace("type: 'FPGA'", "type: 'CRYPTO'").replaceAll('FPGA', 'CUSTOM_NITROX'),
    );
    const tried = await cyborg(folder, 'driver-test', 'crypto', ...clauses);
    expect(tried, tried.stdout + tried.stderr).toMatchObject({ code: 0 });
    expect(tried.stdout).toContain('driver cavium 0.1.0 conforms');
  });

  it.skipIf(!hasPython)(
    'writes the same in Python, with the standard library alone',
    async ({ expect }) => {
      const folderOf = join(folder, 'nitrox');
      const begun = await cyborg(folder, 'driver-new', 'nitrox', '--runtime', 'python3');
      expect(begun, begun.stderr).toMatchObject({ code: 0 });
      expect(await readdir(folderOf)).not.toContain('node_modules');
      await edit(join(folderOf, 'manifest.json'), (text) => text.replace('8086:0b30', '177d:0010'));
      const tests = [
        '-m',
        'unittest',
        'discover',
        'test',
        '-k',
        'Family',
        '-k',
        'Use',
        '-k',
        'Talk',
      ];
      const own = await run('python3', tests, folderOf);
      expect(own, own.stderr).toMatchObject({ code: 0 });
      // Beside its own card two that the host uses.
      const ids = ['177d:0010', '144d:a80a', '15b3:1021'];
      const backends = join(folder, 'nitrox.json');
      await writeFile(backends, JSON.stringify([{ name: 'n', kind: 'card', config: { ids } }]));
      const some = [...clauses, '--clause', 'D-PREP-6', '--clause', 'D-EPOCH-1'];
      const args = ['driver-test', 'nitrox', '--backends', backends, ...some];
      const tried = await cyborg(folder, ...args);
      expect(tried, tried.stdout + tried.stderr).toMatchObject({ code: 0 });
      expect(tried.stdout).toMatch(/^ok +D-PREP-6/m);
      // A machine of its own, as a folder that others cannot read.
      const function_ = {
        address: '0000:5e:00.0',
        vendor: 0x177d,
        device: 0x0010,
        class: 0x100000,
      };
      buildTree(join(folder, 'machine'), { functions: [{ ...function_, iommuGroup: 30 }] });
      await chmod(join(folder, 'machine'), 0o700);
      const onTree = ['--tree', join(folder, 'machine'), '--clause', 'D-PREP-1'];
      const there = await cyborg(folder, 'driver-test', 'nitrox', ...onTree);
      expect(there, there.stdout + there.stderr).toMatchObject({ code: 0 });
      expect(there.stdout).toMatch(/^ok +D-PREP-1/m);
      const nowhere = await cyborg(
        folder,
        'driver-test',
        'nitrox',
        '--tree',
        join(folder, 'nitrox'),
      );
      expect(nowhere.stderr).toContain('it has no folder sys');
      // Into a card that can be programmed, in pieces.
      await edit(join(folderOf, 'src', 'card.py'), (text) => text + updateInPython);
      const updates = [1, 2, 3, 4, 5].flatMap((number) => ['--clause', `D-UPD-${number}`]);
      const written = await cyborg(
        folder,
        'driver-test',
        'nitrox',
        ...updates,
        '--backends',
        backends,
      );
      expect(written, written.stdout + written.stderr).toMatchObject({ code: 0 });
      expect(written.stdout.match(/^ok +D-UPD-/gm)).toHaveLength(5);
      const packed = await cyborg(folder, 'driver-pack', 'nitrox');
      expect(packed, packed.stderr).toMatchObject({ code: 0 });
      const unpacked = await cyborg(
        folder,
        'driver-test',
        'nitrox-0.1.0.tgz',
        '--clause',
        'D-PREP-1',
      );
      expect(unpacked.stdout).toContain('driver nitrox 0.1.0 conforms');
    },
  );

  it('leaves what is there alone, and says what a name may be', async ({ expect }) => {
    const before = await readdir(folder);
    const again = await cyborg(folder, 'driver-new', 'acme');
    expect(again).toMatchObject({ code: 1 });
    expect(again.stderr).toMatch(/acme is there already: name another with --dir/);
    for (const name of ['Acme', 'a_b', '-a', 'a-', '../a', 'a'.repeat(64)]) {
      const refused = await cyborg(folder, 'driver-new', '--', name);
      expect(refused).toMatchObject({ code: 1 });
      expect(refused.stderr).toContain('lower-case letters, digits and dashes');
    }
    expect(await readdir(folder)).toEqual(before);
  });

  it('tries no package that a server would refuse', async ({ expect }) => {
    await writeFile(join(folder, 'wrong.tgz'), 'no tarball');
    const refused = await cyborg(folder, 'driver-test', 'wrong.tgz');
    expect(refused).toMatchObject({ code: 1, stdout: '' });
    expect(refused.stderr).toMatch(/^cyborg: .*(gzip|tar)/);
    const missing = await cyborg(folder, 'driver-test', 'missing.tgz');
    expect(missing).toMatchObject({ code: 1 });
    expect(missing.stderr).toContain('missing.tgz');
  });
});

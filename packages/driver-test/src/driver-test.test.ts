import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'vitest';
import { driverTest, type DriverTestOptions } from './driver-test.ts';
import { FrameReader, encodeFrame } from './frames.ts';
import { readJournal } from './journal.ts';

const root = join(import.meta.dirname, '../../..');

async function makeFolder(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), 'driver-test-'));
  return { path, [Symbol.asyncDispose]: async () => rm(path, { recursive: true, force: true }) };
}

function ask(options: Partial<DriverTestOptions>): ReturnType<typeof driverTest> {
  const defaults = { target: 'drivers/fake', workingDirectory: root, seed: 1 };
  return driverTest({ ...defaults, clauses: ['D-PREP-1'], ...options });
}

describe('driverTest', { timeout: 180_000 }, () => {
  it('records a conversation that replays, and sees when it goes differently', async ({
    expect,
  }) => {
    await using folder = await makeFolder();
    const record = join(folder.path, 'talk.jsonl');
    const report = join(folder.path, 'report.json');
    const first = await ask({ record, report });
    expect(first.passed, first.text).toBe(true);
    expect(JSON.parse(await readFile(report, 'utf8'))).toMatchObject({
      cyborg_driver_report: 1,
      package: null,
      only: ['D-PREP-1'],
      passed: true,
      seed: 1,
    });

    const again = await ask({ replay: record });
    expect(again.passed, again.text).toBe(true);
    expect(readJournal(record).head.driver.id).toBe('fake');

    const text = await readFile(record, 'utf8');
    expect(text).toContain('0000:0c:00.1');
    await writeFile(record, text.replaceAll('0000:0c:00.1', '0000:0c:00.9'));
    const other = await ask({ replay: record });
    expect(other.passed).toBe(false);
    expect(other.text).toMatch(/prepare .*then .*0c:00\.9.*now .*0c:00\.1/);
  });

  it('replays frames in pieces, other machines, cancelled and killed requests as they were', async ({
    expect,
  }) => {
    await using folder = await makeFolder();
    const record = join(folder.path, 'talk.jsonl');
    const clauses = ['D-FRAME-2', 'D-DISC-5', 'D-DISC-6', 'D-RPC-6', 'D-KILL-1'];
    const first = await ask({ record, clauses });
    expect(first.passed, first.text).toBe(true);
    const again = await ask({ replay: record });
    expect(again.text).toMatch(/note: not compared: .*\n.*replayed: \d+ answers, all as recorded$/);
    expect(again.passed).toBe(true);
  });

  it('replays on the machine of the recording alone, and says when it is not the same', async ({
    expect,
  }) => {
    await using folder = await makeFolder();
    const record = join(folder.path, 'talk.jsonl');
    const tree = join(folder.path, 'machine');
    await mkdir(join(tree, 'sys'), { recursive: true });
    const first = await ask({ record, tree, clauses: ['D-INIT-1'] });
    expect(first.passed, first.text).toBe(true);
    await expect(ask({ replay: record })).rejects.toThrow(`It was recorded with --tree ${tree}`);
    const same = await ask({ replay: record, tree });
    expect(same.text).not.toContain('note: its tree');
    await writeFile(join(tree, 'sys', 'new'), '');
    const other = await ask({ replay: record, tree });
    expect(other.text).toContain(`note: its tree is not that of the recording (${tree})`);
  });

  it('tries the backends that it is given, and fails when they offer nothing', async ({
    expect,
  }) => {
    await using folder = await makeFolder();
    const backends = join(folder.path, 'backends.json');
    await writeFile(backends, JSON.stringify([{ name: 'none', kind: 'static', config: {} }]));
    const result = await ask({ target: 'drivers/generic', backends, clauses: ['D-DISC-1'] });
    expect(result.passed).toBe(false);
    expect(result.text).toMatch(/FAIL D-DISC-1 [^]*no backend \(none\) offers an accelerator/);
  });

  it('says what cannot be tried', async ({ expect }) => {
    await expect(ask({ target: 'nobody' })).rejects.toThrow(/no driver package at nobody/);
    await expect(ask({ clauses: ['D-NONE-1'] })).rejects.toThrow(/the clauses are D-FRAME-1/);
    await expect(ask({ replay: join(root, 'package.json') })).rejects.toThrow(/not JSON|no conv/);
  });
});

describe('frames', () => {
  it('are read in pieces and counted in bytes', ({ expect }) => {
    const reader = new FrameReader();
    const bytes = Buffer.concat([encodeFrame({ a: 'ñ𝄞' }), encodeFrame({ b: 1 }, 'X-Y: z\r\n')]);
    const messages = [...bytes].flatMap((byte) => reader.push(Buffer.from([byte])));
    expect(messages).toEqual([{ a: 'ñ𝄞' }, { b: 1 }]);
    expect(() => reader.push(Buffer.from('hello\r\n\r\n'))).toThrow(/no Content-Length/);
  });
});

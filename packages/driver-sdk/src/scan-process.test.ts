import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'vitest';
import { ScanProcess } from './scan-process.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cyborg-scan-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

async function withScanner<T>(
  source: string,
  act: (
    scanner: ScanProcess<Record<string, unknown>, Record<string, unknown>>,
    blocked: string[],
  ) => Promise<T>,
): Promise<T> {
  const path = join(folder, 'scan.mjs');
  writeFileSync(path, source);
  const blocked: string[] = [];
  const scanner = new ScanProcess<Record<string, unknown>, Record<string, unknown>>({
    module: new URL(`file://${path}`),
    limits: { readMsMax: 1_500 },
    onBlocked: (name) => blocked.push(name),
  });
  try {
    return await act(scanner, blocked);
  } finally {
    scanner.close();
  }
}

const never = { signal: new AbortController().signal };

describe('ScanProcess', () => {
  it('gives up a path that blocks in the kernel, and goes on without it', async ({ expect }) => {
    const fifo = join(folder, 'fifo');
    execFileSync('mkfifo', [fifo]);
    writeFileSync(join(folder, 'vendor'), '0x10de\n');
    // Listing a "folder" that is opened so that it blocks: a stand-in for a file system that hangs.
    const source = `
      import { openSync, realpathSync } from 'node:fs';
      export function scan({ folder }, reader) {
        const blocked = reader.resolve(folder + '/fifo');
        const isSkipped = blocked === undefined;
        if (!isSkipped) reader.probe(folder + '/fifo', () => openSync(folder + '/fifo', 'r'));
        return { vendor: reader.text(folder + '/vendor'), isSkipped };
      }`;
    await withScanner(source, async (scanner, blocked) => {
      const output = await scanner.run({ folder }, never);
      expect(output).toEqual({ vendor: '0x10de', isSkipped: true });
      expect(blocked).toEqual([fifo]);
      expect(await scanner.run({ folder }, never)).toEqual(output); // and does not try it again
      expect(blocked).toHaveLength(1);
    });
  });

  it('reports what the scan throws, and can be used again', async ({ expect }) => {
    const source = `export function scan({ fail }) { if (fail) throw new Error('odd tree'); return { ok: true }; }`;
    await withScanner(source, async (scanner) => {
      await expect(scanner.run({ fail: true }, never)).rejects.toThrow('odd tree');
      expect(await scanner.run({ fail: false }, never)).toEqual({ ok: true });
    });
  });

  it('lets the scan ask, once or more often, and tells it why there is no answer', async ({
    expect,
  }) => {
    const source = `
      export async function scan({ numbers }, _reader, ask) {
        const found = [];
        for (const number of numbers) found.push(await ask({ number }).catch((error) => error.message));
        return { found };
      }`;
    const onQuestion = async (question: unknown): Promise<unknown> => {
      if (JSON.stringify(question) === '{"number":13}') throw new Error('not that one');
      return { question };
    };
    await withScanner(source, async (scanner) => {
      expect(await scanner.run({ numbers: [1, 13] }, { ...never, onQuestion })).toEqual({
        found: [{ question: { number: 1 } }, 'not that one'],
      });
      expect(await scanner.run({ numbers: [1] }, never)).toEqual({
        found: ['nobody answers the questions of this scan'],
      });
    });
  });

  it('reports a process that was killed half-way, and starts another', async ({ expect }) => {
    const source = `export function scan({ die }) { if (die) process.kill(process.pid, 'SIGKILL'); return { ok: true }; }`;
    await withScanner(source, async (scanner) => {
      await expect(scanner.run({ die: true }, never)).rejects.toMatchObject({ code: 'transient' });
      expect(await scanner.run({ die: false }, never)).toEqual({ ok: true });
    });
  });

  it('ends a scan that is cancelled, also one that never comes back', async ({ expect }) => {
    const source = `export function scan({ spin }) { while (spin) {} return { ok: true }; }`;
    await withScanner(source, async (scanner) => {
      const call = { signal: AbortSignal.timeout(300) };
      await expect(scanner.run({ spin: true }, call)).rejects.toMatchObject({
        code: 'transient',
      });
      expect(await scanner.run({ spin: false }, never)).toEqual({ ok: true });
    });
  });
});

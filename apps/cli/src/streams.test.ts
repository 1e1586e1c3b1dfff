import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, it } from 'vitest';

const program = join(import.meta.dirname, 'main.ts');

describe('what the command line writes', () => {
  it('to a full disk ends 1 with a sentence', async ({ expect }) => {
    const full = openSync('/dev/full', 'w');
    const child = spawn(process.execPath, [program, '--help'], { stdio: ['ignore', full, 'pipe'] });
    closeSync(full);
    if (child.stderr === null) throw new Error('stderr is a pipe.');
    const [stderr, [code]] = await Promise.all([text(child.stderr), once(child, 'close')]);
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringMatching(/^cyborg: Cannot write the output: ENOSPC.*\n$/),
    });
  });

  it('to a reader that has gone ends quietly', async ({ expect }) => {
    const child = spawn(
      '/bin/bash',
      ['-c', '"$0" "$1" --help | true; echo "${PIPESTATUS[0]}"', process.execPath, program],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
    expect({ stdout, stderr }).toEqual({ stdout: '0\n', stderr: '' });
  });

  it('has control characters of what was typed written out', async ({ expect }) => {
    const child = spawn(process.execPath, [program, '\u001b[31mred'], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const [stderr, [code]] = await Promise.all([text(child.stderr), once(child, 'close')]);
    expect(code).toBe(2);
    expect(stderr).toContain(String.raw`'\u001b[31mred'`);
    expect(stderr).not.toContain('\u001b');
  });
});

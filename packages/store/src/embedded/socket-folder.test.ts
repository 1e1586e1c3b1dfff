import { mkdirSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'vitest';

import { claimSocketFolder } from './socket-folder.ts';

const owner = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
const socketName = 'name.sock';

let base = '';
const claimed: string[] = [];
beforeEach(() => {
  base = mkdtempSync(join(tmpdir(), 'cyborg-sockets-'));
});
afterEach(() => {
  for (const folder of [base, ...claimed.splice(0)]) {
    rmSync(folder, { recursive: true, force: true });
  }
});

function claim(folder: string): string {
  const [found = ''] = claimSocketFolder({ folder, prefix: 'cyborg-test', socketName, owner });
  claimed.push(found);
  return found;
}

describe('claimSocketFolder', () => {
  it('takes the folder asked for when a socket path fits, open to its owner alone', ({
    expect,
  }) => {
    const folder = join(base, 'qmp');
    expect(claim(folder)).toBe(folder);
    expect(statSync(folder).mode & 0o777).toBe(0o700);
  });

  it('takes another, the same every time, when the path would be too long', ({ expect }) => {
    const deep = join(base, 'x'.repeat(100));
    mkdirSync(deep);
    const first = claim(join(deep, 'qmp'));
    expect(Buffer.byteLength(join(first, socketName))).toBeLessThanOrEqual(107);
    expect(claim(join(deep, 'qmp'))).toBe(first);
    expect(claim(join(deep, 'other'))).not.toBe(first);
  });

  it('says why when no place is short enough', ({ expect }) => {
    const long = `${'n'.repeat(107)}.sock`;
    const place = { folder: join(base, 'qmp'), prefix: 'cyborg-test', socketName: long, owner };
    expect(claimSocketFolder(place)).toEqual([
      undefined,
      expect.stringMatching(/longer than a socket path may be.*shorter --state-dir/),
    ]);
  });
});

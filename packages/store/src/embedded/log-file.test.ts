import { readFileSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';

import { makeTempFolder } from '@cyborg/testing/embedded';
import { describe, it } from 'vitest';

import { openPostgresLog } from './log-file.ts';

describe('the log of postgres', () => {
  it('takes at most two files of little more than 4 MiB, whatever is written', ({ expect }) => {
    using folder = makeTempFolder();
    const log = openPostgresLog(join(folder.path, 'postgres.log'));
    const line = `${'x'.repeat(64 * 1024 - 1)}\n`;
    for (let written = 0; written < 20; written += 1 / 16) log.write(line);
    log.write('the end\n');
    const sizes = readdirSync(folder.path).map((name) => statSync(join(folder.path, name)).size);
    expect(sizes).toHaveLength(2);
    expect(Math.max(...sizes)).toBeLessThan(4.2 * 1024 * 1024);
    expect(readFileSync(join(folder.path, 'postgres.log'), 'utf8')).toMatch(/the end\n$/);
    expect(log.tail()).toMatch(/the end\n$/);
    expect(log.tail().length).toBeLessThanOrEqual(16 * 1024);
  });

  it('goes on when its file cannot be written', ({ expect }) => {
    const log = openPostgresLog('/does/not/exist/postgres.log');
    log.write('No space left on device\n');
    expect(log.tail()).toBe('No space left on device\n');
  });
});

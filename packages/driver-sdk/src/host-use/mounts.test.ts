import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'vitest';
import { TreeReader } from '../sysfs.ts';
import { readMounts } from './mounts.ts';

describe('readMounts', () => {
  it('names the oldest place of a disk, not one that only the driver sees', ({ expect }) => {
    const proc = mkdtempSync(join(tmpdir(), 'cyborg-mounts-'));
    try {
      mkdirSync(join(proc, 'self'));
      writeFileSync(
        join(proc, 'self/mountinfo'),
        '40 1 259:2 / /srv/my\\040data rw - ext4 /dev/nvme1n1 rw\n' +
          '90 1 259:2 /images /run/cyborg-drivers/images ro - ext4 /dev/nvme1n1 rw\n',
      );
      const mounts = readMounts(new TreeReader(), proc);
      expect(mounts?.byNumber.get('259:2')).toBe('/srv/my data');
      expect(mounts?.bySource.get('/dev/nvme1n1')).toBe('/srv/my data');
    } finally {
      rmSync(proc, { recursive: true, force: true });
    }
  });
});

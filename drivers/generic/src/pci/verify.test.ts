import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'vitest';
import { TreeReader } from '@cyborg/driver-sdk/sysfs';
import { buildTree } from '@cyborg/driver-sdk/tree-builder';
import { scan } from './verify.ts';

const address = '0000:21:00.0';
const busMaster = 1 << 2;

describe('a function without a driver that is bus master', () => {
  it('is not clean after a guest, and as its firmware left it when none had it', ({ expect }) => {
    const root = mkdtempSync(join(tmpdir(), 'cyborg-verify-'));
    try {
      const gpu = { address, vendor: 0x10de, device: 0x2330, class: 0x030200 };
      const { sysfs } = buildTree(root, { functions: [gpu] });
      const folder = join(sysfs, 'bus/pci/devices', address);
      const config = readFileSync(join(folder, 'config'));
      config.writeUInt16LE(busMaster, 4);
      writeFileSync(join(folder, 'config'), config);
      const look = (isUntouched: boolean) =>
        scan({ folder, isVirtual: false, isUntouched }, new TreeReader());
      expect(look(false)).toEqual({ problem: 'it is still bus master, with no driver' });
      expect(look(true)).toMatchObject({
        evidence: expect.arrayContaining([
          'configuration space as expected: addresses as assigned',
        ]),
      });
    } finally {
      rmSync(root, { recursive: true, force: true });
    }
  });
});

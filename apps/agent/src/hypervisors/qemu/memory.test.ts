import { mkdtempDisposable, readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'vitest';
import { InstanceMemory } from './memory.ts';

describe('what the QEMU adapter remembers', () => {
  it('is saved by several looks at once, and ends as the last one says', async ({ expect }) => {
    await using folder = await mkdtempDisposable(join(tmpdir(), 'cyborg-memory-'));
    const file = join(folder.path, 'instances.json');
    const options = { directory: folder.path, procRoot: '/proc', file };
    const memory = await InstanceMemory.open(options);
    const savings = Array.from({ length: 50 }, async (_, n) => {
      memory.remember(`guest-${n}`, { socket: '/run/guest.sock', has_process: true });
      return await memory.save();
    });
    expect(new Set(await Promise.all(savings))).toEqual(new Set([null]));
    const saved: unknown = JSON.parse(await readFile(file, 'utf8'));
    expect(saved).toHaveProperty('instances.guest-49');
    const { known } = await InstanceMemory.open(options);
    expect(known.size).toBe(50);
  });
});

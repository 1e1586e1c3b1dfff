import { mkdir, mkdtemp, rm, rmdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { systemClock } from '@cyborg/service/clock';
import { makeLogger } from '@cyborg/service/logging';
import { describe, it } from 'vitest';
import { Bindings, type Binding } from './bindings.ts';

const log = makeLogger({ name: 'test', level: 'silent', clock: systemClock });
const binding: Binding = {
  address: '0000:21:00.0',
  backend: 'b',
  ids: '0x10de:0x2330',
  driver: 'nvidia',
  override: null,
  boundTo: 'vfio-pci',
  heldFor: ['0000:21:00.0'],
};

describe('notes of what was bound', () => {
  it('that cannot be read now are not written over, and are there when they can be read', async ({
    expect,
    onTestFinished,
  }) => {
    const folder = await mkdtemp(join(tmpdir(), 'cyborg-bindings-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const path = join(folder, 'bindings.json');
    await mkdir(path);
    const notes = new Bindings(folder, log);
    const other = { ...binding, address: '0000:22:00.0' };
    await expect(notes.apply({ changed: [other] })).rejects.toMatchObject({
      failure: 'transient',
      message: expect.stringContaining('EISDIR'),
    });
    await rmdir(path);
    await writeFile(path, JSON.stringify({ functions: [binding] }));
    await notes.apply({ changed: [other] });
    expect(await new Bindings(folder, log).list()).toEqual([binding, other]);
  });
});

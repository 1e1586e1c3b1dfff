import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'vitest';
import { gpu, makeHost } from '../../test/acts-host.ts';

const toVfio = { kernel_driver: 'vfio-pci' };

describe('a kernel driver that is not loaded', () => {
  const functions = [{ ...gpu, driver: 'nouveau' }];

  it('is asked for by its module, with the way out', async ({ expect }) => {
    await using host = await makeHost({ functions });
    await expect(host.act('bind', toVfio)).rejects.toMatchObject({
      failure: 'transient',
      message: expect.stringMatching(/modprobe vfio-pci.*--load-module vfio-pci/u),
    });
  });

  it('is loaded where host policy lets the agent do that', async ({ expect }) => {
    const asked: string[] = [];
    await using host = await makeHost({
      functions,
      loadModule: async (name, root) => {
        asked.push(name);
        await mkdir(join(root, 'sys/bus/pci/drivers', name), { recursive: true });
      },
    });
    // It goes on to what comes next.
    await expect(host.act('bind', toVfio)).rejects.toThrow(/is bound to nouveau/u);
    await expect(host.act('bind', toVfio)).rejects.toThrow(/is bound to nouveau/u);
    expect(asked).toEqual(['vfio-pci']);
  });
});

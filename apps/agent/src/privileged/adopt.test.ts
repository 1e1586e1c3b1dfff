import { describe, it } from 'vitest';
import { address, boundFor, gpu, makeHost, other } from '../../test/acts-host.ts';

const unbindFile = '/sys/bus/pci/drivers/vfio-pci/unbind';
const probeFile = '/sys/bus/pci/drivers_probe';
const files = { [unbindFile]: '', [probeFile]: '' };
const left = {
  ...gpu,
  driver: 'vfio-pci',
  attributes: { driver_override: 'vfio-pci\n' },
} as const;
const neighbour = { ...left, address: other };
const apart = { ...left, address: '0000:22:00.0', iommuGroup: 8 };
const taken = [{ accelerator_key: 'card', address }];
const toVfio = { kernel_driver: 'vfio-pci' };

describe('what an agent before this one bound, whose notes are lost', () => {
  it('is its own by the ledger’s word: prepared again, and told with its accelerator', async ({
    expect,
  }) => {
    await using host = await makeHost({ functions: [left, neighbour, apart], files, taken });
    expect(await host.act('listBound')).toEqual({
      functions: [
        { address, kernel_driver: null, accelerator: 'card' },
        { address: other, kernel_driver: null },
      ],
    });
    expect(await host.act('bind', toVfio)).toEqual({});
    const { functions } = JSON.parse(await host.read('state/bindings.json'));
    expect(functions).toMatchObject([
      { address, ids: '0x10de:0x1eb8', boundTo: 'vfio-pci', heldFor: [address], adopted: 'card' },
      { address: other, boundTo: 'vfio-pci', heldFor: [address], adopted: null },
    ]);
  });

  it('goes back to what the kernel chooses when it is clean', async ({ expect }) => {
    await using host = await makeHost({ functions: [left, neighbour], files, taken });
    await host.act('listBound');
    expect(await host.act('restore')).toEqual({});
    const override = `sys/bus/pci/devices/${address}/driver_override`;
    expect((await host.read(override))[0]).toBe('\n');
    expect(await host.read(probeFile.slice(1))).toContain('0000:21:00.');
    expect(await host.act('listBound')).toEqual({ functions: [] });
  });

  it('is a stranger’s where it is not as an agent leaves it, or the ledger does not say it', async ({
    expect,
  }) => {
    const byHand = { ...left, attributes: { driver_override: '(null)\n' } };
    const withDriver = { ...apart, driver: 'nouveau' };
    await using host = await makeHost({
      functions: [byHand, withDriver],
      files,
      taken: [...taken, { accelerator_key: 'other', address: withDriver.address }],
    });
    expect(await host.act('listBound')).toEqual({ functions: [] });
    await expect(host.act('bind', toVfio)).rejects.toMatchObject({ failure: 'host-use' });
    await using unsaid = await makeHost({ functions: [left], files });
    expect(await unsaid.act('listBound')).toEqual({ functions: [] });
    await expect(unsaid.act('bind', toVfio)).rejects.toMatchObject({ failure: 'host-use' });
  });

  it('is not asked of the ledger where it is noted, and nothing is said before that is heard', async ({
    expect,
  }) => {
    const note = { ...boundFor([address], address), driver: 'nouveau' };
    await using host = await makeHost({ functions: [left], files, bindings: [note], taken });
    expect(await host.act('listBound')).toEqual({
      functions: [{ address, kernel_driver: 'nouveau' }],
    });
    await using deaf = await makeHost({ functions: [left], files, taken: 'unheard' });
    await expect(deaf.act('listBound')).rejects.toMatchObject({ failure: 'transient' });
  });
});

import { describe, it } from 'vitest';
import { address, gpu, makeHost } from '../../test/acts-host.ts';

const qat = { ...gpu, vendor: 0x8086, device: 0x37c8, class: 0x0b4000 };
const filesWith = (isDisabled: 'Y' | 'N') => ({
  '/sys/module/vfio_pci/parameters/disable_denylist': `${isDisabled}\n`,
  '/sys/bus/pci/drivers/vfio-pci/unbind': '',
  '/sys/bus/pci/drivers_probe': '',
});
const toVfio = { kernel_driver: 'vfio-pci' };

describe('a function that vfio-pci has on its list of what it does not take', () => {
  const functions = [{ ...qat, attributes: { driver_override: '(null)\n' } }];

  it('is not bound to it, and the way out is said', async ({ expect }) => {
    await using host = await makeHost({ functions, files: filesWith('N') });
    await expect(host.act('bind', toVfio)).rejects.toMatchObject({
      failure: 'unsupported',
      message: expect.stringMatching(/0000:21:00\.0 \(0x8086:0x37c8\).*disable_denylist=1/u),
    });
    expect(await host.read(`sys/bus/pci/devices/${address}/driver_override`)).toBe('(null)\n');
  });

  it('is bound where its operator accepts that', async ({ expect }) => {
    await using host = await makeHost({ functions, files: filesWith('Y') });
    // A tree of files binds nothing.
    await expect(host.act('bind', toVfio)).rejects.toThrow(/did not bind/u);
    expect(await host.read('sys/bus/pci/drivers_probe')).toBe(address);
  });
});

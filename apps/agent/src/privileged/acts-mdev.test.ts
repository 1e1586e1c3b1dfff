import { describe, it } from 'vitest';
import { address, boundFor, gpu, makeHost } from '../../test/acts-host.ts';

describe('mediated devices', () => {
  const uuid = '6a5b1d0c-0d2b-4d0e-8f21-9d3c0f1e2a3b';
  const type = 'nvidia-35';
  const card = {
    ...gpu,
    driver: 'nvidia',
    below: {
      [`mdev_supported_types/${type}/available_instances`]: '2\n',
      [`mdev_supported_types/${type}/create`]: '',
    },
  };
  const made = {
    [`${uuid}/mdev_type`]: {
      link: `/sys/devices/pci0000:21/${address}/mdev_supported_types/${type}`,
    },
    [`${uuid}/remove`]: '',
  };

  const create = `sys/bus/pci/devices/${address}/mdev_supported_types/${type}/create`;

  it('are made beside what the host and its other guests do with the card', async ({ expect }) => {
    const another = '7b5b1d0c-0d2b-4d0e-8f21-9d3c0f1e2a3b';
    // Its output is on, and nvidia-vgpu-mgr and a guest have nodes open: all of /dev/null's number.
    const used = {
      'drm/card0/dev': '1:3\n',
      'drm/card0/card0-DP-1/enabled': 'enabled\n',
      [`${another}/vfio-dev/vfio3/dev`]: '1:3\n',
    };
    await using host = await makeHost({
      functions: [{ ...card, attributes: { boot_vga: '1\n' }, below: { ...card.below, ...used } }],
    });
    await host.act('makeMdev', { type, uuid });
    expect(await host.read(create)).toBe(uuid);
  });

  it('are not made of a card that is given whole', async ({ expect }) => {
    for (const driver of ['vfio-pci', 'nvidia']) {
      await using host = await makeHost({
        functions: [{ ...card, driver }],
        bindings: [boundFor([address], address)],
      });
      await expect(host.act('makeMdev', { type, uuid })).rejects.toMatchObject({
        failure: 'host-use',
        message: expect.stringContaining(`it is given whole`),
      });
      expect(await host.read(create)).toBe('');
    }
  });

  it('are made once, of a type that the card has and has room for', async ({ expect }) => {
    const below = { ...card.below, ...made };
    await using again = await makeHost({ functions: [{ ...card, below }] });
    expect(await again.act('makeMdev', { type, uuid })).toEqual({});
    await expect(again.act('makeMdev', { type: 'nvidia-36', uuid })).rejects.toThrow(
      /is of type nvidia-35, not nvidia-36/u,
    );
    expect(await again.read(create)).toBe('');
    const full = { ...card.below, [`mdev_supported_types/${type}/available_instances`]: '0\n' };
    await using busy = await makeHost({ functions: [{ ...card, below: full }] });
    const order = busy.act('makeMdev', { type, uuid });
    await expect(order).rejects.toMatchObject({ failure: 'transient' });
    await expect(busy.act('makeMdev', { type: 'nvidia-1', uuid })).rejects.toMatchObject({
      failure: 'unsupported',
    });
    // Not every driver says how many are free.
    const silent = { [`mdev_supported_types/${type}/create`]: '' };
    await using host = await makeHost({ functions: [{ ...card, below: silent }] });
    await host.act('makeMdev', { type, uuid });
    expect(await host.read(create)).toBe(uuid);
  });

  it('are not removed while a program has their own node open', async ({ expect }) => {
    const remove = `sys/bus/pci/devices/${address}/${uuid}/remove`;
    // The number of /dev/null, which the process of the tree has open.
    const node = { [`${uuid}/vfio-dev/vfio3/dev`]: '1:3\n' };
    await using held = await makeHost({
      functions: [{ ...card, below: { ...card.below, ...made, ...node } }],
    });
    await expect(held.act('removeMdev', { uuid })).rejects.toThrow(
      /is not removed: sh \(pid 77\) has c1:3 open/u,
    );
    expect(await held.read(remove)).toBe('');
    await using free = await makeHost({
      functions: [{ ...card, below: { ...card.below, ...made } }],
    });
    await free.act('removeMdev', { uuid });
    expect(await free.read(remove)).toBe('1');
  });

  it('keep their card from being given whole, taken from its driver, or reset', async ({
    expect,
  }) => {
    await using host = await makeHost({
      functions: [
        {
          ...card,
          resetMethods: 'flr',
          attributes: { reset: '' },
          below: { ...card.below, ...made },
        },
      ],
      files: {
        '/sys/bus/pci/drivers/vfio-pci/unbind': '',
        '/sys/bus/pci/drivers/nvidia/unbind': '',
      },
    });
    const has = new RegExp(`${address} has mediated devices: ${uuid}`, 'u');
    const idle = { kernel_driver: 'vfio-pci', unbind: [address] };
    await expect(host.act('bind', idle)).rejects.toThrow(has);
    await expect(host.act('unbind', { unbind: [address] })).rejects.toThrow(has);
    await expect(host.act('reset')).rejects.toThrow(
      new RegExp(`its mediated devices would be reset with it: ${uuid}`, 'u'),
    );
    expect(await host.read('sys/bus/pci/drivers/nvidia/unbind')).toBe('');
    expect(await host.read(`sys/bus/pci/devices/${address}/reset`)).toBe('');
  });
});

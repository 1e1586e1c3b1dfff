import { describe, it } from 'vitest';
import { checkVfio, checkVfioPlan, vfioFailure, vfioKindsOf } from './vfio.ts';

const plan = { kind: 'pci', address: '0000:21:00.1' } as const;

// As QEMU 7.2 and libvirt 9.0 said them in the PCI lab.
const said = [
  [
    'vfio 0000:21:00.1: failed to open /dev/vfio/15: Device or resource busy',
    'unavailable',
    '0000:21:00.1 is held by another process, which has /dev/vfio/15 open',
  ],
  [
    'vfio 0000:21:00.1: failed to open /dev/vfio/15: No such file or directory',
    'refused',
    '0000:21:00.1 is not bound to vfio-pci: its driver must prepare it first',
  ],
  [
    'libvirt refused virsh attach-device: Requested operation is not valid: Unmanaged PCI device 0000:21:00.1 must be manually detached from the host',
    'refused',
    '0000:21:00.1 is not bound to vfio-pci: its driver must prepare it first',
  ],
  [
    'vfio 0000:21:00.1: failed to open /dev/vfio/23: Permission denied',
    'unavailable',
    'let QEMU\'s user open it by a udev rule for SUBSYSTEM=="vfio"',
  ],
  [
    'vfio 0000:21:00.1: failed to open /dev/vfio/23: Operation not permitted',
    'refused',
    'let its cgroup open it',
  ],
  [
    'vfio 0000:21:00.1: group 17 is not viable',
    'refused',
    'another function in it is bound to a driver of the host',
  ],
  [
    'vfio 0000:21:00.1: failed to setup container for group 23: memory listener initialization failed: Region pc.ram: vfio_dma_map(0x561b, 0x0, 0x4000000, 0x7f7f) = -12 (Cannot allocate memory)',
    'refused',
    'prlimit --memlock=unlimited',
  ],
  // (Not seen in the lab, whose IOMMU remaps interrupts: vfio_init_container of QEMU 7.2.)
  [
    'vfio 0000:21:00.1: failed to setup container for group 23: Failed to set iommu for container: Operation not permitted',
    'refused',
    'no interrupt remapping',
  ],
  [
    'vfio /sys/bus/pci/devices/0000:21:00.1: no such host device: No such file or directory',
    'refused',
    '0000:21:00.1 is not on this host any more',
  ],
  [
    'vfio 0000:21:00.1: device is already attached',
    'refused',
    'The machine has 0000:21:00.1 already, by another device',
  ],
  [
    'libvirt refused virsh attach-device: internal error: No more available PCI slots',
    'refused',
    'No hot-plug port of the machine is free for 0000:21:00.1',
  ],
  ['something new', 'refused', '0000:21:00.1 was refused: something new'],
] as const;

describe('what stands in the way of VFIO', () => {
  it.for(said)('%s', ([sentence, code, way], { expect }) => {
    const error = vfioFailure(plan, sentence, undefined);
    expect(error.code).toBe(code);
    expect(error.message).toContain(way);
    expect(error.message).toContain(sentence);
  });

  it('is told before QEMU opens the device, or after that: only then is it to be wiped', ({
    expect,
  }) => {
    const untouched = said.filter(
      ([sentence]) => vfioFailure(plan, sentence, undefined).isUntouched,
    );
    expect(untouched.map(([sentence]) => sentence.replace(/^.*21:00\.1: /u, ''))).toEqual([
      'failed to open /dev/vfio/15: No such file or directory',
      'failed to open /dev/vfio/23: Permission denied',
      'failed to open /dev/vfio/23: Operation not permitted',
      'group 17 is not viable',
      expect.stringMatching(/vfio_dma_map.*Cannot allocate memory/u),
      expect.stringMatching(/Failed to set iommu for container/u),
      expect.stringMatching(/No more available PCI slots/u),
    ]);
  });

  it('is also a plan that is no address or UUID, which would become a path', ({ expect }) => {
    const code = 'unsupported-plan';
    for (const address of ['0000:21:00.8', '../../etc', '21:00.0', '0000:21:00.0,x-vga=on']) {
      expect(() => checkVfioPlan({ kind: 'pci', address })).toThrow(
        expect.objectContaining({ code }),
      );
    }
    const mdev = { kind: 'mdev', parent: '0000:21:00.0', type: 'nvidia-35' } as const;
    expect(() => checkVfioPlan({ ...mdev, uuid: '../x' })).toThrow(
      expect.objectContaining({ code }),
    );
    checkVfioPlan(plan);
    checkVfioPlan({ ...mdev, uuid: '00000000-0000-4000-8000-000000000001' });
  });

  it('is a host without VFIO, and recorded hardware', async ({ expect }) => {
    expect(await vfioKindsOf('/dev/null')).toEqual(['pci', 'mdev']);
    expect(await vfioKindsOf('/dev/none/vfio')).toEqual([]);
    expect(await vfioKindsOf(null)).toEqual([]);
    await checkVfio('/dev/null');
    await expect(checkVfio('/dev/none/vfio')).rejects.toThrow(/load the kernel's module vfio-pci/);
    await expect(checkVfio(null)).rejects.toThrow(/recorded tree/);
  });
});

import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'vitest';
import { address, boundFor, gpu, makeHost, other } from '../../test/acts-host.ts';
import type { Unprobed } from './bindings.ts';

describe('a reset', () => {
  it('of a physical function is refused while it has virtual ones, which a guest may have', async ({
    expect,
  }) => {
    const virtual = '0000:21:00.4';
    const vfs = { device: 0x1eb8, addresses: [virtual], driver: 'vfio-pci', iommuGroup: 8 };
    await using host = await makeHost({
      functions: [{ ...gpu, resetMethods: 'flr', vfs, attributes: { reset: '' } }],
      bindings: [boundFor([virtual], virtual)],
    });
    await expect(host.act('reset')).rejects.toMatchObject({
      failure: 'host-use',
      message: expect.stringMatching(/its 1 virtual functions would be reset with it/u),
    });
    expect(await host.read(`sys/bus/pci/devices/${address}/reset`)).toBe('');
  });

  it('waits while a program has the function open through VFIO, which is named', async ({
    expect,
  }) => {
    // The number of /dev/null, which the process of the tree has open.
    const below = { 'vfio-dev/vfio0/dev': '1:3\n' };
    const attributes = { reset: '' };
    await using host = await makeHost({
      functions: [{ ...gpu, driver: 'vfio-pci', resetMethods: 'flr', below, attributes }],
      bindings: [boundFor([address], address)],
    });
    await expect(host.act('reset')).rejects.toMatchObject({
      failure: 'transient',
      message: `${address} is not reset: sh (pid 77) has c1:3 open.`,
    });
    expect(await host.read(`sys/bus/pci/devices/${address}/reset`)).toBe('');
  });
});

describe('a reset of a bus', () => {
  const port = '0000:20:00.0';
  const behind = [port];
  const given = { ...gpu, behind, driver: 'vfio-pci', resetMethods: 'bus' };
  const bridge = { ...gpu, address: port, class: 0x060400, driver: 'pcieport' };
  const subordinate = `sys/bus/pci/devices/${port}/reset_subordinate`;
  const withReset = { ...bridge, attributes: { reset_subordinate: '' } };
  const bus = { scope: 'bus' };

  it('is done when all behind the bridge was bound for the one that asks', async ({ expect }) => {
    await using host = await makeHost({
      functions: [given, { ...given, address: other }, withReset],
      bindings: [boundFor([address], address), boundFor([address], other)],
    });
    expect(await host.act('reset', bus)).toEqual({ method: 'bus' });
    expect(await host.read(subordinate)).toBe('1');
  });

  it.for([
    ['another attachment', 'vfio-pci', [boundFor([other], other)]],
    ['the host', 'nouveau', []],
  ] as const)(
    'is refused with the name of what belongs to %s',
    async ([, driver, bindings], { expect }) => {
      await using host = await makeHost({
        functions: [given, { ...given, address: other, iommuGroup: 8, driver }, withReset],
        bindings: [boundFor([address], address), ...bindings],
      });
      await expect(host.act('reset', bus)).rejects.toMatchObject({
        failure: 'host-use',
        message: `A bus reset of ${address} would reset what is neither free nor bound with it: ${other} (${driver}).`,
      });
      expect(await host.read(subordinate)).toBe('');
    },
  );

  it('is not what a function is reset by while others are behind its bridge', async ({
    expect,
  }) => {
    await using host = await makeHost({
      functions: [{ ...given, attributes: { reset: '' } }, { ...given, address: other }, bridge],
      bindings: [boundFor([address], address), boundFor([address], other)],
    });
    await expect(host.act('reset')).rejects.toMatchObject({
      failure: 'unsupported',
      message: `${address} cannot be reset by itself: its methods are bus, and a bus reset would reset others.`,
    });
    expect(await host.read(`sys/bus/pci/devices/${address}/reset`)).toBe('');
  });
});

describe('virtual functions', () => {
  const virtual = '0000:21:00.4';
  const card = { ...gpu, attributes: { sriov_drivers_autoprobe: '1\n' } };
  const numvfs = `sys/bus/pci/devices/${address}/sriov_numvfs`;

  it('get no driver as long as there are some, and those that the host makes later get theirs', async ({
    expect,
  }) => {
    await using host = await makeHost({ functions: [{ ...card, totalVfs: 4 }] });
    const autoprobe = `sys/bus/pci/devices/${address}/sriov_drivers_autoprobe`;
    const notes = async (): Promise<unknown> => JSON.parse(await host.read('state/bindings.json'));
    await host.act('setVfCount', { count: 2 });
    expect(await host.read(numvfs)).toMatch(/^2/u);
    expect(await host.read(autoprobe)).toMatch(/^0/u);
    await host.act('listBound');
    expect(await host.read(autoprobe)).toMatch(/^0/u);
    expect(await notes()).toMatchObject({ unprobed: [{ address }] });
    await host.act('setVfCount', { count: 0 });
    expect(await host.read(autoprobe)).toMatch(/^1/u);
    expect(await notes()).toMatchObject({ unprobed: [] });
  });

  it('get no driver from the host where it is the host’s own wish', async ({ expect }) => {
    const off = { ...gpu, totalVfs: 4, attributes: { sriov_drivers_autoprobe: '0\n' } };
    await using host = await makeHost({ functions: [off] });
    const autoprobe = `sys/bus/pci/devices/${address}/sriov_drivers_autoprobe`;
    await host.act('setVfCount', { count: 2 });
    await host.act('setVfCount', { count: 0 });
    expect(await host.read(autoprobe)).toBe('0\n');
  });

  it('made half-way by an agent before: those of the host get their drivers again with the next look', async ({
    expect,
  }) => {
    const off = { ...gpu, attributes: { sriov_drivers_autoprobe: '0\n' } };
    const second = { ...off, address: other };
    const third = { ...off, address: '0000:22:00.0', device: 0x2330 };
    const note = (at: string): Unprobed => ({ address: at, ids: '0x10de:0x1eb8' });
    await using host = await makeHost({
      functions: [off, second, third],
      // Another card is where one was, and one is gone.
      unprobed: [note(address), note(third.address), note('0000:23:00.0')],
    });
    expect(await host.act('listBound')).toEqual({ functions: [] });
    const autoprobe = (at: string): Promise<string> =>
      host.read(`sys/bus/pci/devices/${at}/sriov_drivers_autoprobe`);
    expect((await autoprobe(address))[0]).toBe('1');
    expect(await autoprobe(other)).toBe('0\n');
    expect(await autoprobe(third.address)).toBe('0\n');
    expect(JSON.parse(await host.read('state/bindings.json'))).toMatchObject({ unprobed: [] });
  });

  it('are made for guests also after a death half-way, and then get no driver', async ({
    expect,
  }) => {
    const off = { ...gpu, totalVfs: 4, attributes: { sriov_drivers_autoprobe: '0\n' } };
    await using host = await makeHost({
      functions: [off],
      unprobed: [{ address, ids: '0x10de:0x1eb8' }],
    });
    await host.act('setVfCount', { count: 3 });
    expect(await host.read(numvfs)).toMatch(/^3/u);
    expect(await host.read(`sys/bus/pci/devices/${address}/sriov_drivers_autoprobe`)).toBe('0\n');
    await host.act('setVfCount', { count: 0 });
    expect((await host.read(`sys/bus/pci/devices/${address}/sriov_drivers_autoprobe`))[0]).toBe(
      '1',
    );
  });

  it('are not made when it cannot be noted before that the host’s get no drivers', async ({
    expect,
  }) => {
    await using host = await makeHost({ functions: [{ ...card, totalVfs: 4 }] });
    await host.act('listBound');
    const notes = join(host.root, 'state/bindings.json');
    await rm(notes);
    await mkdir(notes);
    await expect(host.act('setVfCount', { count: 2 })).rejects.toThrow(/EISDIR/u);
    expect(await host.read(numvfs)).toBe('0\n');
    expect(await host.read(`sys/bus/pci/devices/${address}/sriov_drivers_autoprobe`)).toBe('1\n');
  });

  it('keep their number while one of them is in use, which is named', async ({ expect }) => {
    const vfs = { device: 0x1eb8, addresses: [virtual], driver: 'vfio-pci', iommuGroup: 8 };
    await using host = await makeHost({
      functions: [{ ...card, totalVfs: 4, vfs }],
      bindings: [boundFor([virtual], virtual)],
    });
    await expect(host.act('setVfCount', { count: 0 })).rejects.toMatchObject({
      failure: 'host-use',
      message: `Virtual function 0 (${virtual}) is bound to vfio-pci.`,
    });
    expect(await host.read(numvfs)).toBe('1\n');
  });

  it('are not made of a card that is given whole', async ({ expect }) => {
    await using host = await makeHost({
      functions: [{ ...card, totalVfs: 4, driver: 'vfio-pci' }],
      bindings: [boundFor([address], address)],
    });
    await expect(host.act('setVfCount', { count: 2 })).rejects.toThrow(/is given whole/u);
    expect(await host.read(numvfs)).toBe('0\n');
  });
});

describe('what is given back', () => {
  it('is not kept for a function of its group that has gone', async ({ expect }) => {
    const given = { ...gpu, address: other, driver: 'vfio-pci' };
    await using host = await makeHost({
      functions: [{ ...given, attributes: { driver_override: 'vfio-pci\n' } }],
      files: { '/sys/bus/pci/drivers/vfio-pci/unbind': '' },
      bindings: [boundFor([address], address), boundFor([address, other], other)],
    });
    expect(await host.act('restore')).toEqual({});
    expect(await host.read('sys/bus/pci/drivers/vfio-pci/unbind')).toBe(other);
  });

  it('is kept for a function of its group that is there', async ({ expect }) => {
    const given = { ...gpu, driver: 'vfio-pci' };
    await using host = await makeHost({
      functions: [{ ...given, address: other }, given],
      files: { '/sys/bus/pci/drivers/vfio-pci/unbind': '' },
      bindings: [boundFor([address, other], address), boundFor([address, other], other)],
    });
    expect(await host.act('restore')).toEqual({ kept_for: [address] });
    expect(await host.read('sys/bus/pci/drivers/vfio-pci/unbind')).toBe('');
  });

  const bound = { ...gpu, driver: 'vfio-pci', attributes: { driver_override: 'vfio-pci\n' } };
  const unbind = '/sys/bus/pci/drivers/vfio-pci/unbind';

  it('is not what was bound for a guest and is not clean, unless by an order', async ({
    expect,
  }) => {
    const left = { functions: [bound], files: { [unbind]: '' } };
    const bindings = [boundFor([address], address)];
    await using host = await makeHost({ ...left, bindings, isOrdered: false });
    await expect(host.act('restore')).rejects.toMatchObject({
      failure: 'unsupported',
      message: `${address} stays on vfio-pci: it was bound for a guest, and has not been cleaned since.`,
    });
    expect(await host.read(unbind)).toBe('');
    expect(await host.read(`sys/bus/pci/devices/${address}/driver_override`)).toBe('vfio-pci\n');
    expect(await host.act('listBound')).toMatchObject({ functions: [{ address }] });
    await using ordered = await makeHost({ ...left, bindings });
    await ordered.act('restore');
    expect(await ordered.read(unbind)).toBe(address);
  });

  it('is without an order what was bound beside another that has gone, and what the host has again', async ({
    expect,
  }) => {
    const isOrdered = false;
    await using beside = await makeHost({
      functions: [bound],
      files: { [unbind]: '' },
      bindings: [boundFor([other], address)],
      isOrdered,
    });
    expect(await beside.act('restore')).toEqual({});
    expect(await beside.read(unbind)).toBe(address);
    await using started = await makeHost({
      functions: [{ ...gpu, driver: 'nouveau' }],
      bindings: [{ ...boundFor([address], address), driver: 'nouveau' }],
      isOrdered,
    });
    expect(await started.act('restore')).toEqual({});
    expect(await started.act('listBound')).toEqual({ functions: [] });
  });
});

import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'vitest';
import { address, gpu, makeHost } from '../../../test/acts-host.ts';
import type { ActOrder } from '../act-order.ts';
import { HostView } from './host-view.ts';
import { setVfCount } from './vfs.ts';

const card = { ...gpu, totalVfs: 4, attributes: { sriov_drivers_autoprobe: '1\n' } };

/** The act itself, with a kernel that does what it likes with the number. */
async function divideWith(
  root: string,
  write: (file: string, text: string) => void,
  vfs: ActOrder['vfs'] = [],
): Promise<unknown> {
  const order: ActOrder = {
    method: 'setVfCount',
    params: { address, count: 4 },
    roots: { sysfs: join(root, 'sys'), proc: join(root, 'proc'), dev: '/dev' },
    backend: { id: 'b', name: 'b' },
    inventory: [address],
    bindings: [],
    unprobed: [],
    vfs,
    shortened: [],
    ordered: [],
    taken: [],
    isOrdered: false,
  };
  const ask = async (): Promise<unknown> => ({ complete: true, open: [] });
  const host = new HostView(order, { ask, enter: () => undefined });
  return await setVfCount(host, write).catch((error: unknown) => error);
}

describe('virtual functions that the kernel does not make', () => {
  it.for([
    ['ENOMEM', 'ice', /the firmware left no addresses or bus numbers for them.*\(ENOMEM: .*\)/u],
    ['ENOENT', 'nvidia', /its kernel driver nvidia makes none \(ENOENT: .*\)/u],
    ['ENOENT', undefined, /it has no kernel driver, and that makes them/u],
    ['EBUSY', 'mlx5_core', /4 virtual functions: EBUSY: whatever, write; see dmesg\.$/u],
  ] as const)('say why: %s under %s', async ([code, driver, message], { expect }) => {
    const fn = driver === undefined ? card : { ...card, driver };
    await using host = await makeHost({ functions: [fn] });
    const refuse = (): void => {
      throw Object.assign(new Error(`${code}: whatever, write`), { code });
    };
    expect(await divideWith(host.root, refuse)).toMatchObject({
      code: 'transient',
      message: expect.stringMatching(message),
      changes: { probed: address },
    });
    const autoprobe = `sys/bus/pci/devices/${address}/sriov_drivers_autoprobe`;
    expect(readFileSync(join(host.root, autoprobe), 'utf8')[0]).toBe('1');
  });

  it('in the number that is wanted are left as they are, and it is said', async ({ expect }) => {
    await using host = await makeHost({ functions: [{ ...card, driver: 'bnxt_en' }] });
    const writes: string[] = [];
    const write = (file: string, text: string): void => {
      writes.push(text);
      writeFileSync(file, text === '4' ? '3' : text);
    };
    const vfs = { address, ids: '0x10de:0x1eb8', count: 4, made: 3 };
    const message = `${address} has 3 virtual functions: its kernel driver makes no more of 4; see dmesg.`;
    expect(await divideWith(host.root, write)).toMatchObject({ message, changes: { vfs } });
    expect(await divideWith(host.root, write, [vfs])).toMatchObject({ message, changes: {} });
    expect(writes).toEqual(['4']);
    expect(await divideWith(host.root, write, [{ ...vfs, made: 2 }])).toMatchObject({ message });
    expect(writes).toEqual(['4', '0', '4']);
    const file = join(host.root, `sys/bus/pci/devices/${address}/sriov_numvfs`);
    writeFileSync(file, '0');
    expect(await divideWith(host.root, write, [{ ...vfs, made: 0 }])).toMatchObject({ message });
  });
});

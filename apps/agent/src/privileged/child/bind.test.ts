import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'vitest';
import {
  buildTree,
  emptyFolder,
  type FunctionDescription,
  type Leaf,
} from '@cyborg/driver-sdk/tree-builder';
import { orderOf } from '../../../test/act-orders.ts';
import { quietProc } from '../../../test/acts-host.ts';
import type { ActQuestion, OpenAnswer } from '../act-order.ts';
import { bind } from './bind.ts';
import { HostView } from './host-view.ts';

const address = '0000:00:02.0';
const other = '0000:00:1f.0';
const asIs = { driver_override: '(null)\n' };
/** On vfio-pci already, by this agent's doing: nothing of its own is left to do. */
const gpu: FunctionDescription = {
  address,
  vendor: 0x8086,
  device: 0x3e98,
  class: 0x038000,
  driver: 'vfio-pci',
  iommuGroup: 1,
  attributes: { driver_override: 'vfio-pci\n' },
};
const quiet = { ...quietProc, '/sys/bus/pci/drivers/vfio-pci': emptyFolder };

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cyborg-bind-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

interface Options {
  readonly files?: Readonly<Record<string, Leaf>>;
  readonly inventory?: readonly string[];
  readonly open?: OpenAnswer['open'];
}

interface Act {
  readonly done: Promise<object>;
  /** What it wanted noted before it touched anything. */
  readonly noted: string[];
}

/** A bind of the GPU beside this function of its group; its kernel driver may be taken. */
function bindBeside(neighbour: FunctionDescription, options: Options = {}): Act {
  const { files = {}, inventory = [address], open = [] } = options;
  const { sysfs, proc, dev } = buildTree(folder, {
    functions: [gpu, neighbour],
    files: { ...quiet, ...files },
  });
  const bound = { address, backend: 'b', ids: '0x8086:0x3e98', driver: null, override: null };
  const order = orderOf(
    {
      method: 'bind',
      params: { address, kernel_driver: 'vfio-pci', unbind: [address] },
      roots: { sysfs, proc, dev },
      inventory,
      bindings: [{ ...bound, boundTo: 'vfio-pci', heldFor: [address] }],
    },
    address,
  );
  const noted: string[] = [];
  const ask = async (question: ActQuestion): Promise<unknown> => {
    if ('keep' in question) noted.push(...question.keep.map((one) => one.address));
    return { complete: true, open };
  };
  return { done: bind(new HostView(order, { ask, enter: () => undefined })), noted };
}

const read = (path: string): string => readFileSync(join(folder, path), 'utf8');

describe('a part of the chipset in the IOMMU group', () => {
  it.for([
    ['a host bridge', 0x060000],
    ['an ISA bridge', 0x060100],
    ['another', 0x068000],
  ] as const)('is left alone without a driver: %s', async ([, code], { expect }) => {
    const neighbour = { ...gpu, address: other, class: code, attributes: asIs };
    const { driver: _none, ...undriven } = neighbour;
    const act = bindBeside(undriven);
    expect(await act.done).toEqual({ result: {} });
    expect(act.noted).toEqual([address]);
    expect(read(`sys/bus/pci/devices/${other}/driver_override`)).toBe('(null)\n');
  });

  it('goes with the group when a backend lists it', async ({ expect }) => {
    const { driver: _none, ...undriven } = { ...gpu, address: other, class: 0x068000 };
    // Files bind nothing: there is no drivers_probe.
    const act = bindBeside({ ...undriven, attributes: asIs }, { inventory: [address, other] });
    await expect(act.done).rejects.toThrow(/ENOENT/u);
    expect(act.noted).toEqual([address, other]);
  });

  it('is a function like any other with one: its driver is not taken, and it is named', async ({
    expect,
  }) => {
    const isa = { ...gpu, address: other, class: 0x060100, driver: 'lpc_ich', attributes: asIs };
    const unbind = '/sys/bus/pci/drivers/lpc_ich/unbind';
    const act = bindBeside(isa, { files: { [unbind]: '' } });
    await expect(act.done).rejects.toMatchObject({
      code: 'host-use',
      message: `${address} shares IOMMU group 1 with ${other} (lpc_ich), a part of the host's chipset that no guest gets: give neither, or unbind it if the host can do without.`,
    });
    expect(act.noted).toEqual([]);
    expect(read(unbind)).toBe('');
  });
});

describe('the note of a drive', () => {
  it.for([
    ['pci-144d-a80a-S4EVNX0M-f0', 'pci-144d-a80a-S4EVNX0M-f0'],
    ['pci-144d-a80a-S4EVNX0N-f0', false],
    [`pci-${address}-144d-a80a`, false],
  ] as const)('has its key when its number is in it: %s', async ([key, kept], { expect }) => {
    const drive = { ...gpu, vendor: 0x144d, device: 0xa80a, class: 0x010802, driver: 'nvme' };
    const { sysfs, proc, dev } = buildTree(folder, {
      functions: [{ ...drive, attributes: asIs, below: { 'nvme/nvme0/serial': 'S4EVNX0M   \n' } }],
      files: { ...quiet, '/sys/class/block': emptyFolder },
    });
    const order = orderOf(
      {
        method: 'bind',
        params: { address, kernel_driver: 'vfio-pci', unbind: [address] },
        roots: { sysfs, proc, dev },
        accelerators: [`${key}/mdev0`, key],
      },
      address,
    );
    const notes: object[] = [];
    const ask = async (question: ActQuestion): Promise<unknown> => {
      if ('keep' in question) notes.push(...question.keep);
      return { complete: true, open: [] };
    };
    // Files bind nothing: what was noted before is looked at.
    await bind(new HostView(order, { ask, enter: () => undefined })).catch(() => undefined);
    expect(notes).toMatchObject([{ address, serial: 'nvme S4EVNX0M', driver: 'nvme' }]);
    expect(notes.map((note) => 'accelerator' in note && note.accelerator)).toEqual([kept]);
  });
});

describe('a bridge whose driver keeps the IOMMU group', () => {
  const bridge = { ...gpu, address: other, class: 0x060400, driver: 'shpchp', attributes: asIs };
  const unbind = '/sys/bus/pci/drivers/shpchp/unbind';

  it('loses that driver', async ({ expect }) => {
    const act = bindBeside(bridge, { files: { [unbind]: '' } });
    expect(await act.done).toEqual({ result: {} });
    expect(act.noted).toEqual([other, address]);
    expect(read(unbind)).toBe(other);
  });

  it('keeps it while a program uses the bridge', async ({ expect }) => {
    const open = [{ node: other, pid: 4, command: 'probe' }];
    const act = bindBeside(bridge, { files: { [unbind]: '' }, open });
    await expect(act.done).rejects.toMatchObject({
      code: 'host-use',
      message: `The host uses ${other}: its memory is open in probe (pid 4)`,
    });
    expect(read(unbind)).toBe('');
  });
});

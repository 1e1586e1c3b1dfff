import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildTree, type FunctionDescription } from '@cyborg/driver-sdk/tree-builder';
import { describe, it } from 'vitest';
import { orderOf } from '../../../test/act-orders.ts';
import { quietProc } from '../../../test/acts-host.ts';
import { HostView } from './host-view.ts';
import { reset } from './reset.ts';
import { writeAttribute } from './sysfs-write.ts';

const address = '0000:21:00.0';
const bridge = '0000:20:00.0';
const function0: FunctionDescription = {
  address,
  vendor: 0x1234,
  device: 0x11e8,
  class: 0x00ff00,
  behind: [bridge],
  driver: 'vfio-pci',
  iommuGroup: 7,
  attributes: { driver_override: 'vfio-pci\n', reset_method: 'flr\n', reset: '' },
};
const ofTwoMethods: FunctionDescription = {
  ...function0,
  attributes: { ...function0.attributes, reset_method: 'flr bus\n' },
};
const above: FunctionDescription = {
  address: bridge,
  vendor: 0x1b36,
  device: 0x000c,
  class: 0x060400,
  attributes: { reset_subordinate: '' },
};
/** On the same bus: a bus reset would take it along. */
const beside: FunctionDescription = {
  address: '0000:21:01.0',
  vendor: 0x1234,
  device: 0x11e8,
  class: 0x00ff00,
  behind: [bridge],
  iommuGroup: 8,
};
const here = `sys/bus/pci/devices/${address}`;

interface Bench extends AsyncDisposable {
  /** What was written to, in order, while the kernel answers each write to a reset with this errno. */
  readonly written: string[];
  readonly run: (params?: object) => Promise<object>;
  readonly read: (path: string) => Promise<string>;
}

async function open(code: string, functions: readonly FunctionDescription[]): Promise<Bench> {
  const root = await mkdtemp(join(tmpdir(), 'cyborg-reset-'));
  const { sysfs, proc } = buildTree(root, { functions, files: quietProc });
  const bound = { address, backend: 'b', ids: '0x1234:0x11e8', driver: null, override: null };
  const order = orderOf(
    {
      method: 'reset',
      roots: { sysfs, proc, dev: '/dev' },
      bindings: [{ ...bound, boundTo: 'vfio-pci', heldFor: [address] }],
      ordered: [address],
    },
    address,
  );
  const written: string[] = [];
  const nobody = { complete: true, open: [] };
  const line = { ask: async () => nobody, enter: () => undefined };
  return {
    written,
    run: async (params = {}) =>
      await reset(
        new HostView({ ...order, params: { address, ...params } }, line),
        (file, text) => {
          const name = file.slice(file.lastIndexOf('/') + 1);
          written.push(`${name}: ${text}`);
          if (name.startsWith('reset_method')) return writeAttribute(file, text);
          throw Object.assign(new Error(`${code}: write`), { code });
        },
      ),
    read: async (path) => await readFile(join(root, path), 'utf8'),
    [Symbol.asyncDispose]: async () => await rm(root, { recursive: true, force: true }),
  };
}

describe('what the kernel refuses of a reset', () => {
  it('is told and not forced: it has no method left for the function (ENOTTY)', async ({
    expect,
  }) => {
    await using bench = await open('ENOTTY', [above, function0]);
    await expect(bench.run()).rejects.toMatchObject({
      code: 'unsupported',
      message: `${address} cannot be reset by itself: the kernel has no method left for it (ENOTTY).`,
    });
    // Once, by no other way.
    expect(bench.written).toEqual(['reset: 1']);
  });

  it.for(['EBUSY', 'EAGAIN'])(
    'is told and not forced: the function is busy (%s), which may pass',
    async (code, { expect }) => {
      await using bench = await open(code, [above, function0]);
      await expect(bench.run()).rejects.toMatchObject({
        code: 'transient',
        message: `${address} was not reset: the kernel says that it is busy (${code}).`,
      });
      expect(bench.written).toEqual(['reset: 1']);
    },
  );

  it('leaves the kernel’s list of methods as it was', async ({ expect }) => {
    await using bench = await open('EBUSY', [above, ofTwoMethods, beside]);
    await expect(bench.run()).rejects.toMatchObject({ code: 'transient' });
    expect(bench.written).toEqual(['reset_method: flr', 'reset: 1', 'reset_method: flr bus']);
    expect(await bench.read(`${here}/reset_method`)).toMatch(/^flr bus/u);
  });

  it('is told in the same words of a bus', async ({ expect }) => {
    await using bench = await open('EBUSY', [above, function0]);
    await expect(bench.run({ scope: 'bus' })).rejects.toMatchObject({
      code: 'transient',
      message: `${address} was not reset: the kernel says that it is busy (EBUSY).`,
    });
    expect(bench.written).toEqual(['reset_subordinate: 1']);
    await using none = await open('ENOTTY', [above, function0]);
    await expect(none.run({ scope: 'bus' })).rejects.toMatchObject({ code: 'unsupported' });
    expect(none.written).toEqual(['reset_subordinate: 1']);
  });
});

import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, it } from 'vitest';
import { orderOf } from '../../test/act-orders.ts';
import { address, boundFor, gpu, makeHost, other } from '../../test/acts-host.ts';
import type { ActOrder, ActQuestion } from './act-order.ts';
import { HostView } from './child/host-view.ts';
import { reset } from './child/reset.ts';

const folder = `sys/bus/pci/devices/${address}`;

describe('a reset of a function', () => {
  it.for(['habanalabs', 'nvme'])(
    'is refused under its kernel driver %s',
    async (driver, { expect }) => {
      const card = { ...gpu, class: 0x120000, driver, resetMethods: 'flr' };
      await using host = await makeHost({ functions: [{ ...card, attributes: { reset: '' } }] });
      await expect(host.act('reset')).rejects.toMatchObject({
        failure: 'host-use',
        message: `${address} is not reset under ${driver}: bind it to vfio-pci first.`,
      });
      expect(await host.read(`${folder}/reset`)).toBe('');
    },
  );

  it('tells the kernel its methods again where an agent before was killed half-way', async ({
    expect,
  }) => {
    await using host = await makeHost({ functions: [{ ...gpu, resetMethods: 'pm' }] });
    const shortened = [{ address, ids: '0x10de:0x1eb8', methods: 'flr pm bus' }];
    const notes = join(host.root, 'state/bindings.json');
    await writeFile(notes, JSON.stringify({ functions: [], shortened }));
    await host.act('listBound');
    expect(await host.read(`${folder}/reset_method`)).toBe('flr pm bus');
    expect(JSON.parse(await host.read('state/bindings.json'))).toMatchObject({ shortened: [] });
  });
});

type Refusals = Readonly<Record<string, string>>;

/** As the kernel, which refuses what is said here (`reset_method=flr`), in its own words. */
function kernelThat(refuses: Refusals): {
  readonly write: (file: string, text: string) => void;
  readonly done: string[];
} {
  const done: string[] = [];
  let method = '';
  const write = (file: string, text: string): void => {
    const name = file.split('/').at(-1) ?? '';
    const act = name === 'reset' ? `reset by ${method}` : `${name}=${text}`;
    done.push(act);
    if (name === 'reset_method') method = text;
    const code = refuses[act];
    if (code !== undefined) throw Object.assign(new Error(code), { code });
  };
  return { write, done };
}

/** The act itself, without a process of its own. */
async function resetWith(
  root: string,
  { refuses, ...change }: Partial<ActOrder> & { readonly refuses?: Refusals },
): Promise<{ readonly ended: unknown; readonly done: readonly string[] }> {
  const kernel = kernelThat(refuses ?? {});
  const roots = { sysfs: join(root, 'sys'), proc: join(root, 'proc'), dev: '/dev' };
  const order = orderOf({ method: 'reset', roots, ordered: [address], ...change }, address);
  const ask = async (question: ActQuestion): Promise<unknown> => {
    if ('shortened' in question) kernel.done.push(`noted ${question.shortened.methods}`);
    return { complete: true, open: [] };
  };
  const view = new HostView(order, { ask, enter: () => undefined });
  const ended: unknown = await reset(view, kernel.write).catch((error: unknown) => error);
  return { ended, done: kernel.done };
}

describe('the methods of a reset', () => {
  const card = { ...gpu, driver: 'vfio-pci', resetMethods: 'flr pm bus' };
  const behind = ['0000:20:00.0'];

  it('are tried one at a time, and the one that did it is told', async ({ expect }) => {
    await using host = await makeHost({ functions: [{ ...card, behind }] });
    const refuses = { 'reset by flr': 'ENOTTY', 'reset_method=pm': 'EINVAL' };
    const { ended, done } = await resetWith(host.root, { refuses });
    expect(ended).toEqual({ result: { method: 'bus' }, lengthened: address });
    expect(done).toEqual([
      'noted flr pm bus',
      'reset_method=flr',
      'reset by flr',
      'reset_method=pm',
      'reset_method=bus',
      'reset by bus',
      'reset_method=flr pm bus',
    ]);
  });

  it('that the kernel does not take again are what it finds itself', async ({ expect }) => {
    await using host = await makeHost({ functions: [card] });
    const refuses = { 'reset_method=flr pm bus': 'EINVAL' };
    const { ended, done } = await resetWith(host.root, { refuses });
    expect(ended).toMatchObject({ result: { method: 'flr' } });
    expect(done.slice(-2)).toEqual(['reset_method=flr pm bus', 'reset_method=default']);
  });

  it.for([
    ['ENOTTY', 'unsupported'],
    ['EBUSY', 'transient'],
  ])('that end in %s are told, not forced, and put back', async ([code, failure], { expect }) => {
    await using host = await makeHost({ functions: [card] });
    const acts = ['flr', 'pm', 'bus'].map((method) => [`reset by ${method}`, code ?? '']);
    const refuses: Refusals = Object.fromEntries(acts);
    const { ended, done } = await resetWith(host.root, { refuses });
    expect(ended).toMatchObject({ code: failure, changes: { lengthened: address } });
    expect(done.at(-1)).toBe('reset_method=flr pm bus');
  });
});

describe('a reset of a bus', () => {
  const port = '0000:20:00.0';
  const behind = [port];
  const given = { ...gpu, behind, driver: 'vfio-pci', resetMethods: 'bus' };
  const free = { ...gpu, behind, address: '0000:21:00.2', iommuGroup: 9 };
  const bridge = { ...gpu, address: port, class: 0x060400, driver: 'pcieport' };
  const withReset = { ...bridge, attributes: { reset_subordinate: '' } };
  const bus = { scope: 'bus' };

  it('takes along what one guest had with it, and what nobody has', async ({ expect }) => {
    const group = [address, other];
    await using host = await makeHost({
      functions: [given, { ...given, address: other }, free, withReset],
      bindings: [boundFor(group, address), boundFor(group, other)],
    });
    expect(await host.act('reset', bus)).toEqual({ method: 'bus' });
    expect(await host.read(`sys/bus/pci/devices/${port}/reset_subordinate`)).toBe('1');
  });

  it('is refused while what nobody has is being given to somebody', async ({ expect }) => {
    await using host = await makeHost({ functions: [given, free, withReset] });
    const params = { address, scope: 'bus' };
    const ordered = [address, free.address];
    const { ended, done } = await resetWith(host.root, { params, ordered });
    expect(ended).toMatchObject({
      code: 'host-use',
      message: expect.stringContaining(`${free.address} (ordered)`),
    });
    expect(done).toEqual([]);
    const { ended: alone } = await resetWith(host.root, { params });
    expect(alone).toEqual({ result: { method: 'bus' } });
  });

  it('is refused while a function behind the bridge has virtual functions', async ({ expect }) => {
    const divided = { ...free, vfs: { device: 1, addresses: ['0000:21:01.0'] } };
    await using host = await makeHost({ functions: [given, divided, withReset] });
    await expect(host.act('reset', bus)).rejects.toThrow(/1 virtual functions would be reset/u);
  });

  it('says why there is none', async ({ expect }) => {
    await using older = await makeHost({ functions: [given, free, bridge] });
    await expect(older.act('reset', bus)).rejects.toMatchObject({
      failure: 'unsupported',
      message: expect.stringContaining(`the bridge ${port} has no reset_subordinate`),
    });
    await using top = await makeHost({ functions: [{ ...given, behind: [] }] });
    await expect(top.act('reset', bus)).rejects.toMatchObject({
      failure: 'unsupported',
      message: expect.stringContaining('behind no bridge whose bus could be reset'),
    });
  });
});

import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, ftruncateSync, openSync, readFileSync, statSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, beforeAll, describe, it, vi } from 'vitest';
import { numberOf } from '@cyborg/driver-sdk/device-number';
import { buildTree, emptyFolder, type FunctionDescription } from '@cyborg/driver-sdk/tree-builder';
import { orderOf } from '../../../test/act-orders.ts';
import { quietProc } from '../../../test/acts-host.ts';
import { bind, unbind } from './bind.ts';
import { DiskClaims } from './disk-claims.ts';
import { HostView } from './host-view.ts';

const address = '0000:21:00.0';
const unbindFile = '/sys/bus/pci/drivers/ahci/unbind';
let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'cyborg-disks-'));
});
afterAll(async () => rm(folder, { recursive: true, force: true }));

/** A controller with a disk of this number, and the act about it as its process sees it. */
function makeHost(disk: string, number: string, dev = '/dev'): HostView {
  const root = join(folder, 'tree');
  const fn: FunctionDescription = {
    address,
    vendor: 0x8086,
    device: 0xa352,
    class: 0x010601,
    driver: 'ahci',
    iommuGroup: 7,
    below: {
      [`block/${disk}/dev`]: `${number}\n`,
      [`block/${disk}/holders`]: emptyFolder,
      [`block/${disk}/${disk}p1/dev`]: '259:99\n',
      [`block/${disk}/${disk}p1/partition`]: '1\n',
      [`block/${disk}/${disk}p1/holders`]: emptyFolder,
    },
  };
  const drivers = { [unbindFile]: '', '/sys/bus/pci/drivers/vfio-pci': emptyFolder };
  const { sysfs, proc } = buildTree(root, {
    functions: [fn],
    files: { ...quietProc, ...drivers },
  });
  const params = { address, kernel_driver: 'vfio-pci', unbind: [address] };
  const order = orderOf({ method: 'bind', params, roots: { sysfs, proc, dev } }, address);
  const nobody = { complete: true, open: [] };
  return new HostView(order, { ask: async () => nobody, enter: () => undefined });
}

const unbound = (): string => readFileSync(join(folder, 'tree', unbindFile), 'utf8');

describe('what the kernel is to say of a disk before its driver is taken', () => {
  it('is missing without a node of the disk’s own number: nothing is taken', async ({ expect }) => {
    const host = makeHost('sdz', '1:3', join(folder, 'no-dev'));
    await expect(unbind(host)).rejects.toMatchObject({
      code: 'host-use',
      message: expect.stringMatching(
        /may be using 0000:21:00\.0: whether disk sdz is in use .*: there is no node 1:3 in/u,
      ),
    });
    // A node of that name, and of another number.
    await expect(unbind(makeHost('null', '8:0'))).rejects.toThrow(/there is no node 8:0 in/u);
    expect(unbound()).toBe('');
  });
});

interface Loop extends AsyncDisposable {
  readonly node: string;
  /** `7:3` */
  readonly number: string;
}

/** A real disk with a file system. */
async function makeLoop(): Promise<Loop> {
  const file = join(folder, 'disk');
  const handle = openSync(file, 'w');
  ftruncateSync(handle, 8 * 1024 * 1024);
  closeSync(handle);
  const node = execFileSync('losetup', ['--find', '--show', file], { encoding: 'utf8' }).trim();
  const remove = async (): Promise<void> => {
    spawnSync('losetup', ['--detach', node]);
    await rm(file, { force: true });
  };
  execFileSync('mkfs.ext4', ['-q', node]);
  const number = numberOf(statSync(node))?.slice(1) ?? '';
  return { node, number, [Symbol.asyncDispose]: remove };
}

/** Mounts it where no process but one sees it, until that ends. */
async function mountElsewhere({ node }: Loop): Promise<AsyncDisposable> {
  const place = join(folder, 'place');
  await mkdir(place, { recursive: true });
  const script = 'mount "$0" "$1" && echo mounted && exec cat';
  const child = spawn('unshare', ['-m', 'sh', '-c', script, node, place], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const ended = once(child, 'exit');
  const [said] = await Promise.race([once(child.stdout, 'data'), ended]);
  if (!String(said).startsWith('mounted')) throw new Error('it was not mounted');
  const end = async (): Promise<void> => {
    child.stdin.destroy();
    await ended;
  };
  return { [Symbol.asyncDispose]: end };
}

const hasLoops =
  process.getuid?.() === 0 &&
  spawnSync('losetup', ['--find']).status === 0 &&
  spawnSync('mkfs.ext4', ['-V']).status === 0 &&
  spawnSync('unshare', ['-m', 'true']).status === 0;

describe.runIf(hasLoops)('a real disk (needs root, loop devices, mkfs.ext4 and unshare)', () => {
  it('that is mounted in another namespace is seen by no table, and refused', async ({
    expect,
  }) => {
    await using loop = await makeLoop();
    const name = basename(loop.node);
    {
      await using _mount = await mountElsewhere(loop);
      const host = makeHost(name, loop.number);
      await host.refuseHostUse([host.target]);
      const refused = {
        code: 'host-use',
        message: expect.stringMatching(`disk ${name} or a part of it is in use \\(EBUSY\\)`),
      };
      await expect(bind(host)).rejects.toMatchObject(refused);
      await expect(unbind(host)).rejects.toMatchObject(refused);
      expect(unbound()).toBe('');
    }
    // The kernel unmounts with the last process of the namespace, and need not be done when that has ended.
    await vi.waitFor(() => unbind(makeHost(name, loop.number)), { timeout: 60_000, interval: 50 });
    expect(unbound()).toBe(address);
  });

  it('that is free cannot be mounted from the look until its driver has been taken', async ({
    expect,
  }) => {
    await using loop = await makeLoop();
    const host = makeHost(basename(loop.node), loop.number);
    using disks = new DiskClaims(host);
    disks.take(host.target);
    disks.take(host.target);
    const place = join(folder, 'place');
    await mkdir(place, { recursive: true });
    const mount = (): number | null =>
      spawnSync('unshare', ['-m', 'mount', loop.node, place]).status;
    expect(mount()).toBe(32);
    disks.release(host.target);
    expect(mount()).toBe(0);
  });
});

import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, statSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, it } from 'vitest';
import { TreeReader } from '@cyborg/driver-sdk/sysfs';
import { buildTree, emptyFolder } from '@cyborg/driver-sdk/tree-builder';
import { systemClock } from '@cyborg/service/clock';
import { makeLogger } from '@cyborg/service/logging';
import { TestHost, makeBackend, makeInstallation } from '../../test/agent-under-test.ts';
import { FakeServer } from '../../test/fake-server.ts';
import { Looks } from './looks.ts';
import { OpenNodes } from './open-nodes.ts';
import { findOpenNodes } from './open-nodes-scan.ts';

const isRoot = process.getuid?.() === 0;
const builtInDrivers = fileURLToPath(new URL('../../../../drivers', import.meta.url));
const log = makeLogger({ name: 'test', level: 'silent', clock: systemClock });

/** A device node that nobody else has a reason to hold: /dev/full is what tests of a full disk write to. */
const node = '/dev/zero';
const number = 'c1:5';

async function makeFolder(): Promise<{ folder: string } & AsyncDisposable> {
  const folder = await mkdtemp(join(tmpdir(), 'cyborg-open-'));
  await chmod(folder, 0o755);
  const remove = async (): Promise<void> => rm(folder, { recursive: true, force: true });
  return { folder, [Symbol.asyncDispose]: remove };
}

/** A process that has the node open until it is let go. */
async function hold(path: string): Promise<{ child: ChildProcess; letGo(): Promise<void> }> {
  const file = openSync(path, 'w');
  const child = spawn('cat', { stdio: ['pipe', file, 'ignore'] });
  await once(child, 'spawn');
  closeSync(file);
  const letGo = async (): Promise<void> => {
    if (child.exitCode !== null) return;
    const ended = once(child, 'exit');
    child.stdin?.destroy();
    await ended;
  };
  return { child, letGo };
}

const open = (
  options: { simulated?: boolean; proc?: string; own?: readonly number[] } = {},
): OpenNodes => {
  const { simulated = false, proc = '/proc', own = [] } = options;
  const looks = new Looks({ clock: systemClock, log });
  return new OpenNodes({ looks, simulated, roots: { proc }, own: () => own });
};

describe.runIf(isRoot)('a root agent says who has a device node open', () => {
  it('by number and by path, and nothing about what is no device', async ({ expect }) => {
    await using made = await makeFolder();
    const secret = join(made.folder, 'secret');
    await writeFile(secret, '');
    const holder = await hold(node);
    const other = await hold(secret);
    try {
      const { pid } = holder.child;
      const answer = await open().find('b', [number, node, 'c1:99', secret]);
      expect(answer).toEqual({
        complete: true,
        open: [
          { node: number, pid, command: 'cat' },
          { node, pid, command: 'cat' },
        ],
      });
    } finally {
      await holder.letGo();
      await other.letGo();
    }
    expect(await open().find('b', [number, node])).toEqual({ complete: true, open: [] });
  });

  it('but for the agent’s own acts, which have open what they are about to take', async ({
    expect,
  }) => {
    const act = await hold(node);
    const other = await hold(node);
    try {
      const own = act.child.pid === undefined ? [] : [act.child.pid];
      const { open: found } = await open({ own }).find('b', [number]);
      expect(found.map(({ pid }) => pid)).toEqual([other.child.pid]);
    } finally {
      await act.letGo();
      await other.letGo();
    }
  });

  it('to a driver that is nobody: the function is withheld until the node is closed', async ({
    expect,
  }) => {
    expect(statSync(node).rdev).toBe(0x105);
    await using tree = await makeFolder();
    const below = { 'misc/card0/dev': '1:5\n', 'misc/card0/uevent': 'DEVNAME=accel/card0\n' };
    const ids = { address: '0000:21:00.0', vendor: 0x10de, device: 0x2330, class: 0x030200 };
    const gpu = { ...ids, driver: 'example', iommuGroup: 7, below };
    const { sysfs } = buildTree(tree.folder, { functions: [gpu] });
    const holder = await hold(node);
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server);
    const backend = makeBackend({
      name: 'gpus',
      kind: 'pci',
      config: { offer: 'all', unbind: 'idle' },
    });
    const installation = makeInstallation([backend], { driver_id: 'generic', version: '0.1.0' });
    server.installations = [installation];
    const roots = { sysfs, proc: '/proc', dev: '/dev' };
    await host.start({ roots, simulated: false, driversDirs: [builtInDrivers] });
    await server.until('ready', () => server.backendState(backend.id) === 'ready');
    const reason = `in use by the host: /dev/accel/card0 is open in cat (pid ${holder.child.pid})`;
    expect(server.inventories.get(backend.id)?.devices).toMatchObject([{ offered: false, reason }]);

    await holder.letGo();
    server.installations = [{ ...installation, backends: [{ ...backend, discovery: 1 }] }];
    server.changed();
    await server.until(
      'free',
      () => server.inventories.get(backend.id)?.devices[0]?.['offered'] === true,
    );
    expect(server.inventories.get(backend.id)?.devices).toMatchObject([{ reason: null }]);
    expect(server.violations).toEqual([]);
  });
});

describe('an agent says who has a disk mounted', () => {
  const namespaces = {
    '/proc/self/ns/pid': { linkText: 'pid:[4026531836]' },
    '/proc/1/fd': emptyFolder,
    '/proc/1/ns/mnt': { linkText: 'mnt:[4026531840]' },
    '/proc/1/mountinfo': '22 1 0:5 / / rw - tmpfs tmpfs rw\n',
    '/proc/88/fd': emptyFolder,
    '/proc/88/comm': 'mysqld\n',
    '/proc/88/ns/mnt': { linkText: 'mnt:[4026532999]' },
    '/proc/88/stat': '88 (mysqld) S 1 4 4 0 -1 4194304 0 0',
  };
  const mounts = '30 22 259:1 / /data rw - ext4 /dev/nvme0n1p1 rw\n';

  it('in a mount namespace that no other process is in', async ({ expect }) => {
    await using made = await makeFolder();
    const files = { ...namespaces, '/proc/88/mountinfo': mounts };
    const { proc } = buildTree(made.folder, { functions: [], files });
    const nodes = ['b259:1', 'b259:0'];
    expect(findOpenNodes({ proc, nodes, own: [] }, new TreeReader())).toEqual({
      complete: true,
      open: [{ node: 'b259:1', pid: 88, command: 'a mount of mysqld' }],
    });
  });

  it('or that it cannot see that, and not when no disk was asked about', async ({ expect }) => {
    await using made = await makeFolder();
    const { proc } = buildTree(made.folder, { functions: [], files: namespaces });
    const look = (...nodes: string[]): unknown =>
      findOpenNodes({ proc, nodes, own: [] }, new TreeReader());
    expect(look('b259:1')).toEqual({ complete: false, open: [] });
    expect(look('c226:128')).toEqual({ complete: true, open: [] });
  });
});

describe('an agent that cannot see everything says so', () => {
  it('when files of a process are hidden, and not for threads of the kernel or what has ended', async ({
    expect,
  }) => {
    await using made = await makeFolder();
    const look = (): unknown =>
      findOpenNodes({ proc: made.folder, nodes: [node], own: [] }, new TreeReader());
    const addProcess = async (id: number, stat: string): Promise<void> => {
      await mkdir(join(made.folder, String(id)));
      await writeFile(join(made.folder, String(id), 'stat'), stat);
    };
    expect(look()).toEqual({ complete: false, open: [] }); // no process at all: not a /proc
    await addProcess(2, '2 (kthreadd) S 0 0 0 0 -1 2129984 0 0');
    await addProcess(3, '3 (gone (x) S) Z 1 3 3 0 -1 4194304 0 0');
    expect(look()).toEqual({ complete: true, open: [] });
    await addProcess(4, '4 (trainer) S 1 4 4 0 -1 4194304 0 0');
    expect(look()).toEqual({ complete: false, open: [] });
  });

  it('in a PID namespace of its own', async ({ expect }) => {
    await using made = await makeFolder();
    await mkdir(join(made.folder, '1', 'fd'), { recursive: true });
    await mkdir(join(made.folder, 'self', 'ns'), { recursive: true });
    await symlink('pid:[4026532999]', join(made.folder, 'self', 'ns', 'pid'));
    const answer = findOpenNodes({ proc: made.folder, nodes: [number], own: [] }, new TreeReader());
    expect(answer).toEqual({ complete: false, open: [] });
  });

  it('with recorded hardware, and without any processes', async ({ expect }) => {
    await using made = await makeFolder();
    const nothing = { complete: false, open: [] };
    expect(await open({ simulated: true }).find('b', [number])).toEqual(nothing);
    expect(await open({ proc: made.folder }).find('b', [number])).toEqual(nothing);
  });

  it('when a backend does not wait for its answer', async ({ expect }) => {
    const one = open();
    const first = one.find('b', [number]);
    await expect(one.find('b', [number])).rejects.toMatchObject({ failure: 'transient' });
    await expect(one.find('other', [number])).resolves.toMatchObject({ open: [] });
    await expect(first).resolves.toMatchObject({ open: [] });
  });
});

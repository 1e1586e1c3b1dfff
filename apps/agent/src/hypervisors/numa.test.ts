import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'vitest';
import { systemClock } from '@cyborg/service/clock';
import { HostNuma, parseCpuList } from './numa.ts';

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'cyborg-numa-'));
});
afterEach(async () => {
  await rm(root, { recursive: true, force: true });
});

async function open(files: Readonly<Record<string, string>>): Promise<HostNuma> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(join(root, dirname(name)), { recursive: true });
    await writeFile(join(root, name), text);
  }
  return new HostNuma({ sysfsRoot: root, procRoot: join(root, 'proc'), clock: systemClock });
}

const node = (n: number): string => `devices/system/node/node${n}/cpulist`;

describe("the host's NUMA nodes", () => {
  it('are told of CPUs and threads that are tied to some of them', async ({ expect }) => {
    const numa = await open({
      [node(0)]: '0-3\n',
      [node(1)]: '4-7\n',
      [node(2)]: '\n', // memory only
      'devices/system/node/online': '0-2\n',
      'proc/7/task/7/status': 'Name:\tqemu\nCpus_allowed:\tf0\nCpus_allowed_list:\t4-5\n',
      'proc/7/task/8/status': 'Cpus_allowed_list:\t7\n',
    });
    expect(await numa.hasNodes()).toBe(true);
    expect(await numa.nodesOfCpus(parseCpuList('1,3'))).toEqual([0]);
    expect(await numa.nodesOfCpus(parseCpuList('3-4'))).toBeUndefined(); // some of each
    expect(await numa.nodesOfCpus(new Set())).toBeUndefined();
    expect(await numa.cpusOfThreads(7, [7, 8])).toEqual(new Set([4, 5, 7]));
    expect(await numa.cpusOfThreads(7, [7, 9])).toBeUndefined(); // of another process, or gone
  });

  it('are not told where there is one', async ({ expect }) => {
    const numa = await open({ [node(0)]: '0-3\n' });
    expect(await numa.hasNodes()).toBe(false);
    expect(await numa.nodesOfCpus(parseCpuList('0'))).toBeUndefined();
    await rm(root, { recursive: true });
    expect(await (await open({})).hasNodes()).toBe(false);
  });

  it('are those of a function where the firmware says so', async ({ expect }) => {
    const numa = await open({
      'bus/pci/devices/0000:21:00.1/numa_node': '1\n',
      'bus/pci/devices/0000:00:10.0/numa_node': '-1\n',
      'secret/numa_node': '1\n',
    });
    expect(await numa.nodeOfFunction('0000:21:00.1')).toBe(1);
    expect(await numa.nodeOfFunction('0000:00:10.0')).toBeUndefined();
    expect(await numa.nodeOfFunction('0000:99:00.0')).toBeUndefined();
    expect(await numa.nodeOfFunction('../../../secret')).toBeUndefined();
  });

  it('are counted by lists as the kernel and libvirt write them', ({ expect }) => {
    expect([...parseCpuList('0-3,8\n')]).toEqual([0, 1, 2, 3, 8]);
    expect([...parseCpuList('0-3,^2')]).toEqual([0, 1, 3]);
    expect([...parseCpuList('')]).toEqual([]);
    expect([...parseCpuList('all, ../x')]).toEqual([]);
    expect(parseCpuList('0-99999').size).toBeLessThan(20_000);
  });
});

import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { systemClock } from '@cyborg/service/clock';
import { systemRng } from '@cyborg/service/rng';
import type { Hypervisor } from '../hypervisor.ts';

const instanceId = 'ab5d3f3e-6d2c-4d4f-9a53-d1c3c3f7f001';
const order = {
  instanceId,
  deviceName: 'ua-cyborg-ab5d3f3e-6d2c-4d4f-9a53-d1c3c3f7f002-1',
  plan: { kind: 'virtio-rng', source: '/dev/urandom' } as const,
};
let root = '';

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'cyborg-libvirt-'));
  const virsh = join(root, 'virsh');
  await writeFile(virsh, '#!/bin/sh\necho "error: failed to get domain" >&2\nexit 1\n');
  await chmod(virsh, 0o755);
  process.env['PATH'] = `${root}${delimiter}${process.env['PATH'] ?? ''}`;
});
afterAll(async () => await rm(root, { recursive: true, force: true }));

async function open(commandLine: readonly string[]): Promise<Hypervisor> {
  // After PATH was set: the adapter's children get the environment as it is when the module is read.
  const { openLibvirtHypervisor } = await import('./libvirt.ts');
  const procRoot = join(root, 'proc');
  await mkdir(join(procRoot, '77'), { recursive: true });
  await writeFile(join(procRoot, '77', 'cmdline'), commandLine.join('\0'));
  return await openLibvirtHypervisor({
    uri: 'test:///none',
    clock: systemClock,
    rng: systemRng,
    directory: join(root, 'plugs'),
    procRoot,
    vfioFile: null,
  });
}

describe('a domain that libvirt does not know', () => {
  const { signal } = new AbortController();

  it('is not gone while its machine runs: libvirtd may be starting', async ({ expect }) => {
    await using hypervisor = await open(['/usr/bin/qemu-system-x86_64', '-uuid', instanceId]);
    const unavailable = { code: 'unavailable', message: expect.stringContaining('is it starting') };
    await expect(hypervisor.plug(order, signal)).rejects.toMatchObject(unavailable);
    await expect(hypervisor.unplug(order, signal)).rejects.toMatchObject(unavailable);
  });

  it('is gone with its machine', async ({ expect }) => {
    await using hypervisor = await open(['/usr/bin/sh']);
    await expect(hypervisor.plug(order, signal)).rejects.toMatchObject({ code: 'instance-gone' });
    await hypervisor.unplug(order, signal);
  });
});

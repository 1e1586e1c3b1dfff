import { randomUUID } from 'node:crypto';
import { join } from 'node:path';

import type { Hypervisor } from '@cyborg/agent/hypervisors/hypervisor';
import { openLibvirtHypervisor } from '@cyborg/agent/hypervisors/libvirt/libvirt';
import type { AttachPlan } from '@cyborg/driver-sdk/protocol';
import { systemClock } from '@cyborg/service/clock';
import { systemRng } from '@cyborg/service/rng';
import { eventually } from '@cyborg/testing/processes';
import { afterEach, beforeEach, describe, it } from 'vitest';

import { guardGuests } from './guest-guard.ts';
import { patientMs } from './guest.ts';
import { Libvirtd, whyNoLibvirt } from './libvirtd.ts';

const problem = guardGuests();
const noLibvirt = whyNoLibvirt();
it('has a libvirtd for a session of its own', ({ expect, skip }) => {
  expect(process.env['CI'] === 'true' ? noLibvirt : null).toBeNull();
  skip(noLibvirt !== null, noLibvirt ?? '');
});

const never = new AbortController().signal;
const uuid = randomUUID();
const random: AttachPlan = { kind: 'virtio-rng', source: '/dev/urandom' };
const order = { instanceId: uuid, deviceName: 'ua-cyborg-11111111-1', plan: random };
const devicePattern = /^CYBORG-PCI\+ 0000:[0-9a-f:.]+ 1af4:1044 virtio-pci$/;

let libvirtd: Libvirtd;
let hypervisor: Hypervisor;

async function devices(): Promise<string[]> {
  const { instances } = await hypervisor.list(never);
  return (instances.find(({ id }) => id === uuid)?.devices ?? []).map(({ name }) => name);
}

function configOf(): string {
  return libvirtd.virsh('dumpxml', uuid, '--inactive').stdout;
}

describe.skipIf(problem !== null || noLibvirt !== null)('libvirt with a real guest', () => {
  beforeEach(async () => {
    libvirtd = new Libvirtd();
    await libvirtd.start();
    hypervisor = await openLibvirtHypervisor({
      uri: libvirtd.uri,
      clock: systemClock,
      rng: systemRng,
      directory: join(libvirtd.folder, 'agent'),
      unplugMsMax: patientMs,
    });
  });
  afterEach(async () => {
    await hypervisor[Symbol.asyncDispose]();
    await libvirtd[Symbol.asyncDispose]();
  });

  it('plugs live and in the configuration, and takes it back from both', async ({ expect }) => {
    const guest = libvirtd.startGuest({ uuid, name: 'web' });
    await guest.says(/^CYBORG-GUEST READY/);
    const { instances } = await hypervisor.list(never);
    expect(instances).toMatchObject([
      { id: uuid, name: 'web & more', projectId: 'p1', state: 'ACTIVE', devices: [] },
    ]);
    // As when virsh was given up and libvirtd went on: the later try is refused, and both have it.
    await Promise.all([hypervisor.plug(order, never), hypervisor.plug(order, never)]);
    await guest.says(devicePattern);
    await guest.says(/^CYBORG-HWRNG ok/);
    expect(configOf()).toContain(order.deviceName);
    await hypervisor.plug(order, never);
    expect(await devices()).toEqual([order.deviceName]);
    await hypervisor.unplug(order, never);
    await guest.says(/^CYBORG-PCI- /);
    expect(await devices()).toEqual([]);
    expect(configOf()).not.toContain(order.deviceName);
    await hypervisor.unplug(order, never);
  });

  it('plugs into a domain without configuration and takes it back, also when it has none any more', async ({
    expect,
  }) => {
    const guest = libvirtd.createGuest({ uuid, name: 'web' });
    await guest.says(/^CYBORG-GUEST READY/);
    for (const configured of [false, true]) {
      if (configured) expect(libvirtd.virsh('define', libvirtd.fileOf('web')).stderr).toBe('');
      const since = guest.lines.length;
      await hypervisor.plug(order, never);
      await guest.says(devicePattern, since);
      expect(await devices()).toEqual([order.deviceName]);
      if (configured) {
        expect(configOf()).toContain(order.deviceName);
        expect(libvirtd.virsh('undefine', uuid).stderr).toBe('');
      }
      await hypervisor.unplug(order, never);
      await guest.says(/^CYBORG-PCI- /, since);
      expect(await devices()).toEqual([]);
    }
  });

  it('completes what was half done: only live, or only in the configuration', async ({
    expect,
  }) => {
    const guest = libvirtd.startGuest({ uuid, name: 'web' });
    await guest.says(/^CYBORG-GUEST READY/);
    for (const flag of ['--live', '--config']) {
      await hypervisor.plug(order, never);
      await guest.says(/^CYBORG-HWRNG ok/);
      const plugged = guest.lines.length;
      const detach = (): void => {
        libvirtd.virsh('detach-device-alias', uuid, order.deviceName, flag);
      };
      const isDone = async (): Promise<boolean> => {
        if (flag === '--config') return !configOf().includes(order.deviceName);
        return (await devices()).length === 0;
      };
      await eventually(
        async () => {
          detach(); // a guest that is busy forgets that it was asked
          return await isDone();
        },
        { timeoutMs: 60_000, pauseMs: 2_000, what: `only one half is left (${flag})` },
      );
      // What comes back before the guest has looked never went, for the guest.
      if (flag === '--live') await guest.says(/^CYBORG-PCI-/, plugged);
      const since = guest.lines.length;
      await hypervisor.plug(order, never);
      if (flag === '--live') await guest.says(devicePattern, since);
      expect(configOf()).toContain(order.deviceName);
      expect(await devices()).toEqual([order.deviceName]);
      await hypervisor.unplug(order, never);
      expect(configOf()).not.toContain(order.deviceName);
    }
  });

  it('concludes nothing while libvirtd is away, and finds all again', async ({ expect }) => {
    const guest = libvirtd.startGuest({ uuid, name: 'web' });
    await guest.says(/^CYBORG-GUEST READY/);
    let calls = 0;
    using _watching = hypervisor.watch(() => (calls += 1));
    await eventually(
      async () => {
        // What happens before virsh follows the events is not told.
        if (calls === 0) await hypervisor.unplug(order, never);
        await hypervisor.plug(order, never);
        return calls > 0;
      },
      { timeoutMs: patientMs, pauseMs: 1_000, what: 'the plug is noticed' },
    );
    await libvirtd.kill();
    await expect(hypervisor.list(never)).rejects.toMatchObject({ code: 'unavailable' });
    await expect(hypervisor.unplug(order, never)).rejects.toMatchObject({ code: 'unavailable' });
    await libvirtd.start();
    const isFound = async (): Promise<boolean> => (await devices()).length > 0;
    await eventually(isFound, { timeoutMs: patientMs, what: 'the guest is found again' });
    expect(await devices()).toEqual([order.deviceName]);
    calls = 0;
    await eventually(
      () => {
        libvirtd.virsh('suspend', uuid);
        libvirtd.virsh('resume', uuid);
        return calls > 0;
      },
      { timeoutMs: patientMs, pauseMs: 500, what: 'events are followed again' },
    );
    await hypervisor.unplug(order, never);
  });

  it('takes a machine that runs without libvirt knowing it for unknown, not gone', async ({
    expect,
  }) => {
    const guest = libvirtd.startGuest({ uuid, name: 'web' });
    await guest.says(/^CYBORG-GUEST READY/);
    await hypervisor.plug(order, never);
    await using other = new Libvirtd();
    await other.start();
    await using emptied = await openLibvirtHypervisor({
      uri: other.uri,
      clock: systemClock,
      rng: systemRng,
      directory: join(other.folder, 'agent'),
    });
    const { instances, unknownIds } = await emptied.list(never);
    expect(instances).toEqual([]);
    expect(unknownIds).toContain(uuid);
    await expect(emptied.unplug(order, never)).rejects.toMatchObject({ code: 'unavailable' });
    await other[Symbol.asyncDispose]();
    libvirtd.virsh('destroy', uuid);
    expect((await hypervisor.list(never)).instances).toMatchObject([{ state: 'SHUTOFF' }]);
    libvirtd.virsh('undefine', uuid);
    const afterwards = await hypervisor.list(never);
    expect(afterwards.instances).toEqual([]);
    expect(afterwards.unknownIds).not.toContain(uuid); // other machines of this host may run
    // A libvirtd that is loading what it knows lacks a stopped domain as well.
    await expect(hypervisor.unplug(order, never)).rejects.toMatchObject({ code: 'unavailable' });
    const isGone = async (): Promise<boolean> =>
      await hypervisor.unplug(order, never).then(
        () => true,
        () => false,
      );
    await eventually(isGone, { timeoutMs: patientMs, pauseMs: 1_000, what: 'it counts as gone' });
    await expect(hypervisor.plug(order, never)).rejects.toMatchObject({ code: 'instance-gone' });
  });
});

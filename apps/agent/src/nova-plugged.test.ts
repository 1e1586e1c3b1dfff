import { systemClock } from '@cyborg/service/clock';
import { describe, it } from 'vitest';

import {
  hostName,
  instanceOne,
  makeBackend,
  makeInstallation,
  makeOrder,
  TestHost,
} from '../test/agent-under-test.ts';
import { FakeServer } from '../test/fake-server.ts';
import type { Hypervisor, InstanceListing } from './hypervisors/hypervisor.ts';
import { readDomain } from './hypervisors/libvirt/domain-xml.ts';
import { openSimulatedHypervisor } from './hypervisors/simulated/simulated.ts';

/** What the machine has that we did not plug. */
interface Machine {
  functions: readonly string[];
  isSilent: boolean;
}

async function openHypervisor(directory: string, machine: Machine): Promise<Hypervisor> {
  const seedInstances = [{ name: 'one' }];
  const real = await openSimulatedHypervisor({
    directory,
    clock: systemClock,
    hostName,
    seedInstances,
  });
  return Object.assign(Object.create(real) as Hypervisor, {
    async list(signal: AbortSignal): Promise<InstanceListing> {
      const listing = await real.list(signal);
      const instances = listing.instances.map((instance) => ({
        ...instance,
        functions: instance.id === instanceOne ? machine.functions : [],
      }));
      if (!machine.isSilent) return { ...listing, instances };
      return { instances: [], unknownIds: [instanceOne], unknownCount: 1 };
    },
    watch: (onChange: () => void) => real.watch(onChange),
    [Symbol.asyncDispose]: () => real[Symbol.asyncDispose](),
  });
}

describe('a function that Nova has plugged', () => {
  it('is cleaned only when no machine has it any more, and none is silent', async ({ expect }) => {
    await using server = await FakeServer.start();
    await using host = await TestHost.make(server);
    const machine: Machine = { functions: ['0000:3b:00.1'], isSilent: false };
    const backend = makeBackend();
    server.installations = [makeInstallation([backend])];
    await host.start({ hypervisor: await openHypervisor(host.hypervisorFolder, machine) });

    const clean = makeOrder('clean', {
      backend_id: backend.id,
      attachment_id: null,
      instance_id: null,
      address: '0000:3B:0.1',
    });
    server.order(clean);
    const heldBecause =
      (words: string): (() => boolean) =>
      () =>
        server.outcomes.some(
          ({ outcome, message }) => outcome === 'held' && message?.includes(words) === true,
        );
    await server.until('held', heldBecause(`Instance ${instanceOne} has the function`));
    machine.isSilent = true;
    await server.until('held by whom nobody knows', heldBecause('does not answer'));
    expect(server.outcomesOf(clean)).not.toContain('cleaned');
    machine.isSilent = false;
    machine.functions = ['0000:3b:00.2'];
    await server.until('cleaned', () => server.outcomesOf(clean).includes('cleaned'));
    expect(server.violations).toEqual([]);
  });
});

describe('the XML of a domain', () => {
  it('says which functions of the host it has', ({ expect }) => {
    const xml = `<domain type='kvm'><name>instance-1</name><devices>
      <hostdev mode='subsystem' type='pci' managed='yes'><source>
        <address domain='0x0000' bus='0x3b' slot='0x00' function='0x1'/></source>
        <address type='pci' domain='0x0000' bus='0x00' slot='0x05' function='0x0'/></hostdev>
      <hostdev mode='subsystem' type='mdev' model='vfio-pci'><source>
        <address uuid='c2177883-f1bb-47f0-914d-32a22e3a8804'/></source></hostdev>
      <interface type='hostdev'><source>
        <address type='pci' domain='0x0000' bus='0xaf' slot='0x02' function='0x3'/></source></interface>
      <interface type='bridge'><source bridge='br0'/></interface>
      </devices></domain>`;
    expect(readDomain(xml)?.functions).toEqual(['0000:3b:00.1', '0000:af:02.3']);
    expect(readDomain('<domain><name>x</name></domain>')?.functions).toEqual([]);
  });
});

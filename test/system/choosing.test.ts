import type { FunctionDescription, TreeDescription } from '@cyborg/driver-sdk/tree-builder';
import { describe, it } from 'vitest';

import { Fleet } from './fleet.ts';
import { Epochs, settled } from './settled.ts';

const [left, right] = ['0000:00:01.0', '0000:00:02.0'];

function card(bus: string, more: Partial<FunctionDescription>): FunctionDescription {
  const address = `0000:${bus}.0`;
  return { address, vendor: 0x1234, device: 0x11e8, class: 0x120000, ...more };
}

/** Two cards that share an IOMMU group under one root port, two that stand alone under another. */
function fourCards(): TreeDescription {
  return {
    functions: [
      card('44:01', { behind: [left], iommuGroup: 12, numaNode: 0 }),
      card('44:02', { behind: [left], iommuGroup: 12, numaNode: 0 }),
      card('51:00', { behind: [right], iommuGroup: 20, numaNode: 1 }),
      card('52:00', { behind: [right], iommuGroup: 21, numaNode: 1 }),
    ],
  };
}

describe('what is chosen on a host', () => {
  it('is whole IOMMU groups, under one root when asked, and the command line says why', async ({
    expect,
  }) => {
    await using fleet = await Fleet.open();
    await fleet.startServer();
    const [host] = await fleet.addHosts(['host-1'], { tree: fourCards() });
    await fleet.done(
      fleet.v3.installDriver({
        params: { driver_id: 'generic' },
        body: { backends: [{ name: 'pci', kind: 'pci' }] },
      }),
    );
    await fleet.untilAttachable();
    const instance = await fleet.instance('host-1');
    const byGroup = await fleet.accelerators();
    expect(byGroup.map((row) => `${row.iommu_group} ${row.pcie_root}`).toSorted()).toEqual([
      `12 ${left}`,
      `12 ${left}`,
      `20 ${right}`,
      `21 ${right}`,
    ]);
    const [one, two] = byGroup.filter((row) => row.iommu_group === 12).map(({ name }) => name);

    const single = await fleet.cli('attach-instance', instance, '--accelerator', one!);
    expect(single.status).toBe(1);
    expect(single.stderr).toContain(`shares IOMMU group 12 with`);
    expect(single.stderr).toContain(`--accelerator ${one} --accelerator ${two}, or --count 2`);

    const rooted = ['--driver', 'generic', '--count', '2', '--same-root', '--numa-node', '1'];
    const dry = await fleet.cli('attach-instance', instance, ...rooted, '--dry-run');
    expect(dry.stdout).toContain(`under PCIe root ${right} like the others`);
    const given = await fleet.cli('attach-instance', instance, ...rooted);
    expect(given.stdout).toMatch(/^Chosen: \S+: free, for 2 of driver generic, on NUMA node 1/m);

    const named = ['--accelerator', one!, '--accelerator', two!];
    const both = await fleet.cli('attach-instance', instance, ...named);
    expect(both.stdout).toContain(`Chosen: ${one}: asked for; all of IOMMU group 12.`);
    await settled(fleet, { epochs: new Epochs() });
    expect(host?.devices()).toHaveLength(4);
    const none = await fleet.cli('attach-instance', instance, ...rooted);
    expect(none.status).toBe(1);
    expect(none.stderr).toContain('2 are needed and 0 are free');
    await fleet.detach(instance);
    expect(await fleet.accelerators({ state: 'available' })).toHaveLength(4);
  });
});

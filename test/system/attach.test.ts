import { describe, it } from 'vitest';

import { Fleet } from './fleet.ts';
import { Epochs, settled } from './settled.ts';

describe('a fleet of two hosts', () => {
  it('attaches and detaches, and ledger, API and hypervisors agree', async ({ expect }) => {
    await using fleet = await Fleet.open();
    await fleet.startServer();
    const [one] = await fleet.addHosts(['host-1', 'host-2']);
    await fleet.installVirtual(['host-1', 'host-2'], { crypto: 2, entropy: 0 });
    const epochs = new Epochs();
    const instance = await fleet.instance('host-1');

    await fleet.attach(instance, { count: 2 });
    await settled(fleet, { epochs });
    expect(one?.devices()).toHaveLength(2);
    await fleet.detach(instance);
    await settled(fleet, { epochs });

    expect(one?.devices()).toEqual([]);
    const free = await fleet.accelerators({ state: 'available' });
    expect(free).toHaveLength(4);
  });
});

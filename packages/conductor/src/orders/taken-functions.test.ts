import { makeTestClock } from '@cyborg/testing/clock';
import { openTestDatabase } from '@cyborg/testing/database';
import { addAccelerators, addBackend, addHost } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { makeAgentHandlers } from '../agents/handlers.ts';
import { makeTestDeps } from '../test-deps.ts';

const pci = { plans: '["pci"]', type: 'GPU' } as const;
const at = (bus: string): { attach_info: string } => ({
  attach_info: JSON.stringify({ domain: '0000', bus, device: '00', function: '0' }),
});

describe('the list of what a host holds', () => {
  it('names the functions that are taken for an agent without notes: those that are not clean again', async ({
    expect,
  }) => {
    const database = await openTestDatabase();
    await using _ = database;
    const { db } = database;
    const deps = makeTestDeps({ db, clock: makeTestClock() });
    const [host, next] = [await addHost(db, { name: 'a' }), await addHost(db, { name: 'b' })];
    const [backend, elsewhere] = [await addBackend(db, host), await addBackend(db, next)];
    const states = [
      ['attached', '21'],
      ['cleaning', '22'],
      ['cleaning_failed', '23'],
      ['orphaned', '24'],
      ['available', '25'],
      ['withheld', '26'],
      ['reserved', '27'],
    ] as const;
    for (const [state, bus] of states) {
      await addAccelerators(db, backend, {
        count: 1,
        key: `k-${state}`,
        state,
        ...pci,
        ...at(bus),
      });
    }
    await addAccelerators(db, backend, { count: 1, state: 'attached' }); // no PCI function
    await addAccelerators(db, elsewhere, { count: 1, state: 'attached', ...pci, ...at('21') });
    const { listHeld } = makeAgentHandlers(deps);
    const credential = { id: host.id, name: host.name };
    const page = await listHeld(credential, { params: {}, query: {}, body: undefined });
    const taken = [...(page.taken ?? [])].toSorted((a, b) => (a.address < b.address ? -1 : 1));
    const of = (state: string, bus: string) => ({
      backend_id: backend.id,
      accelerator_key: `k-${state}`,
      address: `0000:${bus}:00.0`,
    });
    expect(taken).toEqual(states.slice(0, 4).map(([state, bus]) => of(state, bus)));
    const marker = Buffer.from(JSON.stringify([host.id])).toString('base64url');
    const second = await listHeld(credential, { params: {}, query: { marker }, body: undefined });
    expect(second.taken).toBeUndefined();
  });
});

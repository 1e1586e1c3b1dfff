import { toJson } from '@cyborg/store/json';
import { listOffered } from '@cyborg/store/placement';
import { addProvider, type Provider } from '@cyborg/testing/providers';
import { describe, it } from 'vitest';

import { bind, make, openBench, states, type Bench } from '../../../test/requests.ts';

const plans = toJson(['pci']);
const address = '0000:21:00.0';

/** A physical function and one of its virtual functions, each a resource provider of its own. */
async function addCard({ db, backend }: Bench): Promise<{ whole: Provider; part: Provider }> {
  const whole = await addProvider(db, backend, { count: 1, plans });
  const part = await addProvider(db, backend, {
    count: 1,
    plans,
    attach_info: toJson({ domain: '0000', bus: '21', device: '00', function: '1' }),
  });
  const setDevice = ({ accelerators: [row] }: Provider, changes: object): Promise<unknown> =>
    db.updateTable('device').set(changes).where('id', '=', row!.device_id).execute();
  await setDevice(whole, { address });
  await setDevice(part, { info: toJson({ physical_function: address }) });
  return { whole, part };
}

describe('a bind', () => {
  it('gives a card or its parts, whoever asks first', async ({ expect }) => {
    await using bench = await openBench(1);
    const { whole, part } = await addCard(bench);
    const [first = '', second = ''] = [...(await make(bench)), ...(await make(bench))];
    await bind({ ...bench, provider: part }, [first]);
    await expect(bind({ ...bench, provider: whole }, [second])).rejects.toMatchObject({
      status: 404,
    });
    expect((await states(bench)).toSorted()).toEqual(['attached', 'available', 'available']);
  });

  it('gives one of both when they are asked for at the same moment', async ({ expect }) => {
    await using bench = await openBench(1);
    const { whole, part } = await addCard(bench);
    const [first = '', second = ''] = [...(await make(bench)), ...(await make(bench))];
    await Promise.allSettled([
      bind({ ...bench, provider: part }, [first]),
      bind({ ...bench, provider: whole }, [second]),
    ]);
    expect((await states(bench)).toSorted()).toEqual(['attached', 'available', 'available']);
  });

  it('gives no part of an IOMMU group, and Placement hears of none', async ({ expect }) => {
    await using bench = await openBench(1);
    const { db, backend, provider } = bench;
    const another = await addProvider(db, backend, { count: 1, plans });
    const free = async (): Promise<string[]> => {
      const offered = await listOffered(db, { withHotplug: false });
      return offered.filter((row) => row.reserved === 0).map((row) => row.deployable_id);
    };
    expect(await free()).toHaveLength(2);
    await db.updateTable('accelerator').set({ iommu_group: 12 }).execute();
    expect(await free()).toEqual([]);
    const [id = ''] = await make(bench);
    await expect(bind(bench, [id])).rejects.toMatchObject({
      status: 400,
      message: expect.stringContaining('shares an IOMMU group with other accelerators'),
    });
    const ids = another.accelerators.map((row) => row.id);
    await db.updateTable('accelerator').set({ iommu_group: 13 }).where('id', 'in', ids).execute();
    expect(await free()).toContain(provider.deployableId);
    await bind(bench, [id]);
    expect((await states(bench)).toSorted()).toEqual(['attached', 'available']);
  });

  it('gives nothing of a service that is disabled', async ({ expect }) => {
    await using bench = await openBench(1);
    const { db, backend, host } = bench;
    const [row] = bench.provider.accelerators;
    const [id = ''] = await make(bench);
    await db
      .insertInto('service')
      .values({
        id: crypto.randomUUID(),
        host_id: host.id,
        backend_id: backend.id,
        name: 'fpga.program',
        kind: 'function',
        status: 'disabled',
        state: 'up',
        reason: null,
        created_at: row!.created_at,
        updated_at: null,
      })
      .execute();
    await expect(bind(bench, [id])).rejects.toMatchObject({ status: 404 });
    expect(await states(bench)).toEqual(['available']);
  });
});

import { randomUUID } from 'node:crypto';

import { pickCandidates } from '@cyborg/store/candidates';
import { listNeighbours } from '@cyborg/store/neighbours';
import { toJson } from '@cyborg/store/json';
import { openTestDatabase } from '@cyborg/testing/database';
import { addAccelerators, addBackend, addHost } from '@cyborg/testing/fleet';
import fc from 'fast-check';
import { sql } from 'kysely';
import { describe, it } from 'vitest';

import { fits, whyNot, type FitContext, type Wish } from './fitting.ts';
import { match } from './match.ts';

const types = ['CRYPTO', 'ENTROPY', 'GPU', 'FPGA'];
const classes = ['FPGA', 'GPU', 'VGPU', 'CUSTOM_QAT', 'CUSTOM_CYBORG_CRYPTO', 'CUSTOM_OTHER'];
const traits = ['CUSTOM_A', 'CUSTOM_B'];
const plans = ['pci', 'virtio-crypto', 'virtio-rng'];
const roots = [null, '0000:00:01.0'];
const instance = randomUUID();
const another = randomUUID();

const accelerator = fc.record({
  type: fc.constantFrom(...types),
  resource_class: fc.constantFrom(...classes),
  traits: fc.subarray(traits),
  plans: fc.subarray(plans),
  state: fc.constantFrom(
    'available' as const,
    'available' as const,
    'withheld' as const,
    'cleaning' as const,
  ),
  presence: fc.constantFrom('present' as const, 'present' as const, 'absent' as const),
  reserved_for: fc.constantFrom(null, null, 'alpha', 'beta'),
  numa_node: fc.constantFrom(null, 0, 1),
  iommu_group: fc.constantFrom(null, null, 1, 2),
  pcie_root: fc.constantFrom(...roots),
  instance_id: fc.constantFrom(null, null, null, instance, another),
  at: fc.nat(3),
});
const wish: fc.Arbitrary<Wish> = fc.record(
  {
    count: fc.constant(1),
    driverId: fc.constantFrom('generic', 'other'),
    type: fc.constantFrom(...types),
    resourceClass: fc.constantFrom(...classes),
    traits: fc.record({ required: fc.subarray(traits), forbidden: fc.subarray(traits) }),
    numaNode: fc.constantFrom(0, 1),
    needsRoot: fc.boolean(),
  },
  { requiredKeys: ['count'] },
);

/** Fits whatever asks for nothing in particular, so that no run goes without a fit. */
const fitsAll = {
  type: 'CRYPTO',
  resource_class: 'FPGA',
  traits: [],
  plans: ['virtio-crypto'],
  state: 'available' as const,
  presence: 'present' as const,
  reserved_for: null,
  numa_node: null,
  iommu_group: null,
  pcie_root: null,
  instance_id: null,
  at: 0,
};
const wishesAll: Wish[] = Array.from({ length: 8 }, () => ({ count: 1 }));

describe('whether an accelerator fits', () => {
  it('is the same to the database, which picks, and to the sentence that says why not', async ({
    expect,
  }) => {
    await using database = await openTestDatabase();
    const { db } = database;
    const hosts = [await addHost(db), await addHost(db)];
    const backends = [
      await addBackend(db, hosts[0]!),
      await addBackend(db, hosts[0]!, { name: 'disabled', status: 'disabled' }),
      await addBackend(db, hosts[0]!, { name: 'stale', state: 'stale', driver_id: 'other' }),
      await addBackend(db, hosts[1]!, { driver_id: 'other' }),
    ];
    const context: FitContext = {
      projectId: 'alpha',
      instanceId: instance,
      hostId: hosts[0]!.id,
      host: hosts[0]!.name,
      hypervisor: 'qemu',
      plugs: ['virtio-crypto', 'virtio-rng'],
      mayName: () => false,
    };
    let fitting = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(accelerator, { minLength: 4, maxLength: 8 }),
        fc.array(wish, { minLength: 8, maxLength: 8 }),
        async (rows, wishes) => {
          await sql`truncate device cascade`.execute(db);
          for (const { at, ...row } of rows) {
            await addAccelerators(db, backends[at]!, {
              count: 1,
              ...row,
              ...(row.instance_id !== null && { state: 'attached' }),
              traits: toJson(row.traits),
              plans: toJson(row.plans),
            });
          }
          const all = await listNeighbours(db, sql`true`);
          expect(all).toHaveLength(rows.length);
          for (const one of wishes) {
            const picked = await pickCandidates(db, {
              fits: fits(one, context),
              limit: 100,
              locking: 'none',
            });
            const judged = all.filter((row) => whyNot(row, one, context).length === 0);
            expect(picked.map(({ id }) => id)).toEqual(judged.map(({ id }) => id));
            fitting += judged.length;
          }
        },
      ),
      { numRuns: 25, examples: [[[fitsAll, fitsAll, fitsAll, fitsAll], wishesAll]] },
    );
    expect(fitting).toBeGreaterThan(0);
  });
});

describe('match', () => {
  it('serves all wishes whenever that is possible, and no more than there is', ({ expect }) => {
    const demand = fc.record({
      count: fc.integer({ min: 1, max: 2 }),
      candidates: fc.subarray(['a', 'b', 'c', 'd', 'e']),
    });
    fc.assert(
      fc.property(fc.array(demand, { minLength: 1, maxLength: 4 }), (demands) => {
        const matched = match(demands, (item) => item);
        const all = matched.flat();
        expect(new Set(all).size).toBe(all.length);
        matched.forEach((items, index) => {
          expect(items.length).toBeLessThanOrEqual(demands[index]!.count);
          for (const item of items) expect(demands[index]!.candidates).toContain(item);
        });
        expect(all).toHaveLength(
          mostOf(demands.flatMap((one) => Array.from({ length: one.count }, () => one.candidates))),
        );
      }),
    );
  });
});

/** By trying everything. */
function mostOf(
  slots: readonly (readonly string[])[],
  taken: ReadonlySet<string> = new Set(),
): number {
  const [first, ...rest] = slots;
  if (first === undefined) return 0;
  const choices = first
    .filter((item) => !taken.has(item))
    .map((item) => 1 + mostOf(rest, new Set([...taken, item])));
  return Math.max(mostOf(rest, taken), ...choices);
}

import { toJson } from '@cyborg/store/json';
import { makeTestClock } from '@cyborg/testing/clock';
import { openTestDatabase } from '@cyborg/testing/database';
import { addAccelerators, addBackend, addHost, addInstance, callerOf } from '@cyborg/testing/fleet';
import fc from 'fast-check';
import { sql } from 'kysely';
import { describe, it } from 'vitest';

import { obey } from '../test-agent.ts';
import { makeTestDeps } from '../test-deps.ts';
import { makeAttachmentHandlers } from './handlers.ts';
import type { AttachBody } from './wishes.ts';

const admin = callerOf('admin', 'alpha');
const plugs = ['pci'];

interface Card {
  readonly at: string;
  readonly group?: number | null;
  readonly node?: number | null;
  readonly root?: string | null;
  readonly traits?: readonly string[];
  readonly state?: 'available' | 'withheld';
}

async function setUp(nodes: readonly number[] = []) {
  const database = await openTestDatabase();
  const { db } = database;
  const deps = makeTestDeps({ db, clock: makeTestClock() });
  const healthy = { hypervisor: 'qemu', healthy: true, reason: null, plugs };
  const host = await addHost(db, { name: 'node-1', plugs: toJson([healthy]) });
  const backend = await addBackend(db, host);
  const guest = await addInstance(db, host, {
    name: 'vm-1',
    plugs: toJson(plugs),
    numa_nodes: toJson(nodes),
  });
  const other = await addInstance(db, host, { name: 'vm-2', plugs: toJson(plugs) });
  const handlers = makeAttachmentHandlers(deps);
  const attach = (body: AttachBody, to = guest, dry_run = false) =>
    handlers.createAttachments(admin, {
      params: { instance_id: to.id },
      query: dry_run ? { dry_run } : {},
      body,
    });
  const add = async ({ at, group, node, root, traits = [], state = 'available' }: Card) => {
    const [domain = '', bus = '', rest = ''] = at.split(':');
    const [device = '', fn = ''] = rest.split('.');
    const [made] = await addAccelerators(db, backend, {
      count: 1,
      type: 'OTHER',
      key: at,
      name: `edu-${at}`,
      plans: toJson(plugs),
      attach_info: toJson({ domain, bus, device, function: fn }),
      iommu_group: group ?? null,
      numa_node: node ?? null,
      pcie_root: root ?? null,
      traits: toJson(traits),
      state,
      reason: state === 'withheld' ? 'not approved' : null,
    });
    return made!;
  };
  const held = async () => {
    const rows = await db
      .selectFrom('accelerator')
      .select(['name', 'instance_id'])
      .where('instance_id', 'is not', null)
      .orderBy('name')
      .execute();
    return rows.map(({ name, instance_id: id }) => `${name} ${id === guest.id ? 'vm-1' : 'vm-2'}`);
  };
  const refusal = async (body: AttachBody, to = guest) => {
    const answer = await attach(body, to, true);
    if (!('dry_run' in answer)) throw new Error('not a dry run');
    return answer;
  };
  return { database, db, deps, host, backend, guest, other, attach, add, held, refusal };
}

describe('accelerators of one IOMMU group', () => {
  it('are refused singly, naming the others and the way out, and go together', async ({
    expect,
  }) => {
    const lab = await setUp();
    await using _ = lab.database;
    await lab.add({ at: '0000:44:01.0', group: 12 });
    await lab.add({ at: '0000:44:02.0', group: 12 });
    const why =
      'shares IOMMU group 12 with 0000:44:02.0 (edu-0000:44:02.0): attach them together (--accelerator edu-0000:44:01.0 --accelerator edu-0000:44:02.0, or --count 2)';
    await expect(lab.attach({ accelerator: 'edu-0000:44:01.0' })).rejects.toMatchObject({
      code: 'no-accelerator-left',
      message: `Accelerator edu-0000:44:01.0 cannot be attached to vm-1: ${why}.`,
    });
    await expect(lab.attach({ driver: 'generic' })).rejects.toMatchObject({
      message: expect.stringContaining(`2 are free on host node-1, but not so many together`),
      extra: { nearest_misses: [{ why_not: [why] }, { name: 'edu-0000:44:02.0' }] },
    });
    await expect(lab.attach({})).rejects.toMatchObject({ code: 'no-accelerator-left' });
    const operation = await lab.attach({
      accelerators: ['edu-0000:44:02.0', 'edu-0000:44:01.0'],
    });
    expect(operation).toMatchObject({
      subject: {
        chosen: [expect.stringContaining('asked for; all of IOMMU group 12'), expect.anything()],
      },
    });
    expect(await lab.held()).toEqual(['edu-0000:44:01.0 vm-1', 'edu-0000:44:02.0 vm-1']);
  });

  it('go together by count, and what stands alone is taken first', async ({ expect }) => {
    const lab = await setUp();
    await using _ = lab.database;
    await lab.add({ at: '0000:44:01.0', group: 12 });
    await lab.add({ at: '0000:44:02.0', group: 12 });
    await lab.add({ at: '0000:45:00.0', group: 13 });
    await lab.attach({ driver: 'generic' });
    expect(await lab.held()).toEqual(['edu-0000:45:00.0 vm-1']);
    await lab.attach({ driver: 'generic', count: 2 });
    expect(await lab.held()).toHaveLength(3);
  });

  it('come one by one only to the instance that has the rest', async ({ expect }) => {
    const lab = await setUp();
    await using _ = lab.database;
    await lab.add({ at: '0000:44:01.0', group: 12 });
    const second = await lab.add({ at: '0000:44:02.0', group: 12 });
    await lab.attach({ count: 2 });
    await obey(lab.deps, lab.host);
    await makeAttachmentHandlers(lab.deps).deleteAttachments(admin, {
      params: { instance_id: lab.guest.id },
      query: { accelerator: second.id, force: true },
      body: undefined,
    });
    await obey(lab.deps, lab.host);
    await expect(lab.attach({ accelerator: second.id }, lab.other)).rejects.toMatchObject({
      message: `Accelerator edu-0000:44:02.0 cannot be attached to vm-2: shares IOMMU group 12 with edu-0000:44:01.0, which is held by instance ${lab.guest.id}.`,
    });
    await lab.attach({ accelerator: second.id });
    expect(await lab.held()).toEqual(['edu-0000:44:01.0 vm-1', 'edu-0000:44:02.0 vm-1']);
  });

  it('wait for the one that is withheld, and not for one that is gone', async ({ expect }) => {
    const lab = await setUp();
    await using _ = lab.database;
    await lab.add({ at: '0000:44:01.0', group: 12 });
    const withheld = await lab.add({ at: '0000:44:02.0', group: 12, state: 'withheld' });
    await expect(lab.attach({ driver: 'generic' })).rejects.toMatchObject({
      message: expect.stringContaining(
        'shares IOMMU group 12 with edu-0000:44:02.0, which is withheld: not approved',
      ),
    });
    await lab.db
      .updateTable('accelerator')
      .set({ presence: 'absent' })
      .where('id', '=', withheld.id)
      .execute();
    await lab.attach({ driver: 'generic' });
    expect(await lab.held()).toEqual(['edu-0000:44:01.0 vm-1']);
  });
});

describe('choosing by place', () => {
  it('prefers the NUMA nodes of the instance, and says what it could do', async ({ expect }) => {
    const lab = await setUp([1]);
    await using _ = lab.database;
    for (const [index, node] of [0, 0, 1, null].entries()) {
      await lab.add({ at: `0000:4${index}:00.0`, node });
    }
    await expect(lab.attach({ driver: 'generic' })).resolves.toMatchObject({
      subject: {
        chosen: [
          'edu-0000:42:00.0: free, for 1 of driver generic; on NUMA node 1, where the instance is',
        ],
      },
    });
    await expect(lab.attach({ driver: 'generic' })).resolves.toMatchObject({
      subject: { chosen: ['edu-0000:43:00.0: free, for 1 of driver generic'] },
    });
    await expect(lab.attach({ driver: 'generic' })).resolves.toMatchObject({
      subject: {
        chosen: [
          expect.stringMatching(
            /on NUMA node 0: nothing nearer to the instance \(node 1\) could be given$/,
          ),
        ],
      },
    });
  });

  it('takes a whole group that is near before others that are far', async ({ expect }) => {
    const lab = await setUp([1]);
    await using _ = lab.database;
    await lab.add({ at: '0000:40:00.0', node: 0 });
    await lab.add({ at: '0000:41:00.0', node: 0 });
    await lab.add({ at: '0000:42:00.0', node: 1, group: 5 });
    await lab.add({ at: '0000:42:00.1', node: 1, group: 5 });
    await lab.attach({ driver: 'generic', count: 2 });
    expect(await lab.held()).toEqual(['edu-0000:42:00.0 vm-1', 'edu-0000:42:00.1 vm-1']);
  });

  it('takes only what has the traits and is on the node that are asked for', async ({ expect }) => {
    const lab = await setUp();
    await using _ = lab.database;
    await lab.add({ at: '0000:40:00.0', node: 0, traits: ['CUSTOM_A'] });
    await lab.add({ at: '0000:41:00.0', node: 1, traits: ['CUSTOM_A'] });
    await lab.add({ at: '0000:42:00.0', node: 1 });
    const body = { driver: 'generic', traits: ['CUSTOM_A'], numa_node: 1 };
    await lab.attach(body);
    expect(await lab.held()).toEqual(['edu-0000:41:00.0 vm-1']);
    expect(await lab.refusal(body)).toMatchObject({
      would_succeed: false,
      refusal: {
        detail: expect.stringContaining(
          'For 1 of driver generic, with CUSTOM_A, on NUMA node 1, 1 are needed and 0 are free',
        ),
      },
      nearest_misses: expect.arrayContaining([
        expect.objectContaining({ why_not: ['lacks trait CUSTOM_A'] }),
        expect.objectContaining({ why_not: ['on NUMA node 0, not 1'] }),
      ]),
    });
  });

  it('keeps a request under one PCIe root when asked, and names the root that is short', async ({
    expect,
  }) => {
    const lab = await setUp();
    await using _ = lab.database;
    const [a, b] = ['0000:00:01.0', '0000:00:02.0'];
    await lab.add({ at: '0000:41:00.0', root: a });
    await lab.add({ at: '0000:42:00.0', root: b });
    await lab.add({ at: '0000:43:00.0', root: b });
    await lab.add({ at: '0000:44:00.0' });
    const body = { driver: 'generic', same_root: true };
    await expect(lab.attach({ ...body, count: 2 })).resolves.toMatchObject({
      subject: {
        chosen: [
          expect.stringContaining(`under PCIe root ${b} like the others`),
          expect.anything(),
        ],
      },
    });
    expect(await lab.held()).toEqual(['edu-0000:42:00.0 vm-1', 'edu-0000:43:00.0 vm-1']);
    expect(await lab.refusal({ ...body, count: 2 })).toMatchObject({
      nearest_misses: expect.arrayContaining([
        {
          accelerator_id: expect.anything(),
          name: 'edu-0000:41:00.0',
          why_not: [`under PCIe root ${a}, where 1 are free`],
        },
        expect.objectContaining({ why_not: ['its PCIe root is not known'] }),
      ]),
    });
    const named = { accelerators: ['edu-0000:41:00.0', 'edu-0000:44:00.0'] };
    expect(await lab.refusal({ ...named, same_root: true })).toMatchObject({
      refusal: { detail: expect.stringContaining('its PCIe root is not known') },
    });
    await lab.attach(named);
  });
});

describe('what attach gives', () => {
  it('is all or nothing, never a part of a group, never across roots when asked', async ({
    expect,
  }) => {
    const lab = await setUp([0]);
    await using _ = lab.database;
    const card = fc.record({
      group: fc.constantFrom(null, 1, 2),
      node: fc.constantFrom(null, 0, 1),
      root: fc.constantFrom(null, 'a', 'b'),
      state: fc.constantFrom('available' as const, 'available' as const, 'withheld' as const),
    });
    const ask = fc.record({
      count: fc.integer({ min: 1, max: 4 }),
      same_root: fc.boolean(),
      isOther: fc.boolean(),
    });
    const one = { group: 1, node: 0, root: 'a', state: 'available' } as const;
    const pair = [one, one];
    let given = 0;
    await fc.assert(
      fc.asyncProperty(
        fc.array(card, { minLength: 3, maxLength: 6 }),
        fc.array(ask, { minLength: 1, maxLength: 4 }),
        async (cards, asks) => {
          await sql`truncate device cascade`.execute(lab.db);
          for (const [index, one] of cards.entries()) {
            await lab.add({ ...one, at: `0000:0${index}:00.0` });
          }
          for (const { isOther, ...one } of asks) {
            const before = await lab.held();
            const to = isOther ? lab.other : lab.guest;
            const got = await lab.attach({ driver: 'generic', ...one }, to).then(
              () => one.count,
              () => 0,
            );
            const after = await lab.held();
            expect(after).toHaveLength(before.length + got);
            given += got;
            const rows = await lab.db.selectFrom('accelerator').selectAll().execute();
            for (const group of [1, 2]) {
              const members = rows.filter((row) => row.iommu_group === group);
              expect(new Set(members.map((row) => row.instance_id)).size).toBeLessThan(2);
            }
            const taken = rows.filter(({ name }) =>
              after.some((text) => text.startsWith(name) && !before.includes(text)),
            );
            if (one.same_root && got > 1) {
              expect(new Set(taken.map((row) => row.pcie_root)).size).toBe(1);
            }
          }
        },
      ),
      // The example gives something, whatever is drawn beside it.
      { numRuns: 20, examples: [[pair, [{ count: 2, same_root: true, isOther: false }]]] },
    );
    expect(given).toBeGreaterThan(1);
  });

  it('keeps groups whole when many ask at the same moment', async ({ expect }) => {
    const lab = await setUp();
    await using _ = lab.database;
    for (let index = 0; index < 8; index++) {
      await lab.add({ at: `0000:0${index}:00.0`, group: index >> 1 });
    }
    const asks = Array.from({ length: 8 }, (_none, index) =>
      lab.attach({ driver: 'generic', count: 2 }, index % 2 === 0 ? lab.guest : lab.other),
    );
    const ended = await Promise.allSettled(asks);
    expect(ended.filter(({ status }) => status === 'fulfilled')).toHaveLength(4);
    const rows = await lab.db.selectFrom('accelerator').selectAll().execute();
    for (const members of Map.groupBy(rows, (row) => row.iommu_group).values()) {
      expect(members.every((row) => row.instance_id !== null)).toBe(true);
      expect(new Set(members.map((row) => row.instance_id)).size).toBe(1);
    }
  });
});

import { toJson } from '@cyborg/store/json';
import { makeTestClock } from '@cyborg/testing/clock';
import { openTestDatabase } from '@cyborg/testing/database';
import { addAccelerators, addBackend, addHost, addInstance, callerOf } from '@cyborg/testing/fleet';
import { addProfile } from '@cyborg/testing/providers';
import { describe, it } from 'vitest';

import { makeTestDeps } from '../test-deps.ts';
import { makeAttachmentHandlers } from './handlers.ts';
import type { AttachBody } from './wishes.ts';

const admin = callerOf('admin', 'alpha');
const kinds = ['pci', 'virtio-crypto'];

async function setUp() {
  const database = await openTestDatabase();
  const { db } = database;
  const deps = makeTestDeps({ db, clock: makeTestClock() });
  const plugs = toJson([{ hypervisor: 'qemu', healthy: true, reason: null, plugs: kinds }]);
  const host = await addHost(db, { name: 'node-1', plugs });
  const backend = await addBackend(db, host);
  const guest = await addInstance(db, host, { name: 'vm-1', plugs: toJson(kinds) });
  const refusal = async (body: AttachBody) => {
    const answer = await makeAttachmentHandlers(deps).createAttachments(admin, {
      params: { instance_id: guest.id },
      query: { dry_run: true },
      body,
    });
    if (!('dry_run' in answer)) throw new Error('not a dry run');
    return answer;
  };
  return { database, db, host, backend, guest, refusal };
}

/** A physical function and its virtual functions, all free and under one root. */
async function addCard({ db, backend }: Awaited<ReturnType<typeof setUp>>) {
  const nic = { count: 1, type: 'NIC', plans: toJson(['pci']), pcie_root: '0000:00:01.0' };
  const [whole] = await addAccelerators(db, backend, { ...nic, name: 'pf' });
  const { device_id, created_at } = whole!;
  const names = { key: 'vfs', name: 'vfs', resource_class: 'CUSTOM_NIC' };
  const part = { id: crypto.randomUUID(), device_id, created_at, ...names };
  await db.insertInto('deployable').values(part).execute();
  for (const name of ['vf-0', 'vf-1']) {
    await addAccelerators(db, backend, { ...nic, name, device_id, deployable_id: part.id });
  }
}

describe('why nothing is given', () => {
  it('names a function and its part, which never go together, whoever waits', async ({
    expect,
  }) => {
    const bench = await setUp();
    await using _ = bench.database;
    await addCard(bench);
    expect(await bench.refusal({ driver: 'generic', count: 3 })).toMatchObject({
      refusal: {
        detail: expect.stringContaining(
          '3 are free on host node-1, but not so many together; the nearest miss is pf: vf-0, a part of it, cannot be given with it',
        ),
      },
      nearest_misses: [
        { name: 'pf' },
        { why_not: ['pf, the function that it is a part of, cannot be given with it'] },
        { name: 'vf-1' },
      ],
    });
    for (const same_root of [false, true]) {
      expect(await bench.refusal({ accelerators: ['vf-1', 'pf'], same_root })).toMatchObject({
        refusal: {
          code: 'no-accelerator-left',
          detail: expect.stringMatching(
            /^Accelerator \S+ cannot be attached to vm-1: .* with it\.$/,
          ),
        },
        nearest_misses: [{}, {}],
      });
    }
  });

  it('counts what would serve the request, of each kind, and names a class that is not there', async ({
    expect,
  }) => {
    const bench = await setUp();
    await using _ = bench.database;
    const { db, backend, guest } = bench;
    await addAccelerators(db, backend, { count: 3 });
    const crypto = { 'resources:CUSTOM_CYBORG_CRYPTO': '2' };
    await addProfile(db, { name: 'both', groups: [crypto, { 'resources:GPU': '1' }] });
    const detail = async () => (await bench.refusal({ profile: 'both' })).refusal?.detail;
    const counted = 'For what profile both asks for, 3 are needed and 2 are free on host node-1; ';
    expect(await detail()).toBe(
      `${counted}nothing there is of class GPU: the classes are CUSTOM_CYBORG_CRYPTO.`,
    );
    const gpu = { type: 'GPU', name: 'gpu-0', state: 'attached' } as const;
    await addAccelerators(db, backend, { count: 1, ...gpu, instance_id: guest.id });
    expect(await detail()).toBe(
      `${counted}the nearest miss is gpu-0: held by instance ${guest.id}.`,
    );
  });

  it('advises no count for a group of several kinds, of which none can be asked for alone', async ({
    expect,
  }) => {
    const bench = await setUp();
    await using _ = bench.database;
    for (const [device, type] of ['GPU', 'SSD'].entries()) {
      await addAccelerators(bench.db, bench.backend, {
        count: 1,
        type,
        name: type.toLowerCase(),
        plans: toJson(['pci']),
        iommu_group: 9,
        attach_info: toJson({ domain: '0000', bus: '21', device: `0${device}`, function: '0' }),
      });
    }
    const detail = async (body: AttachBody) => (await bench.refusal(body)).refusal?.detail;
    expect(await detail({ accelerator: 'gpu' })).toMatch(
      /with 0000:21:01\.0 \(ssd\): attach them together \(--accelerator gpu --accelerator ssd\)\.$/,
    );
    expect(await detail({ driver: 'generic' })).toMatch(/attach them together \([^,]*\)\.$/);
    expect(await bench.refusal({ accelerators: ['gpu', 'ssd'] })).toMatchObject({
      would_succeed: true,
    });
  });

  it('says of named ones that they are under several roots when they are', async ({ expect }) => {
    const bench = await setUp();
    await using _ = bench.database;
    const { db, backend } = bench;
    await addCard(bench);
    const more = { count: 1, plans: toJson(['pci']), pcie_root: '0000:00:02.0', name: 'other' };
    await addAccelerators(db, backend, more);
    expect(await bench.refusal({ accelerators: ['vf-0', 'other'], same_root: true })).toMatchObject(
      {
        refusal: {
          detail:
            'They are not under one PCIe root: vf-0 under 0000:00:01.0, other under 0000:00:02.0. Choose others, or leave same_root out.',
        },
      },
    );
  });
});

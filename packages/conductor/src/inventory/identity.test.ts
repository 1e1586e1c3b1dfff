import { toJson } from '@cyborg/store/json';
import { makeTestClock } from '@cyborg/testing/clock';
import { openTestDatabase } from '@cyborg/testing/database';
import { addBackend, addHost, addInstance, callerOf } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { makeAcceleratorHandlers } from '../accelerators/handlers.ts';
import type { AcceleratorEdit } from '../accelerators/update-accelerator.ts';
import { makeAgentHandlers } from '../agents/handlers.ts';
import { makeAttachmentHandlers } from '../attachments/handlers.ts';
import { applyObservations } from '../orders/observations.ts';
import { obey, ordersOf, outcomeOf, report } from '../test-agent.ts';
import { brokenInvariants } from '../test-audit.ts';
import { makeTestDeps } from '../test-deps.ts';
import { act } from '../transaction.ts';

const admin = callerOf('admin', 'alpha');
const plugs = ['pci'];

async function openBench() {
  const database = await openTestDatabase();
  const { db } = database;
  const deps = makeTestDeps({ db, clock: makeTestClock() });
  const healthy = { hypervisor: 'qemu', healthy: true, reason: null, plugs };
  const host = await addHost(db, { name: 'node-1', plugs: toJson([healthy]) });
  const backend = await addBackend(db, host, { name: 'pci', kind: 'pci' });
  const guest = await addInstance(db, host, { name: 'vm-1', plugs: toJson(plugs) });
  const agents = makeAgentHandlers(deps);
  let looks = 0;
  const put = (...devices: readonly unknown[]): Promise<null> =>
    agents.putInventory(host, {
      params: { backend_id: backend.id },
      query: {},
      body: {
        instance: host.agent_instance ?? '',
        ledger: deps.ledger,
        hash: String((looks += 1)),
        generation: 1,
        devices,
        services: [],
      },
    });
  const attach = (body: object) =>
    makeAttachmentHandlers(deps).createAttachments(admin, {
      params: { instance_id: guest.id },
      query: {},
      body,
    });
  const rows = () => db.selectFrom('accelerator').selectAll().orderBy('key').execute();
  const states = async () => (await rows()).map((row) => `${row.key} ${row.state} ${row.presence}`);
  const update = async (key: string, body: AcceleratorEdit) => {
    const row = (await rows()).find((one) => one.key === key);
    return makeAcceleratorHandlers(deps).updateAccelerator(admin, {
      params: { id: row?.id ?? '' },
      query: {},
      body,
    });
  };
  const identify = async (appeared: string, gone: string) => {
    const known = await rows();
    const idOf = (key: string): string => known.find((row) => row.key === key)?.id ?? '';
    return makeAcceleratorHandlers(deps).identifyAccelerator(admin, {
      params: { id: idOf(appeared) },
      query: {},
      body: { same_as: idOf(gone), reason: 'moved by hand' },
    });
  };
  const detach = () =>
    makeAttachmentHandlers(deps).deleteAttachments(admin, {
      params: { instance_id: guest.id },
      query: {},
      body: undefined,
    });
  const attachment = () =>
    db
      .selectFrom('attachment')
      .selectAll()
      .where('state', '<>', 'released')
      .executeTakeFirstOrThrow();
  return {
    database,
    db,
    deps,
    host,
    guest,
    put,
    attach,
    rows,
    states,
    update,
    attachment,
    identify,
    detach,
  };
}

/** The agent's look: the instance has the attachment's device no more. */
async function observeMissing(
  { deps, host }: Pick<Awaited<ReturnType<typeof openBench>>, 'deps' | 'host'>,
  { id, epoch }: { readonly id: string; readonly epoch: number },
): Promise<void> {
  const observations = [{ attachment_id: id, epoch, observed: 'missing' as const }];
  await act(deps, (current) => applyObservations(current, deps, { host, observations }));
}

interface Card {
  readonly serial?: string;
  readonly device?: string;
}

/** As the generic driver names it: by its serial number, or by its slot. */
function card(bus: string, { serial, device = '0x0010' }: Card = {}): Record<string, unknown> {
  const address = `0000:${bus}:00.0`;
  const key = serial === undefined ? `slot-${bus}` : `serial-${serial}`;
  const fn = { domain: '0000', bus, device: '00', function: '0' };
  return {
    key,
    address,
    vendor_id: '0x1b36',
    device_id: device,
    class: '0x010802',
    type: 'SSD',
    vendor: null,
    model: null,
    serial: serial ?? null,
    numa_node: null,
    iommu_group: null,
    kernel_driver: null,
    offered: true,
    reason: null,
    health: { status: 'healthy', reason: null },
    info: {},
    deployables: [
      {
        key,
        name: `h_${address}`,
        resource_class: 'CUSTOM_NVME',
        traits: [],
        accelerators: [
          {
            key,
            name: `nvme-${address}`,
            type: 'SSD',
            plans: plugs,
            offered: true,
            reason: null,
            host_use: null,
            attach_info: fn,
          },
        ],
      },
    ],
  };
}

describe('a card that is known by its serial number', () => {
  it('keeps its attachment while it is away, and is attached where it comes back', async ({
    expect,
  }) => {
    const bench = await openBench();
    await using _ = bench.database;
    await bench.put(card('41', { serial: 'a' }));
    await bench.attach({});
    await obey(bench.deps, bench.host);
    const before = await bench.attachment();
    await bench.put();
    expect(await bench.states()).toEqual(['serial-a attached absent']);
    expect(await bench.attachment()).toEqual(before);
    await bench.put(card('42', { serial: 'a' }));
    const [order, ...others] = await ordersOf(bench.deps, bench.host);
    expect(others).toEqual([]);
    expect(order).toMatchObject({ kind: 'attach', attachment_id: before.id });
    // Another device name: what the instance may still have of before is not taken for it.
    expect(order!.device_epoch).toBeGreaterThan(before.device_epoch);
    await obey(bench.deps, bench.host);
    expect(await bench.rows()).toMatchObject([
      { state: 'attached', attach_info: { bus: '42' }, instance_id: bench.guest.id },
    ]);
  });

  it.for([
    ['where it was', '41'],
    ['at another address', '42'],
  ] as const)(
    'is given again %s to an instance that lost it meanwhile',
    async ([, bus], { expect }) => {
      const bench = await openBench();
      await using _ = bench.database;
      await bench.put(card('41', { serial: 'a' }));
      await bench.attach({});
      await obey(bench.deps, bench.host);
      const before = await bench.attachment();
      await bench.put();
      await observeMissing(bench, before);
      const [lost] = await ordersOf(bench.deps, bench.host);
      await report(bench.deps, bench.host, [
        outcomeOf(lost!, { outcome: 'failed', message: 'it is gone' }),
      ]);
      expect(await bench.attachment()).toMatchObject({ state: 'failed', reason: 'it is gone' });
      await bench.put();
      expect(await ordersOf(bench.deps, bench.host)).toEqual([]);
      await bench.put(card(bus, { serial: 'a' }));
      expect(await bench.attachment()).toMatchObject({ state: 'attaching', reason: null });
      await obey(bench.deps, bench.host);
      expect(await bench.attachment()).toMatchObject({ id: before.id, state: 'attached' });
    },
  );

  it('waits for a person when the instance still has what was there before', async ({ expect }) => {
    const bench = await openBench();
    await using _ = bench.database;
    await bench.put(card('41', { serial: 'a' }));
    await bench.attach({});
    await obey(bench.deps, bench.host);
    await bench.put(card('41', { serial: 'b' }), card('42', { serial: 'a' }));
    const [order] = await ordersOf(bench.deps, bench.host);
    const message = 'Instance vm-1 still has ua-cyborg-1: detach it first.';
    await report(bench.deps, bench.host, [outcomeOf(order!, { outcome: 'failed', message })]);
    expect(await bench.attachment()).toMatchObject({ state: 'failed', reason: message });
    // The instance still names what is at 41 as its own, so nobody is given that (it used to be on offer).
    expect(await bench.states()).toEqual([
      'serial-a attached present',
      'serial-b withheld present',
    ]);
  });

  it('comes back where it was without anything being done', async ({ expect }) => {
    const bench = await openBench();
    await using _ = bench.database;
    await bench.put(card('41', { serial: 'a' }));
    await bench.attach({});
    await obey(bench.deps, bench.host);
    const before = await bench.attachment();
    await bench.put();
    await bench.put(card('41', { serial: 'a' }));
    expect(await bench.states()).toEqual(['serial-a attached present']);
    expect(await bench.attachment()).toEqual(before);
    expect(await ordersOf(bench.deps, bench.host)).toEqual([]);
  });
});

describe('a card without a serial number in another slot', () => {
  it('is nobody’s until a person says which it is, when one like it is held and gone', async ({
    expect,
  }) => {
    const bench = await openBench();
    await using _ = bench.database;
    await bench.put(card('41'));
    await bench.attach({});
    await obey(bench.deps, bench.host);
    await bench.put(card('42'), card('43', { device: '0x0099' }), card('44', { serial: 'x' }));
    expect(await bench.states()).toEqual([
      'serial-x available present',
      'slot-41 attached absent',
      'slot-42 withheld present',
      'slot-43 available present',
    ]);
    const [, , doubted] = await bench.rows();
    expect(doubted!.reason).toMatch(
      /^not sure which card it is: it may be nvme-0000:41:00.0, which is attached and gone from 0000:41:00.0/,
    );
    await expect(bench.attach({ accelerator: doubted!.id })).rejects.toMatchObject({
      code: 'no-accelerator-left',
    });
    await expect(bench.update('slot-42', { state: 'available' })).rejects.toMatchObject({
      code: 'invalid-input',
    });
    // It stays so, whatever is reported, until somebody decides.
    await bench.put(card('42'));
    expect(await bench.states()).toContain('slot-42 withheld present');
    await bench.update('slot-42', { state: 'available', reason: 'bought today' });
    await bench.put(card('42'), card('43', { device: '0x0099' }));
    expect(await bench.states()).toContain('slot-42 available present');
    expect(await bench.states()).toContain('slot-41 attached absent');
  });

  it('is the one that is gone when a person says so: what is attached follows', async ({
    expect,
  }) => {
    const bench = await openBench();
    await using _ = bench.database;
    await bench.put(card('41'));
    await bench.attach({});
    await obey(bench.deps, bench.host);
    const before = await bench.attachment();
    const [old] = await bench.rows();
    await bench.put(card('42'));
    const answer = await bench.identify('slot-42', 'slot-41');
    expect(answer).toMatchObject({ id: old!.id, state: 'attached' });
    expect(await bench.states()).toEqual(['slot-42 attached absent']);
    await bench.put(card('42'));
    expect(await bench.rows()).toMatchObject([
      { id: old!.id, state: 'attached', presence: 'present', attach_info: { bus: '42' } },
    ]);
    const [order, ...others] = await ordersOf(bench.deps, bench.host);
    expect(others).toEqual([]);
    expect(order).toMatchObject({ kind: 'attach', attachment_id: before.id });
    await obey(bench.deps, bench.host);
    expect(await bench.attachment()).toMatchObject({ id: before.id, state: 'attached' });
    expect(await brokenInvariants(bench.database.db)).toEqual([]);
  });

  it('is cleaned where it is now, when it was not clean where it was', async ({ expect }) => {
    const bench = await openBench();
    await using _ = bench.database;
    await bench.put(card('41'));
    await bench.attach({});
    await obey(bench.deps, bench.host);
    await bench.put(card('42'));
    await bench.detach();
    expect(await bench.states()).toContain('slot-42 withheld present');
    await bench.identify('slot-42', 'slot-41');
    await bench.put(card('42'));
    await obey(bench.deps, bench.host);
    expect(await bench.states()).toEqual(['slot-42 available present']);
    expect(await brokenInvariants(bench.database.db)).toEqual([]);
  });

  it('is not the one that is gone when it cannot be', async ({ expect }) => {
    const bench = await openBench();
    await using _ = bench.database;
    await bench.put(card('41'));
    await bench.attach({});
    await obey(bench.deps, bench.host);
    await bench.put(card('42'), card('43', { device: '0x0099' }), card('44', { serial: 'x' }));
    const refusals = [
      ['slot-43', 'slot-41', 'wrong-state', /no doubt which card/],
      ['slot-42', 'slot-43', 'wrong-state', /is where it was, at 0000:43:00.0/],
      ['slot-41', 'slot-41', 'wrong-state', /no doubt which card/],
    ] as const;
    const all = await bench.states();
    for (const [appeared, gone, code, message] of refusals) {
      await expect(bench.identify(appeared, gone)).rejects.toMatchObject({
        code,
        message: expect.stringMatching(message),
      });
    }
    await bench.put(card('42'));
    await expect(bench.identify('slot-42', 'slot-43')).rejects.toMatchObject({
      code: 'invalid-input',
      message: expect.stringMatching(/0x0099 without a serial number, .* cannot be the same card/),
    });
    expect(await bench.states()).toHaveLength(all.length);
  });

  it('is itself when the one that is held comes back', async ({ expect }) => {
    const bench = await openBench();
    await using _ = bench.database;
    await bench.put(card('41'));
    await bench.attach({});
    await obey(bench.deps, bench.host);
    await bench.put(card('42'));
    expect(await bench.states()).toContain('slot-42 withheld present');
    await bench.put(card('42'), card('41'));
    expect(await bench.states()).toEqual(['slot-41 attached present', 'slot-42 available present']);
  });

  it('is doubted in a slot that is known, too, when it was empty', async ({ expect }) => {
    const bench = await openBench();
    await using _ = bench.database;
    await bench.put(card('41'), card('42'));
    const [first] = await bench.rows();
    await bench.attach({ accelerator: first!.id });
    await obey(bench.deps, bench.host);
    await bench.put(card('42'));
    expect(await bench.states()).toEqual(['slot-41 attached absent', 'slot-42 available present']);
    await bench.put();
    await bench.put(card('42'));
    expect(await bench.states()).toEqual(['slot-41 attached absent', 'slot-42 withheld present']);
  });
});

describe('another card in the slot of one that is held', () => {
  it('is nobody’s while an instance may name its address as its own', async ({ expect }) => {
    const bench = await openBench();
    await using _ = bench.database;
    await bench.put(card('41', { serial: 'a' }));
    await bench.attach({});
    await obey(bench.deps, bench.host);
    await bench.put(card('41', { serial: 'b', device: '0x0099' }));
    expect(await bench.states()).toEqual(['serial-a attached absent', 'serial-b withheld present']);
    const [, other] = await bench.rows();
    expect(other!.reason).toContain('it is at 0000:41:00.0, where nvme-0000:41:00.0 was');
    const both = [card('42', { serial: 'a' }), card('41', { serial: 'b', device: '0x0099' })];
    await bench.put(...both);
    // Its own instance may still name the address, until it has the card where that is now.
    expect(await bench.states()).toEqual([
      'serial-a attached present',
      'serial-b withheld present',
    ]);
    await obey(bench.deps, bench.host);
    await bench.put(...both);
    expect(await bench.states()).toEqual([
      'serial-a attached present',
      'serial-b available present',
    ]);
  });

  it('is nobody’s when both changed places in one look, until the instance has its own again', async ({
    expect,
  }) => {
    const bench = await openBench();
    await using _ = bench.database;
    await bench.put(card('41', { serial: 'a' }), card('42', { serial: 'b' }));
    const [first] = await bench.rows();
    await bench.attach({ accelerator: first!.id });
    await obey(bench.deps, bench.host);
    const swapped = [card('42', { serial: 'a' }), card('41', { serial: 'b' })];
    await bench.put(...swapped);
    await bench.put(...swapped);
    expect(await bench.states()).toEqual([
      'serial-a attached present',
      'serial-b withheld present',
    ]);
    const [, other] = await bench.rows();
    expect(other!.reason).toContain(
      'it is at 0000:41:00.0, where nvme-0000:41:00.0 was, which is attached and has moved',
    );
    await expect(bench.attach({ accelerator: other!.id })).rejects.toMatchObject({
      code: 'no-accelerator-left',
    });
    expect(await bench.attachment()).toMatchObject({ left_addresses: ['0000:41:00.0'] });
    await obey(bench.deps, bench.host);
    expect(await bench.attachment()).toMatchObject({ state: 'attached', left_addresses: [] });
    // Its host is asked to report anew, as nothing about the cards has changed.
    const backends = bench.db.selectFrom('backend').select('inventory_hash');
    expect(await backends.executeTakeFirst()).toEqual({ inventory_hash: null });
    await bench.put(...swapped);
    expect(await bench.states()).toEqual([
      'serial-a attached present',
      'serial-b available present',
    ]);
    expect(await brokenInvariants(bench.db)).toEqual([]);
  });

  it.for(['that attachment has ended', 'a person says that it is another one'] as const)(
    'is on offer again when both changed places and %s',
    async (how, { expect }) => {
      const bench = await openBench();
      await using _ = bench.database;
      await bench.put(card('41', { serial: 'a' }), card('42', { serial: 'b' }));
      const [first] = await bench.rows();
      await bench.attach({ accelerator: first!.id });
      await obey(bench.deps, bench.host);
      const swapped = [card('42', { serial: 'a' }), card('41', { serial: 'b' })];
      await bench.put(...swapped);
      if (how === 'that attachment has ended') {
        await bench.detach();
        await bench.put(...swapped);
        expect(await bench.states()).toContain('serial-b withheld present');
        await obey(bench.deps, bench.host);
      } else await bench.update('serial-b', { state: 'available', reason: 'looked at it' });
      await bench.put(...swapped);
      expect(await bench.states()).toContain('serial-b available present');
    },
  );
});

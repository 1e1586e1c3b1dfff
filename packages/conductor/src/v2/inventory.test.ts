import { uuid3 } from '@cyborg/model/v2/provider';
import { systemClock } from '@cyborg/service/clock';
import { openTestDatabase } from '@cyborg/testing/database';
import { addBackend, addHost, callerOf } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { makeAgentHandlers } from '../agents/handlers.ts';
import type { ConductorDeps } from '../deps.ts';
import { makeTestDeps } from '../test-deps.ts';
import { makeV2AttributeHandlers } from './attributes.ts';
import { makeV2DeployableHandlers } from './deployables.ts';
import { makeV2DeviceHandlers } from './devices.ts';

const admin = callerOf('admin', 'operators');

interface Bench extends AsyncDisposable {
  readonly deps: ConductorDeps;
  put(device: object): Promise<unknown>;
}

async function openBench(): Promise<Bench> {
  const database = await openTestDatabase();
  const deps = makeTestDeps({ db: database.db, clock: systemClock });
  const agents = makeAgentHandlers(deps);
  const host = await addHost(database.db, { name: 'h' });
  const backend = await addBackend(database.db, host, { name: 'pci', kind: 'pci' });
  return {
    deps,
    put: (device) =>
      agents.putInventory(host, {
        params: { backend_id: backend.id },
        query: {},
        body: {
          instance: host.agent_instance ?? '',
          ledger: deps.ledger,
          hash: JSON.stringify(device),
          generation: 1,
          devices: [device],
          services: [],
        },
      }),
    [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
  };
}

interface Card {
  readonly type?: string;
  readonly model?: string;
  readonly plans?: readonly string[];
  readonly traits?: readonly string[];
}

function card({ type = 'GPU', model, plans = ['pci'], traits = ['OWNER_CYBORG'] }: Card): object {
  const offering = { offered: true, reason: null };
  const unit = { key: '21', name: '21', type, plans, host_use: null, attach_info: {}, ...offering };
  const facts = { resource_class: 'PGPU', traits, accelerators: [unit] };
  return {
    key: '21',
    address: '0000:21:00.0',
    vendor_id: '0x10de',
    device_id: '0x2330',
    class: '0x030200',
    type,
    vendor: 'NVIDIA',
    model: model ?? null,
    serial: null,
    numa_node: 0,
    iommu_group: 7,
    kernel_driver: null,
    ...offering,
    health: { status: 'healthy', reason: null },
    info: {},
    deployables: [{ key: '21', name: 'h_21', ...facts }],
  };
}

async function read<Row>(batches: AsyncIterable<readonly Row[]>): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const batch of batches) rows.push(...batch);
  return rows;
}

async function attributesOf(bench: Bench): Promise<(readonly [string, string])[]> {
  const [row] = await read(makeV2DeployableHandlers(bench.deps).listDeployables({}));
  return (row?.attributes ?? []).map(([key, value]) => [key, value] as const);
}

describe('a report of a driver', () => {
  it('leaves an operator’s attributes and status alone', async ({ expect }) => {
    await using bench = await openBench();
    await bench.put(card({}));
    const attributes = makeV2AttributeHandlers(bench.deps);
    const devices = makeV2DeviceHandlers(bench.deps);
    const [deployable] = await read(makeV2DeployableHandlers(bench.deps).listDeployables({}));
    const [device] = await read(devices.listDevices({}));
    await attributes.createAttribute(admin, {
      deployable_id: deployable?.number,
      key: 'trait_rack',
      value: 'CUSTOM_RACK_7',
    });
    await devices.setDeviceStatus(admin, { id: device?.id ?? '', status: 'maintaining' });
    await bench.put(card({ traits: ['OWNER_CYBORG', 'CUSTOM_H200'], model: 'H200' }));
    expect(await attributesOf(bench)).toEqual([
      ['rc', 'PGPU'],
      ['trait0', 'OWNER_CYBORG'],
      ['trait_rack', 'CUSTOM_RACK_7'],
      ['trait1', 'CUSTOM_H200'],
    ]);
    expect(await devices.showDevice(device?.id ?? '')).toMatchObject({
      model: 'H200',
      status: 'maintaining',
    });
  });

  it('names the provider of what Nova can bind, and lets it go with its name', async ({
    expect,
  }) => {
    await using bench = await openBench();
    await bench.put(card({}));
    const deployables = makeV2DeployableHandlers(bench.deps);
    const [row] = await read(deployables.listDeployables({}));
    expect(row).toMatchObject({ name: 'h_21', rp_uuid: uuid3('h_21'), in_v2: true });
    await bench.put(card({ plans: ['virtio-rng'] }));
    const [after] = await read(deployables.listDeployables({}));
    expect(after?.rp_uuid).toBeNull();
  });

  it('of a type that v2 has no word for stays out of it', async ({ expect }) => {
    await using bench = await openBench();
    await bench.put(card({ type: 'ENTROPY' }));
    const made = await bench.deps.db.selectFrom('accelerator').select('type').execute();
    expect(made).toEqual([{ type: 'ENTROPY' }]);
    expect(await read(makeV2DeviceHandlers(bench.deps).listDevices({}))).toEqual([]);
    expect(await read(makeV2DeployableHandlers(bench.deps).listDeployables({}))).toEqual([]);
    expect(await read(makeV2AttributeHandlers(bench.deps).listAttributes({}))).toEqual([]);
  });
});

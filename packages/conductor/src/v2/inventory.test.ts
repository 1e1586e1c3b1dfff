import { uuid3 } from '@cyborg/model/v2/provider';
import { callerOf } from '@cyborg/testing/fleet';
import { describe, it } from 'vitest';

import { card, openBench, type Bench } from '../inventory/test-inventory.ts';
import { makeV2AttributeHandlers } from './attributes.ts';
import { makeV2DeployableHandlers } from './deployables.ts';
import { makeV2DeviceHandlers } from './devices.ts';

const admin = callerOf('admin', 'operators');

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
    await bench.put([card('21')]);
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
    await bench.put([card('21', { traits: ['OWNER_CYBORG', 'CUSTOM_H200'], model: 'H200' })]);
    expect((await attributesOf(bench)).toSorted()).toEqual([
      ['rc', 'PGPU'],
      ['trait0', 'OWNER_CYBORG'],
      ['trait1', 'CUSTOM_H200'],
      ['trait_rack', 'CUSTOM_RACK_7'],
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
    await bench.put([card('21')]);
    const deployables = makeV2DeployableHandlers(bench.deps);
    const [row] = await read(deployables.listDeployables({}));
    expect(row).toMatchObject({ name: 'h_21', rp_uuid: uuid3('h_21'), in_v2: true });
    const plans = JSON.stringify(card('21')).replace('"plans":["pci"]', '"plans":["virtio-rng"]');
    await bench.put([JSON.parse(plans)]);
    const [after] = await read(deployables.listDeployables({}));
    expect(after?.rp_uuid).toBeNull();
  });

  it('of a type that v2 has no word for stays out of it', async ({ expect }) => {
    await using bench = await openBench();
    await bench.put([JSON.parse(JSON.stringify(card('21')).replaceAll('"GPU"', '"ENTROPY"'))]);
    expect(await bench.accelerators()).toHaveLength(1);
    expect(await read(makeV2DeviceHandlers(bench.deps).listDevices({}))).toEqual([]);
    expect(await read(makeV2DeployableHandlers(bench.deps).listDeployables({}))).toEqual([]);
    expect(await read(makeV2AttributeHandlers(bench.deps).listAttributes({}))).toEqual([]);
  });
});

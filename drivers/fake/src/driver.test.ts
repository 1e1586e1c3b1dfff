import type { BackendContext } from '@cyborg/driver-sdk/define-driver';
import { DriverError } from '@cyborg/driver-sdk/errors';
import { describe, it } from 'vitest';

import manifest from '../manifest.json' with { type: 'json' };
import { cardKind } from './card.ts';
import { fakeDriver } from './driver.ts';

function contextOf(config: unknown = {}): BackendContext<unknown> {
  return {
    host: { name: 'peerhost', node_name: 'peerhost' },
    roots: { sysfs: '/sys', proc: '/proc', dev: '/dev' },
    simulated: false,
    stateDir: null,
    log: () => {},
    backend: 'card',
    config: cardKind.parseConfig(config),
    signal: new AbortController().signal,
    ask: () => Promise.reject(new DriverError('unsupported', 'nobody is there')),
    inventoryChanged: () => {},
    healthChanged: () => {},
  };
}

describe('the fake card', () => {
  it('has upstream’s sixteen handles on one deployable', async ({ expect }) => {
    const { devices } = await cardKind.discover(contextOf());
    const [device] = devices;
    expect(device).toMatchObject({
      type: 'FPGA',
      vendor: '0xABCD',
      device_id: '0xabcd',
      class: 'Fake class',
      info: { vendor_board_info: 'fake_vendor_info' },
    });
    const [part, ...others] = device?.deployables ?? [];
    expect(others).toEqual([]);
    expect(part).toMatchObject({
      name: 'peerhost_FakeDevice',
      resource_class: 'FPGA',
      traits: ['CUSTOM_FAKE_DEVICE'],
    });
    const handles = part?.accelerators.map(({ attach_info: info }) => info) ?? [];
    expect(handles).toHaveLength(16);
    expect(handles[0]).toEqual({ domain: '0000', bus: '0c', device: '0', function: '1' });
    expect(handles[7]).toEqual({ domain: '0000', bus: '0c', device: '1', function: '0' });
    expect(handles[15]).toEqual({ domain: '0000', bus: '0c', device: '2', function: '0' });
  });

  it('has as many as it is told, and refuses more than a bus has room for', async ({ expect }) => {
    const { devices } = await cardKind.discover(contextOf({ count: 255 }));
    const handles = devices[0]?.deployables[0]?.accelerators ?? [];
    expect(handles.at(-1)?.attach_info).toMatchObject({ device: '31', function: '7' });
    expect(() => cardKind.parseConfig({ count: 256 })).toThrow(/count/);
    expect(() => cardKind.parseConfig({ count: 0 })).toThrow(/count/);
  });

  it('is plugged by nobody, and needs no cleaning', async ({ expect }) => {
    const order = { accelerator: 'fake-1', epoch: 1, attachment: 'a', instance: 'i' };
    const prepare = (plugs: ('pci' | 'test-pci')[], accelerator = 'fake-1'): Promise<unknown> =>
      Promise.resolve().then(() => cardKind.prepare(contextOf(), { ...order, accelerator, plugs }));
    await expect(prepare(['pci'])).rejects.toThrow(/no hypervisor/);
    await expect(prepare(['test-pci'], 'fake-17')).rejects.toThrow(/no accelerator fake-17/);
    expect(await prepare(['test-pci'])).toEqual({ kind: 'test-pci', address: '0000:0c:00.1' });
    expect(await cardKind.clean(contextOf(), { accelerator: 'fake-1', epoch: 2 })).toHaveLength(1);
  });

  it('is said in manifest.json as the driver says it', ({ expect }) => {
    const said = Object.entries(fakeDriver.kinds).map(
      ([kind, { title, config: config_schema, delegable }]) => ({
        kind,
        title,
        config_schema,
        delegable,
      }),
    );
    expect(manifest.kinds).toEqual(said);
    expect(manifest).toMatchObject({ id: 'fake', version: fakeDriver.version });
  });
});

/** What a backend has: a device for each pool, one for each whole bdev, and the daemon as a service. */
import { deployableName } from '@cyborg/driver-sdk/deployable-name';
import { notApproved } from '@cyborg/driver-sdk/protocol-constants';
import type {
  DriverAccelerator,
  DriverDevice,
  DriverService,
  Health,
  Inventory,
} from '@cyborg/driver-sdk/protocol';
import { daemonOf } from './acts.ts';
import type { Bdev, Lvstore } from './daemon.ts';
import { recall, remember } from './known.ts';
import { DaemonUnreachable } from './rpc.ts';
import {
  checkPools,
  findBdev,
  otherUse,
  readState,
  toVolume,
  volumesOf,
  wholeBdevs,
  wholeKey,
  type Context,
  type Pool,
  type State,
  type Volume,
} from './volumes.ts';

/** State of the daemon, or why it does not answer and what is known of it all the same. */
interface View {
  readonly context: Context;
  readonly state: State;
  readonly trouble: string | null;
}

/** @throws DriverError `transient` when nobody answers and the whole bdevs were never seen: the last inventory stays. */
export async function discover(context: Context): Promise<Inventory> {
  checkPools(context.config);
  const view = await look(context);
  const { bdev_prefix: prefix, pools } = context.config;
  const whole = wholeBdevs(view.state.bdevs, prefix);
  const devices = [
    ...pools.map((pool) => toPoolDevice(view, pool)),
    ...whole.map((bdev) => toBdevDevice(view, bdev)),
  ];
  return { devices, services: servicesOf(devices, view.trouble) };
}

async function look(context: Context): Promise<View> {
  const { bdev_prefix: prefix } = context.config;
  try {
    const state = await readState(daemonOf(context), context.config);
    if (prefix !== undefined) remember(context, wholeBdevs(state.bdevs, prefix));
    return { context, state, trouble: null };
  } catch (error) {
    if (!(error instanceof DaemonUnreachable) || context.signal.aborted) throw error;
    const bdevs = prefix === undefined ? [] : recall(context);
    if (bdevs === undefined) throw error;
    const state = { bdevs, controllers: [], lvstores: [] };
    return { context, state, trouble: error.message };
  }
}

function toPoolDevice(view: View, pool: Pool): DriverDevice {
  const { backend } = view.context;
  const { kind, name, size_mib: mib } = pool;
  const store = view.state.lvstores.find((one) => one.name === name);
  const volumes = volumesOf(backend, pool);
  const missing = volumes.filter((volume) => findBdev(view.state, volume) === undefined);
  const room = kind === 'malloc' ? Number.POSITIVE_INFINITY : roomFor(store, mib);
  const without = new Set(missing.slice(room));
  const lack =
    store === undefined
      ? `SPDK has no logical volume store ${name}`
      : `logical volume store ${name} has no room for ${mib} MiB more`;
  return toDevice(view, {
    key: `${kind}:${name}`,
    model: kind === 'lvol' ? `SPDK logical volumes of ${name}` : `SPDK memory volumes ${name}`,
    info: { size_mib: String(mib) },
    accelerators: volumes.map((volume) =>
      toAccelerator(view, volume, without.has(volume) ? lack : null),
    ),
  });
}

/** How many volumes of this size can be made. */
function roomFor(store: Lvstore | undefined, mib: number): number {
  if (store === undefined) return 0;
  const clusters = Math.ceil((mib * 1024 * 1024) / store.clusterBytes);
  return Math.floor(store.freeClusters / clusters);
}

function toBdevDevice(view: View, bdev: Bdev): DriverDevice {
  const key = wholeKey(bdev);
  const volume = toVolume(view.context.backend, key);
  return toDevice(view, {
    key,
    model: bdev.product,
    info: { bytes: String(bdev.bytes) },
    // SPDK wipes no bdev: an operator decides on each.
    accelerators: volume === undefined ? [] : [toAccelerator(view, volume, notApproved)],
  });
}

function toAccelerator(view: View, volume: Volume, lack: string | null): DriverAccelerator {
  const { key, bdev } = volume;
  const use = otherUse(view.state, volume);
  const reason = view.trouble ?? (use === null ? lack : `in use: ${use}`);
  return {
    key,
    name: key,
    type: 'SSD',
    plans: ['vhost-user-blk'],
    offered: reason === null,
    reason,
    host_use: use,
    attach_info: { bdev },
  };
}

interface Parts {
  readonly key: string;
  readonly model: string;
  readonly info: Record<string, string>;
  readonly accelerators: DriverAccelerator[];
}

function toDevice(
  { context, trouble }: View,
  { key, model, info, accelerators }: Parts,
): DriverDevice {
  const { host, backend } = context;
  const offered = accelerators.some((one) => one.offered);
  const health: Health = { status: trouble === null ? 'healthy' : 'unknown', reason: trouble };
  return {
    key,
    address: null,
    vendor_id: null,
    device_id: null,
    class: null,
    type: 'SSD',
    vendor: 'SPDK',
    model,
    serial: null,
    numa_node: null,
    iommu_group: null,
    kernel_driver: null,
    offered,
    reason: offered ? null : (accelerators[0]?.reason ?? null),
    health,
    info,
    deployables: [
      {
        key,
        name: deployableName(host.node_name, `${backend}_${key}`),
        resource_class: 'CUSTOM_SSD',
        traits: ['OWNER_CYBORG', 'CUSTOM_SSD_SPDK'],
        accelerators,
      },
    ],
  };
}

function servicesOf(devices: readonly DriverDevice[], trouble: string | null): DriverService[] {
  const all = devices.flatMap(({ deployables }) => deployables).flatMap((one) => one.accelerators);
  const rest = {
    state: trouble === null ? 'up' : 'down',
    reason: trouble,
    accelerators_total: all.length,
    accelerators_offered: all.filter(({ offered }) => offered).length,
  } as const;
  return [
    { name: 'spdk', kind: 'daemon', ...rest },
    { name: 'storage.block', kind: 'function', ...rest },
  ];
}

/** Health and statistics of what is given: `bdev_get_bdevs`, `bdev_get_iostat`, `vhost_get_controllers`. */
import type { Health } from '@cyborg/driver-sdk/protocol';
import { daemonOf } from './acts.ts';
import type { Bdev, IoStat } from './daemon.ts';
import { discover } from './inventory.ts';
import { DaemonUnreachable } from './rpc.ts';
import {
  findBdev,
  findController,
  isBefore,
  readState,
  toVolume,
  volumesOf,
  wholeBdevs,
  wholeKey,
  type Context,
  type State,
  type Volume,
} from './volumes.ts';

const healthy: Health = { status: 'healthy', reason: null };

function listVolumes({ backend, config }: Context, bdevs: readonly Bdev[]): Volume[] {
  const pools = config.pools.flatMap((pool) => volumesOf(backend, pool));
  const whole = wholeBdevs(bdevs, config.bdev_prefix).map((bdev) =>
    toVolume(backend, wholeKey(bdev)),
  );
  return [...pools, ...whole.filter((volume) => volume !== undefined)];
}

export async function health(context: Context): Promise<Record<string, Health>> {
  const daemon = daemonOf(context);
  try {
    const [state, stats] = await Promise.all([readState(daemon, context.config), daemon.iostat()]);
    const volumes = listVolumes(context, state.bdevs);
    return Object.fromEntries(volumes.map((one) => [one.key, healthOf(one, state, stats)]));
  } catch (error) {
    if (!(error instanceof DaemonUnreachable) || context.signal.aborted) throw error;
    return await unknownHealth(context, error.message);
  }
}

async function unknownHealth(context: Context, reason: string): Promise<Record<string, Health>> {
  const { devices } = await discover(context);
  const keys = devices
    .flatMap(({ deployables }) => deployables)
    .flatMap(({ accelerators }) => accelerators.map(({ key }) => key));
  return Object.fromEntries(keys.map((key) => [key, { status: 'unknown', reason }]));
}

function healthOf(volume: Volume, state: State, stats: readonly IoStat[]): Health {
  const bdev = findBdev(state, volume);
  const controller = findController(state, volume);
  if (controller !== undefined && (bdev === undefined || !isBefore(controller, bdev))) {
    return { status: 'failed', reason: `SPDK took bdev ${volume.bdev} away beneath its holder` };
  }
  const errors = stats.find((one) => one.bdev === bdev?.name)?.errors ?? 0;
  if (errors === 0) return healthy;
  return { status: 'degraded', reason: `${errors} requests failed since SPDK started` };
}

/** Sums over the backend, and the same figures of each accelerator that exists: bytes, requests, ticks of SPDK's clock. */
export async function stats(context: Context): Promise<Record<string, unknown>> {
  const daemon = daemonOf(context);
  const [bdevs, all] = await Promise.all([daemon.bdevs(), daemon.iostat()]);
  const accelerators: Record<string, Readonly<Record<string, number>>> = {};
  const sums: Record<string, number> = {};
  for (const volume of listVolumes(context, bdevs)) {
    const bdev = findBdev({ bdevs }, volume);
    const found = all.find((one) => one.bdev === bdev?.name);
    if (found === undefined) continue;
    accelerators[volume.key] = found.figures;
    for (const name of summed) sums[name] = (sums[name] ?? 0) + (found.figures[name] ?? 0);
  }
  return { ...sums, accelerators };
}

const summed = ['bytes_read', 'num_read_ops', 'bytes_written', 'num_write_ops', 'bytes_unmapped'];

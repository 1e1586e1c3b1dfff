/** Giving a volume and taking it back. Each act looks first, does what is missing, and may begin anew after any crash. */
import type { CleanOrder, PrepareOrder, ReleaseOrder } from '@cyborg/driver-sdk/define-driver';
import { DriverError } from '@cyborg/driver-sdk/errors';
import type { AttachPlan } from '@cyborg/driver-sdk/protocol';
import { Daemon, type Bdev, type Controller } from './daemon.ts';
import { SpdkRefusal } from './rpc.ts';
import {
  checkPools,
  findBdev,
  findController,
  isBefore,
  otherUse,
  readState,
  toVolume,
  volumesOf,
  type Context,
  type Pool,
  type State,
  type Volume,
} from './volumes.ts';

export function daemonOf({ config: { socket }, signal }: Context): Daemon {
  return new Daemon({ path: socket, signal });
}

export async function prepare(context: Context, order: PrepareOrder): Promise<AttachPlan> {
  checkPools(context.config);
  const { volume, pool } = findConfigured(context, order.accelerator);
  if (!order.plugs.includes('vhost-user-blk')) {
    const offer = order.plugs.join(', ') || 'nothing';
    throw new DriverError(
      'unsupported',
      `${volume.key} needs vhost-user-blk; the instance's hypervisor can plug ${offer}`,
    );
  }
  const daemon = daemonOf(context);
  const state = await readState(daemon, context.config);
  const use = otherUse(state, volume);
  if (use !== null) throw new DriverError('host-use', `${volume.bdev} is used: ${use}`);
  const bdev = findBdev(state, volume) ?? (await makeVolume(daemon, volume, pool));
  const { socket } = await openController(daemon, { volume, bdev, state });
  if (socket === null) {
    const message = 'vhost_get_controllers of SPDK does not say the socket: take 18.01 or later';
    throw new DriverError('unsupported', message);
  }
  return { kind: 'vhost-user-blk', socket, queues: context.config.queues };
}

function findConfigured(context: Context, key: string): { volume: Volume; pool: Pool | null } {
  const { backend, config } = context;
  for (const pool of config.pools) {
    const volume = volumesOf(backend, pool).find((one) => one.key === key);
    if (volume !== undefined) return { volume, pool };
  }
  const volume = toVolume(backend, key);
  const { bdev_prefix: prefix } = config;
  if (volume?.pool === null && prefix !== undefined && volume.bdev.startsWith(prefix)) {
    return { volume, pool: null };
  }
  throw new DriverError('gone', `backend ${backend} has no accelerator ${key}`);
}

async function makeVolume(daemon: Daemon, volume: Volume, pool: Pool | null): Promise<Bdev> {
  if (pool === null) throw new DriverError('gone', `SPDK has no bdev ${volume.bdev}`);
  const { kind, name, size_mib: mib } = pool;
  const look = async (): Promise<Bdev | undefined> =>
    findBdev({ bdevs: await daemon.bdevs() }, volume);
  const make = async (): Promise<void> => {
    if (kind === 'lvol') await daemon.createLvol(name, volume.name, mib);
    else await daemon.createMalloc(volume.name, mib);
  };
  await bring(make, async () => (await look()) !== undefined);
  const made = await look();
  if (made !== undefined) return made;
  throw new DriverError('transient', `SPDK made ${volume.bdev}, and does not list it yet`);
}

interface Wish {
  readonly volume: Volume;
  readonly bdev: Bdev;
  readonly state: State;
}

async function openController(daemon: Daemon, { volume, bdev, state }: Wish): Promise<Controller> {
  const there = findController(state, volume);
  if (there !== undefined && isBefore(there, bdev)) return there;
  // Its bdev was taken away beneath it: what is there now is another one of that name.
  if (there !== undefined) await closeController(daemon, volume);
  const look = async (): Promise<Controller | undefined> =>
    findController({ controllers: await daemon.controllers() }, volume);
  await bring(
    () => daemon.createController(volume.controller, volume.bdev),
    async () => (await look()) !== undefined,
  );
  const made = await look();
  if (made !== undefined) return made;
  throw new DriverError('transient', `SPDK made ${volume.controller}, and does not list it yet`);
}

async function closeController(daemon: Daemon, volume: Volume): Promise<void> {
  const isThere = async (): Promise<boolean> =>
    findController({ controllers: await daemon.controllers() }, volume) !== undefined;
  if (!(await isThere())) return;
  await bring(
    () => daemon.deleteController(volume.controller),
    async () => !(await isThere()),
  );
}

/** A refusal is none when the state is reached all the same: an earlier try, cut off, may have done it. */
async function bring(act: () => Promise<void>, isReached: () => Promise<boolean>): Promise<void> {
  try {
    await act();
  } catch (error) {
    if (!(error instanceof SpdkRefusal) || !(await isReached())) throw error;
  }
}

export async function release(context: Context, { accelerator }: ReleaseOrder): Promise<void> {
  const volume = toVolume(context.backend, accelerator);
  if (volume !== undefined) await closeController(daemonOf(context), volume);
}

export async function clean(context: Context, order: CleanOrder): Promise<string[]> {
  const volume = toVolume(context.backend, order.accelerator);
  if (volume === undefined) {
    throw new DriverError('gone', `backend ${context.backend} has no ${order.accelerator}`);
  }
  const daemon = daemonOf(context);
  const [bdevs, controllers] = await Promise.all([daemon.bdevs(), daemon.controllers()]);
  if (findController({ controllers }, volume) !== undefined) {
    const message = `${volume.key} still has vhost controller ${volume.controller}: it is released first`;
    throw new DriverError('transient', message);
  }
  const closed = `SPDK has no vhost controller ${volume.controller}`;
  if (volume.pool === null) return [closed, keptContent(volume, order.resetless_reason)];
  if (findBdev({ bdevs }, volume) === undefined) {
    return [closed, `SPDK has no ${volume.bdev}: it was deleted before, or never made`];
  }
  return [closed, await wipe(daemon, volume)];
}

/** @throws DriverError `unsupported` unless an operator accepts it. */
function keptContent({ bdev }: Volume, reason: string | undefined): string {
  if (reason !== undefined) return `${bdev} keeps its content, as an operator accepts: ${reason}`;
  throw new DriverError(
    'unsupported',
    `SPDK has no request that wipes bdev ${bdev}. Wipe it by hand, then accelerator-update --resetless-reason.`,
  );
}

async function wipe(daemon: Daemon, volume: Volume): Promise<string> {
  const { bdev, pool } = volume;
  const isGone = async (): Promise<boolean> =>
    findBdev({ bdevs: await daemon.bdevs() }, volume) === undefined;
  const isLvol = pool?.kind === 'lvol';
  await bring(() => (isLvol ? daemon.deleteLvol(bdev) : daemon.deleteMalloc(bdev)), isGone);
  if (!(await isGone())) {
    throw new DriverError('transient', `SPDK said that it deleted ${bdev}, and still lists it`);
  }
  return isLvol
    ? `deleted logical volume ${bdev}; SPDK writes zeroes over its clusters (clear_method write_zeroes since it was made)`
    : `deleted memory volume ${bdev}; SPDK makes the next one of zeroed memory`;
}

/** The accelerators of a backend by their keys: volumes of pools, made when they are given, and whole bdevs. */
import { createHash } from 'node:crypto';
import type { BackendContext, ConfigOf } from '@cyborg/driver-sdk/define-driver';
import { DriverError } from '@cyborg/driver-sdk/errors';
import type { Bdev, Controller, Daemon, Lvstore } from './daemon.ts';

const poolName = '^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$';

export const config = {
  type: 'object',
  properties: {
    socket: {
      type: 'string',
      pattern: '^/',
      maxLength: 107,
      default: '/var/tmp/spdk.sock',
      description: 'Where SPDK’s daemon answers JSON-RPC. The driver’s user must be let in.',
    },
    bdev_prefix: {
      type: 'string',
      minLength: 1,
      maxLength: 63,
      description: 'Bdevs whose names begin so are accelerators, whole. Absent: none is.',
    },
    pools: {
      type: 'array',
      maxItems: 32,
      default: [],
      description: 'Where volumes are made of.',
      items: {
        type: 'object',
        additionalProperties: false,
        required: ['kind', 'name', 'count', 'size_mib'],
        properties: {
          kind: {
            enum: ['lvol', 'malloc'],
            description: 'lvol: volumes of a logical volume store; malloc: of the daemon’s memory.',
          },
          name: {
            type: 'string',
            pattern: poolName,
            description: 'lvol: the store, which must be there; malloc: any name.',
          },
          count: { type: 'integer', minimum: 1, maximum: 256, description: 'How many volumes.' },
          size_mib: {
            type: 'integer',
            minimum: 1,
            maximum: 67_108_864,
            description: 'Size of each, in MiB.',
          },
        },
      },
    },
    queues: {
      type: 'integer',
      minimum: 1,
      maximum: 128,
      default: 1,
      description: 'Request queues of each disk in its guest.',
    },
  },
  additionalProperties: false,
} as const;

export type Context = BackendContext<ConfigOf<typeof config>>;
export type Pool = Context['config']['pools'][number];

export interface Volume {
  readonly key: string;
  /** Null: a bdev as it is, which somebody else made. */
  readonly pool: Pick<Pool, 'kind' | 'name'> | null;
  /** How SPDK finds it: name or alias. */
  readonly bdev: string;
  /** Its vhost controller, ours alone. */
  readonly controller: string;
  /** The last part of `bdev`. */
  readonly name: string;
}

/** What a daemon has at one moment. */
export interface State {
  readonly bdevs: readonly Bdev[];
  readonly controllers: readonly Controller[];
  readonly lvstores: readonly Lvstore[];
}

export async function readState(daemon: Daemon, { pools }: Context['config']): Promise<State> {
  const hasLvols = pools.some(({ kind }) => kind === 'lvol');
  const [bdevs, controllers, lvstores] = await Promise.all([
    daemon.bdevs(),
    daemon.controllers(),
    hasLvols ? daemon.lvstores() : [],
  ]);
  return { bdevs, controllers, lvstores };
}

const keyForm = /^(lvol|malloc):([^/]+)\/\d{1,3}$/;

/** Also of what is no longer configured, so that it can be released and cleaned. */
export function toVolume(backend: string, key: string): Volume | undefined {
  // A controller's name is a file's: short, and of no strange characters.
  const digest = createHash('sha256').update(`${backend}\n${key}`).digest('hex').slice(0, 20);
  const name = `cyborg-${digest}`;
  if (key.startsWith('bdev:')) {
    const bdev = key.slice('bdev:'.length);
    return { key, pool: null, bdev, controller: name, name: bdev };
  }
  const [, kind, pool = ''] = keyForm.exec(key) ?? [];
  if (kind === 'malloc') {
    return { key, pool: { kind, name: pool }, bdev: name, controller: name, name };
  }
  if (kind !== 'lvol') return undefined;
  return { key, pool: { kind, name: pool }, bdev: `${pool}/${name}`, controller: name, name };
}

/** @throws DriverError `invalid` for a pool that is there twice. */
export function checkPools({ pools }: Context['config']): void {
  const seen = new Set<string>();
  for (const { kind, name } of pools) {
    const id = `${kind}:${name}`;
    if (seen.has(id)) {
      throw new DriverError('invalid', `config.pools: ${kind} pool "${name}" is there twice`);
    }
    seen.add(id);
  }
}

export function volumesOf(backend: string, { kind, name, count }: Pool): Volume[] {
  return Array.from({ length: count }, (_, index) =>
    toVolume(backend, `${kind}:${name}/${index}`),
  ).filter((volume) => volume !== undefined);
}

const ownName = /^(.*\/)?cyborg-[0-9a-f]{20}$/;

/** Those that are given as they are. */
export function wholeBdevs(bdevs: readonly Bdev[], prefix: string | undefined): Bdev[] {
  if (prefix === undefined) return [];
  return bdevs.filter(
    ({ name, aliases }) => name.startsWith(prefix) && ![name, ...aliases].some(isOwn),
  );
}

function isOwn(name: string): boolean {
  return ownName.test(name);
}

export function wholeKey({ name }: Bdev): string {
  return `bdev:${name}`;
}

export function findBdev(state: Pick<State, 'bdevs'>, { bdev }: Volume): Bdev | undefined {
  return state.bdevs.find(({ name, aliases }) => name === bdev || aliases.includes(bdev));
}

export function findController(
  { controllers }: Pick<State, 'controllers'>,
  { controller }: Volume,
): Controller | undefined {
  return controllers.find(({ name }) => name === controller);
}

/** Whether the controller is in front of this bdev. */
export function isBefore({ bdevs }: Controller, { name, aliases }: Bdev): boolean {
  return bdevs.some((one) => one === name || aliases.includes(one));
}

/** What else uses it, or null. */
export function otherUse(state: State, volume: Volume): string | null {
  const bdev = findBdev(state, volume);
  if (bdev === undefined) return null;
  const others = state.controllers.filter(({ name }) => name !== volume.controller);
  const other = others.find((controller) => isBefore(controller, bdev));
  if (other !== undefined) return `SPDK's vhost controller ${other.name}`;
  const isOurs = findController(state, volume) !== undefined;
  return bdev.claimed && !isOurs ? 'claimed by another module of SPDK' : null;
}

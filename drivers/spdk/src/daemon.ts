/**
 * What is asked of SPDK, and its answers as types. Names, parameters and answers are those of doc/jsonrpc.md of
 * github.com/spdk/spdk, as releases from 23.01 on know them; `socket` of a controller is in lib/vhost/vhost_rpc.c.
 */
import { DriverError } from '@cyborg/driver-sdk/errors';
import { askSpdk, isRecord, type RpcOptions } from './rpc.ts';

const readMs = 4000;
const makeMs = 20_000;
/** SPDK writes zeroes over a whole volume before it answers. `clean` has 120 s. */
const wipeMs = 100_000;

export interface Bdev {
  readonly name: string;
  /** `LVS0/LVOL0` of a logical volume, whose name is a UUID. */
  readonly aliases: readonly string[];
  readonly product: string;
  readonly bytes: number;
  /** Another module of SPDK writes to it. */
  readonly claimed: boolean;
}

export interface Controller {
  readonly name: string;
  /** Of vhost-user; null where SPDK does not say. */
  readonly socket: string | null;
  /** Bdevs behind it: none when it was taken away. */
  readonly bdevs: readonly string[];
}

export interface Lvstore {
  readonly name: string;
  readonly freeClusters: number;
  readonly clusterBytes: number;
}

export interface IoStat {
  readonly bdev: string;
  readonly figures: Readonly<Record<string, number>>;
  /** Failed requests since the daemon started; absent in SPDK's answer while there are none. */
  readonly errors: number;
}

export class Daemon {
  readonly #options: RpcOptions;

  constructor(options: RpcOptions) {
    this.#options = options;
  }

  async bdevs(): Promise<Bdev[]> {
    return parseBdevs(await this.#read('bdev_get_bdevs'));
  }

  async controllers(): Promise<Controller[]> {
    return toList(await this.#read('vhost_get_controllers')).map(toController);
  }

  async lvstores(): Promise<Lvstore[]> {
    return toList(await this.#read('bdev_lvol_get_lvstores')).map(toLvstore);
  }

  async iostat(): Promise<IoStat[]> {
    const answer = await this.#read('bdev_get_iostat');
    return toList(isRecord(answer) ? answer['bdevs'] : undefined).map(toIoStat);
  }

  async createLvol(lvs_name: string, lvol_name: string, size_in_mib: number): Promise<void> {
    const params = { lvs_name, lvol_name, size_in_mib, clear_method: 'write_zeroes' };
    await this.#do('bdev_lvol_create', params, makeMs);
  }

  async deleteLvol(name: string): Promise<void> {
    await this.#do('bdev_lvol_delete', { name }, wipeMs);
  }

  async createMalloc(name: string, mib: number): Promise<void> {
    const params = { name, block_size: 512, num_blocks: mib * 2048 };
    await this.#do('bdev_malloc_create', params, makeMs);
  }

  async deleteMalloc(name: string): Promise<void> {
    await this.#do('bdev_malloc_delete', { name }, makeMs);
  }

  async createController(ctrlr: string, dev_name: string): Promise<void> {
    await this.#do('vhost_create_blk_controller', { ctrlr, dev_name }, makeMs);
  }

  async deleteController(ctrlr: string): Promise<void> {
    await this.#do('vhost_delete_controller', { ctrlr }, makeMs);
  }

  async #read(method: string): Promise<unknown> {
    return await askSpdk(this.#options, { method, limitMs: readMs });
  }

  async #do(method: string, params: Record<string, unknown>, limitMs: number): Promise<void> {
    await askSpdk(this.#options, { method, params, limitMs });
  }
}

/** @throws DriverError `transient` for what is no list of them. */
export function parseBdevs(value: unknown): Bdev[] {
  return toList(value).map(toBdev);
}

/** As SPDK says it. */
export function formatBdev({ name, aliases, product, bytes, claimed }: Bdev): object {
  return { name, aliases, product_name: product, block_size: 1, num_blocks: bytes, claimed };
}

function toBdev(item: Record<string, unknown>): Bdev {
  return {
    name: toText(item, 'name'),
    aliases: toTexts(item['aliases']),
    product: typeof item['product_name'] === 'string' ? item['product_name'] : 'bdev',
    bytes: toNumber(item, 'block_size') * toNumber(item, 'num_blocks'),
    claimed: item['claimed'] === true,
  };
}

function toController(item: Record<string, unknown>): Controller {
  const { socket, backend_specific: backend } = item;
  return {
    name: toText(item, 'ctrlr'),
    socket: typeof socket === 'string' ? socket : null,
    bdevs: bdevsBehind(backend),
  };
}

/** `block.bdev`, `scsi[].luns[].bdev_name`, `namespaces[].bdev`: whatever kind of controller it is. */
function bdevsBehind(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(bdevsBehind);
  if (!isRecord(value)) return [];
  return Object.entries(value).flatMap(([key, item]) =>
    (key === 'bdev' || key === 'bdev_name') && typeof item === 'string'
      ? [item]
      : bdevsBehind(item),
  );
}

function toLvstore(item: Record<string, unknown>): Lvstore {
  return {
    name: toText(item, 'name'),
    freeClusters: toNumber(item, 'free_clusters'),
    clusterBytes: toNumber(item, 'cluster_size'),
  };
}

function toIoStat(item: Record<string, unknown>): IoStat {
  const figures = Object.entries(item).filter(
    (entry): entry is [string, number] => typeof entry[1] === 'number',
  );
  return {
    bdev: toText(item, 'name'),
    figures: Object.fromEntries(figures),
    errors: failures(item),
  };
}

/** Requests that waited for memory, or were taken back, did not fail. */
function failures({ io_error: counts }: Record<string, unknown>): number {
  return Object.entries(isRecord(counts) ? counts : {})
    .filter(([kind]) => kind !== 'nomem' && kind !== 'aborted')
    .reduce((sum, [, count]) => sum + (typeof count === 'number' ? count : 0), 0);
}

function toList(value: unknown): Record<string, unknown>[] {
  if (!Array.isArray(value)) throw strange('a list', value);
  return value.map((item: unknown) => {
    if (isRecord(item)) return item;
    throw strange('an object', item);
  });
}

function toTexts(value: unknown): string[] {
  const items: unknown[] = Array.isArray(value) ? value : [];
  return items.filter((item) => typeof item === 'string');
}

function toText(item: Record<string, unknown>, key: string): string {
  const value = item[key];
  if (typeof value === 'string' && value !== '') return value;
  throw strange(`a text as ${key}`, value);
}

function toNumber(item: Record<string, unknown>, key: string): number {
  const value = item[key];
  if (typeof value === 'number') return value;
  throw strange(`a number as ${key}`, value);
}

function strange(wanted: string, value: unknown): DriverError {
  const said = (JSON.stringify(value) ?? 'nothing').slice(0, 200);
  return new DriverError('transient', `SPDK answered ${said} where ${wanted} was expected`);
}

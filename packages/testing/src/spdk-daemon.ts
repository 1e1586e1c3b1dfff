/**
 * Replays SPDK's daemon: answers on a Unix socket with the example frames of its documentation, and remembers what it is
 * told to make and delete. It moves no data. `node packages/testing/src/spdk-daemon.ts SOCKET` runs one by hand.
 *
 * Source of the frames: doc/jsonrpc.md of github.com/spdk/spdk (commit 00393f548796adcd82e53caadb1e3c8d5fdb0d9d, sections
 * bdev_get_bdevs, bdev_get_iostat, get_vhost_controllers, bdev_lvol_get_lvstores), with the names of later releases
 * (vhost_get_controllers, vhost_create_blk_controller, vhost_delete_controller, size_in_mib); `socket` of a controller, and
 * the errno texts, as lib/vhost/vhost_rpc.c has them.
 */
import { randomUUID } from 'node:crypto';
import { chmodSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { once } from 'node:events';

type Values = Record<string, unknown>;
type Fault =
  /** Does not answer. */
  | 'hang'
  /** Closes before it has done anything. */
  | 'close'
  /** Does it, and closes without an answer. */
  | 'close-after';

class Refusal extends Error {
  readonly code: number;

  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

const noSuchDevice = (): Refusal => new Refusal(-32602, 'No such device');
const mib = 1024 * 1024;

const malloc0 = {
  name: 'Malloc0',
  product_name: 'Malloc disk',
  block_size: 512,
  num_blocks: 20480,
  claimed: false,
  supported_io_types: {
    read: true,
    write: true,
    unmap: true,
    write_zeroes: true,
    flush: true,
    reset: true,
    nvme_admin: false,
    nvme_io: false,
  },
  driver_specific: {},
};

const iostat = {
  bytes_read: 36864,
  num_read_ops: 2,
  bytes_written: 0,
  num_write_ops: 0,
  bytes_unmapped: 0,
  num_unmap_ops: 0,
  read_latency_ticks: 178904,
  write_latency_ticks: 0,
  unmap_latency_ticks: 0,
  queue_depth_polling_period: 2,
  queue_depth: 0,
  io_time: 0,
  weighted_io_time: 0,
};

const scsiController = {
  cpumask: '0x2',
  backend_specific: {
    scsi: [
      {
        target_name: 'Target 2',
        luns: [{ id: 0, bdev_name: 'Malloc1' }],
        id: 0,
        scsi_dev_num: 2,
      },
    ],
  },
  iops_threshold: 60000,
  ctrlr: 'VhostScsi0',
  delay_base_us: 0,
  socket: '/var/tmp/VhostScsi0',
};

export class SpdkDaemon {
  /** Methods with their parameters, as they came. */
  readonly asked: { readonly method: string; readonly params: Values }[] = [];
  /** Each is done once. */
  readonly faults = new Map<string, Fault>();
  /** Failed requests by bdev, as `io_error` says them. */
  readonly ioErrors = new Map<string, Values>();
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #lvstore = {
    uuid: 'a9959197-b5e2-4f2d-8095-251ffb6985a5',
    base_bdev: 'Malloc2',
    free_clusters: 31,
    cluster_size: 4 * mib,
    total_data_clusters: 31,
    block_size: 4096,
    name: 'LVS0',
  };
  #bdevs: Values[] = [
    malloc0,
    { ...malloc0, name: 'Malloc1' },
    { ...malloc0, name: 'Malloc2', num_blocks: 262_144, claimed: true },
  ];
  #controllers: Values[] = [scsiController];

  private constructor() {
    this.#server = createServer((socket) => this.#serve(socket));
  }

  static async open(path: string): Promise<SpdkDaemon> {
    const daemon = new SpdkDaemon();
    daemon.#server.listen(path);
    await once(daemon.#server, 'listening');
    chmodSync(path, 0o777); // drivers are another user
    return daemon;
  }

  /** Names and aliases. */
  get bdevNames(): string[] {
    return this.#bdevs.flatMap(namesOf);
  }

  get controllerNames(): unknown[] {
    return this.#controllers.map(({ ctrlr }) => ctrlr);
  }

  /** As when a drive is pulled: its controllers stay, with nothing behind them. */
  pull(name: string): void {
    this.#bdevs = this.#bdevs.filter((bdev) => !namesOf(bdev).includes(name));
    this.#controllers = this.#controllers.map((controller) =>
      bdevOf(controller) === name
        ? { ...controller, backend_specific: { block: { readonly: false, bdev: null } } }
        : controller,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    socket.on('error', () => undefined); // who asked was killed
    let text = '';
    socket.setEncoding('utf8').on('data', (piece: string) => {
      text += piece;
      const request = parse(text);
      if (request === undefined) return;
      text = '';
      this.#answer(socket, request);
    });
  }

  #answer(socket: Socket, { id, method, params = {} }: Values): void {
    const name = String(method);
    const values = isValues(params) ? params : {};
    const fault = this.faults.get(name);
    this.faults.delete(name);
    this.asked.push({ method: name, params: values });
    if (fault === 'hang') return;
    if (fault === 'close') return void socket.destroy();
    const answer = JSON.stringify({ jsonrpc: '2.0', id, ...this.#outcome(name, values) }, null, 2);
    if (fault === 'close-after') return void socket.destroy();
    // In two pieces, the first of which ends as an answer might.
    const middle = answer.lastIndexOf('}', answer.length - 2) + 1;
    socket.write(answer.slice(0, middle), () => socket.write(`${answer.slice(middle)}\n`));
  }

  #outcome(method: string, params: Values): Values {
    const act = this.#methods[method];
    try {
      if (act === undefined) throw new Refusal(-32601, 'Method not found');
      return { result: act(params) };
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      return { error: { code: error.code, message: error.message } };
    }
  }

  readonly #methods: Record<string, (params: Values) => unknown> = {
    bdev_get_bdevs: () => this.#bdevs,
    bdev_get_iostat: () => ({
      tick_rate: 2_200_000_000,
      bdevs: this.#bdevs.map(({ name }) => {
        const errors = this.ioErrors.get(String(name));
        return { name, ...iostat, ...(errors && { io_error: errors }) };
      }),
    }),
    bdev_lvol_get_lvstores: () => [this.#lvstore],
    bdev_lvol_create: (params) => this.#createLvol(params),
    bdev_lvol_delete: ({ name }) => this.#deleteBdev(name, 'Logical Volume'),
    bdev_malloc_create: ({ name, block_size, num_blocks }) => {
      if (this.bdevNames.includes(String(name))) throw new Refusal(-17, 'File exists');
      this.#bdevs.push({ ...malloc0, name, block_size, num_blocks });
      return name;
    },
    bdev_malloc_delete: ({ name }) => this.#deleteBdev(name, 'Malloc disk'),
    vhost_get_controllers: () => this.#controllers,
    vhost_create_blk_controller: (params) => this.#createController(params),
    vhost_delete_controller: ({ ctrlr }) => {
      if (!this.controllerNames.includes(ctrlr)) throw noSuchDevice();
      this.#controllers = this.#controllers.filter((one) => one['ctrlr'] !== ctrlr);
      return true;
    },
  };

  #createLvol({ lvs_name, lvol_name, size_in_mib }: Values): string {
    const clusters = Math.ceil((Number(size_in_mib) * mib) / this.#lvstore.cluster_size);
    if (lvs_name !== this.#lvstore.name) throw noSuchDevice();
    const alias = `${this.#lvstore.name}/${String(lvol_name)}`;
    if (this.bdevNames.includes(alias)) throw new Refusal(-17, 'File exists');
    if (clusters > this.#lvstore.free_clusters) throw new Refusal(-28, 'No space left on device');
    this.#lvstore.free_clusters -= clusters;
    const name = randomUUID();
    this.#bdevs.push({
      ...malloc0,
      name,
      aliases: [alias],
      product_name: 'Logical Volume',
      num_blocks: (clusters * this.#lvstore.cluster_size) / malloc0.block_size,
    });
    return name;
  }

  #deleteBdev(name: unknown, product: string): boolean {
    const found = this.#bdevs.find(
      (bdev) => namesOf(bdev).includes(String(name)) && bdev['product_name'] === product,
    );
    if (found === undefined) throw new Refusal(-19, 'No such device');
    this.#bdevs = this.#bdevs.filter((bdev) => bdev !== found);
    const bytes = Number(found['num_blocks']) * Number(found['block_size']);
    const isLvol = product === 'Logical Volume';
    if (isLvol) this.#lvstore.free_clusters += bytes / this.#lvstore.cluster_size;
    return true;
  }

  #createController({ ctrlr, dev_name }: Values): boolean {
    if (this.controllerNames.includes(ctrlr)) throw new Refusal(-32602, 'File exists');
    const bdev = this.#bdevs.find((one) => namesOf(one).includes(String(dev_name)));
    if (bdev === undefined) throw noSuchDevice();
    this.#controllers.push({
      cpumask: '0x2',
      backend_specific: { block: { readonly: false, bdev: bdev['name'] } },
      iops_threshold: 60000,
      ctrlr,
      delay_base_us: 100,
      socket: `/var/tmp/${String(ctrlr)}`,
    });
    return true;
  }
}

function namesOf({ name, aliases }: Values): string[] {
  const others: unknown[] = Array.isArray(aliases) ? aliases : [];
  return [name, ...others].map(String);
}

function bdevOf({ backend_specific: backend }: Values): unknown {
  const block = isValues(backend) ? backend['block'] : undefined;
  return isValues(block) ? block['bdev'] : undefined;
}

function parse(text: string): Values | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isValues(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isValues(value: unknown): value is Values {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

if (import.meta.main) await SpdkDaemon.open(process.argv[2] ?? '/var/tmp/spdk.sock');

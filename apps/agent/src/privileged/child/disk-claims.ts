/**
 * Whole disks held open so that nobody else can claim them. The kernel refuses that where somebody has: a file system in
 * whatever mount namespace, a storage target, DRBD, a journal, a partition in use; and while it is held, it refuses those.
 */
import { closeSync, constants, fstatSync, openSync, statSync } from 'node:fs';
import { numberOf } from '@cyborg/driver-sdk/device-number';
import type { PciFunction } from '@cyborg/driver-sdk/host-use/function';
import type { BlockDevice } from '@cyborg/driver-sdk/host-use/host-tables';
import type { HostView } from './host-view.ts';
import { RefusedAct } from './refused-act.ts';
import { codeOf } from './sysfs-write.ts';

const claimFlags = constants.O_RDONLY | constants.O_EXCL | constants.O_NONBLOCK;
/** Of a disk that has gone, and of a drive without a medium: nothing there that could be in use. */
const nothingThere: ReadonlySet<string | undefined> = new Set(['ENXIO', 'ENODEV', 'ENOMEDIUM']);

interface Claim {
  readonly file: number;
  /** Functions by which the disk is reached: more than one of a disk with several ports. */
  readonly of: Set<string>;
}

export class DiskClaims implements Disposable {
  readonly #host: HostView;
  /** By the disk's number. */
  readonly #claims = new Map<string, Claim>();

  constructor(host: HostView) {
    this.#host = host;
  }

  /** @throws RefusedAct `host-use` for a disk that somebody has, and for one of which that cannot be told. */
  take(fn: PciFunction): void {
    for (const disk of this.#host.disksOf(fn)) {
      if (!this.#isPart(disk)) this.#takeDisk(fn, disk);
    }
  }

  /** Once the kernel driver has let go of the function: who holds a disk keeps its name from the next. */
  release({ address }: PciFunction): void {
    for (const [number, { file, of }] of this.#claims) {
      if (!of.delete(address) || of.size > 0) continue;
      closeSync(file);
      this.#claims.delete(number);
    }
  }

  [Symbol.dispose](): void {
    for (const { file } of this.#claims.values()) closeSync(file);
    this.#claims.clear();
  }

  /** A partition, which the whole disk speaks for, or one path of several, which has no node. */
  #isPart({ path }: BlockDevice): boolean {
    const { reader } = this.#host;
    return reader.exists(`${path}/partition`) || reader.integer(`${path}/hidden`) === 1;
  }

  #takeDisk(fn: PciFunction, disk: BlockDevice): void {
    const number = this.#host.reader.text(`${disk.path}/dev`);
    const known = number === undefined ? undefined : this.#claims.get(number);
    if (known !== undefined) {
      known.of.add(fn.address);
      return;
    }
    const node = number === undefined ? undefined : this.#nodeOf(disk, number);
    if (number === undefined || node === undefined) {
      const { dev } = this.#host.order.roots;
      throw mayBeUsed(fn, disk, `there is no node ${number ?? 'for it'} in ${dev}`);
    }
    const file = this.#open(fn, disk, node);
    if (file === undefined) return;
    this.#claims.set(number, { file, of: new Set([fn.address]) });
    if (numberOf(fstatSync(file)) !== `b${number}`) throw mayBeUsed(fn, disk, `${node} is another`);
  }

  #open(fn: PciFunction, disk: BlockDevice, node: string): number | undefined {
    try {
      return openSync(node, claimFlags);
    } catch (error) {
      const code = codeOf(error);
      if (nothingThere.has(code)) return undefined;
      if (code !== 'EBUSY') throw mayBeUsed(fn, disk, `${node} cannot be opened (${code})`);
      throw new RefusedAct(
        'host-use',
        `The host uses ${fn.address}: the kernel says that disk ${disk.name} or a part of it is in use (EBUSY): mounted in a container, exported as storage, or part of something else`,
        { cause: error },
      );
    }
  }

  /** Whatever else has that name or number is not opened. */
  #nodeOf({ name, path }: BlockDevice, number: string): string | undefined {
    const { reader, order } = this.#host;
    const devName = /^DEVNAME=(.+)$/mu.exec(reader.text(`${path}/uevent`) ?? '')?.[1] ?? name;
    const nodes = [devName, `block/${number}`].map((one) => `${order.roots.dev}/${one}`);
    return nodes.find(
      (node) => numberOf(reader.probe(node, () => statSync(node))) === `b${number}`,
    );
  }
}

function mayBeUsed(fn: PciFunction, disk: BlockDevice, why: string): RefusedAct {
  const text = `whether disk ${disk.name} is in use cannot be asked of the kernel: ${why}`;
  return new RefusedAct('host-use', `The host may be using ${fn.address}: ${text}`);
}

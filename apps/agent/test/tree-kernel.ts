/** Does in a tree of files what the kernel does with drivers and virtual functions when its attributes are written. */
import {
  existsSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, join } from 'node:path';

const lookMs = 5;

export class TreeKernel implements Disposable {
  readonly #bus: string;
  /** Links of virtual functions that there are not now, by the address of their card. */
  readonly #hidden = new Map<string, readonly { readonly file: string; readonly to: string }[]>();
  readonly #timer: NodeJS.Timeout;

  constructor(sysfs: string) {
    this.#bus = join(sysfs, 'bus/pci');
    this.#timer = setInterval(() => this.#look(), lookMs);
  }

  /** Made again when somebody writes another number than 0. */
  removeVfs(card: string, addresses: readonly string[]): void {
    const files = addresses.flatMap((address, index) => [
      join(this.#bus, 'devices', address),
      join(this.#bus, 'devices', card, `virtfn${index}`),
    ]);
    const links = files.map((file) => ({ file, to: readlinkSync(file) }));
    for (const { file } of links) rmSync(file);
    this.#hidden.set(card, links);
    writeFileSync(join(this.#bus, 'devices', card, 'sriov_numvfs'), '0\n');
  }

  driverOf(address: string): string | null {
    const link = join(this.#bus, 'devices', address, 'driver');
    return existsSync(link) ? basename(readlinkSync(link)) : null;
  }

  #look(): void {
    for (const driver of readdirSync(join(this.#bus, 'drivers'))) this.#unbind(driver);
    for (const [card, links] of this.#hidden) {
      const file = join(this.#bus, 'devices', card, 'sriov_numvfs');
      if (Number(readFileSync(file, 'utf8')) > 0) {
        for (const { file: link, to } of links) symlinkSync(to, link);
        this.#hidden.delete(card);
      }
    }
    for (const address of readdirSync(join(this.#bus, 'devices'))) this.#probe(address);
  }

  #unbind(driver: string): void {
    const file = join(this.#bus, 'drivers', driver, 'unbind');
    const address = existsSync(file) ? readFileSync(file, 'utf8').trim() : '';
    if (address === '') return;
    rmSync(join(this.#bus, 'devices', address, 'driver'), { force: true });
    writeFileSync(file, '');
  }

  #probe(address: string): void {
    const folder = join(this.#bus, 'devices', address);
    const file = join(folder, 'driver_override');
    const wanted = existsSync(file) ? readFileSync(file, 'utf8').trim() : '';
    const driver = join(this.#bus, 'drivers', wanted);
    if (wanted === '' || !existsSync(driver) || this.driverOf(address) !== null) return;
    symlinkSync(driver, join(folder, 'driver'));
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

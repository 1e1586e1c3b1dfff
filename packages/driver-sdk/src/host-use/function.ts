/** One PCI function as sysfs shows it. Attributes are read when first asked for, and once. */
import { join } from 'node:path';
import { comparePciAddresses, formatPciAddress, parsePciAddress, type PciAddress } from '../pci.ts';
import { toInteger, type EntryKind, type TreeReader } from '../sysfs.ts';

/** A configuration space that a user who is not root may read ends here; what the kernel keeps ends at 4096. */
const configBytesMax = 4096;
const configHeaderBytes = 64;
const bridgeClass = 0x06;
const otherBridgeClass = 0x0680;
const carrierClasses: ReadonlySet<number> = new Set([0x0604, 0x0607, 0x0609]);
/** Those that do no DMA of their own and say so (`driver_managed_dma`). */
const sharingBridgeDrivers: ReadonlySet<string> = new Set(['pcieport', 'pci-stub']);

export interface FunctionOptions {
  readonly path: string;
  readonly parsed: PciAddress;
  /** Its driver before the agent bound it to another; null: none. Absent: it was not bound. */
  readonly driverBefore?: string | null;
}

export class PciFunction {
  readonly address: string;
  readonly parsed: PciAddress;
  readonly path: string;
  readonly #reader: TreeReader;
  readonly #driverBefore: string | null | undefined;
  readonly #values = new Map<string, unknown>();

  constructor(reader: TreeReader, { path, parsed, driverBefore }: FunctionOptions) {
    this.#reader = reader;
    this.#driverBefore = driverBefore;
    this.path = path;
    this.parsed = parsed;
    this.address = formatPciAddress(parsed);
  }

  get class(): number | undefined {
    return this.#once('class', () => this.integer('class') ?? this.#fromConfig(9, 3));
  }

  get vendor(): number | undefined {
    return this.#once('vendor', () => this.integer('vendor') ?? this.#fromConfig(0, 2));
  }

  get device(): number | undefined {
    return this.#once('device', () => this.integer('device') ?? this.#fromConfig(2, 2));
  }

  get driver(): string | undefined {
    return this.#once('driver', () => this.linkName('driver'));
  }

  /** Its kernel driver while no guest has it: rules and definitions go by that. */
  get usualDriver(): string | undefined {
    const isForGuests = this.driver?.includes('vfio') === true;
    if (this.#driverBefore === undefined || !isForGuests) return this.driver;
    return this.#driverBefore ?? undefined;
  }

  get iommuGroup(): number | undefined {
    return this.#once('iommu_group', () => {
      const name = this.linkName('iommu_group');
      return name !== undefined && /^\d{1,9}$/u.test(name) ? Number(name) : undefined;
    });
  }

  /** Undefined when unknown, also where the kernel says -1. */
  get numaNode(): number | undefined {
    const node = this.#once('numa_node', () => this.integer('numa_node'));
    return node === undefined || node < 0 ? undefined : node;
  }

  /** The physical function that this one is a virtual function of. */
  get physicalFunction(): string | undefined {
    return this.#once('physfn', () => toAddress(this.linkName('physfn')));
  }

  /** The virtual functions of this physical function, in order, with the kernel's number of each. */
  get virtualFunctions(): readonly { readonly index: number; readonly address: string }[] {
    return this.#once('virtfn', () => {
      const found: { index: number; address: string }[] = [];
      for (const name of this.entries.keys()) {
        if (!/^virtfn\d{1,5}$/u.test(name)) continue;
        const address = toAddress(this.linkName(name));
        if (address !== undefined) found.push({ index: Number(name.slice(6)), address });
      }
      return found.toSorted((a, b) => a.index - b.index);
    });
  }

  get isVirtual(): boolean {
    return this.physicalFunction !== undefined;
  }

  /** PCI-to-PCI and CardBus bridges: they carry others and are never given out by themselves. */
  get isBridge(): boolean {
    return this.class !== undefined && carrierClasses.has(this.class >>> 8);
  }

  /** A host bridge, an ISA bridge: class 06 too, and nothing that a guest is given. `Other bridges` (NVSwitch) are. */
  get isChipset(): boolean {
    return (
      this.#isOfBridgeClass && this.class !== undefined && this.class >>> 8 !== otherBridgeClass
    );
  }

  /** Nothing of the host drives it: VFIO does not mind one in a group. With a driver it is a function like any other. */
  get isUndrivenChipset(): boolean {
    return this.#isOfBridgeClass && !this.has('driver');
  }

  get #isOfBridgeClass(): boolean {
    return this.class !== undefined && this.class >>> 16 === bridgeClass && !this.isBridge;
  }

  /** A bridge whose driver keeps its IOMMU group from guests (a hot-plug controller's `shpchp`), since Linux 5.19. */
  get keepsGroup(): boolean {
    const { driver } = this;
    if (!this.isBridge || driver === undefined) return false;
    return !(sharingBridgeDrivers.has(driver) || driver.includes('vfio'));
  }

  /** What is in the function's folder; empty when it cannot be listed. */
  get entries(): ReadonlyMap<string, EntryKind> {
    return this.#once('', () => this.#reader.entries(this.path) ?? new Map());
  }

  has(name: string): boolean {
    return this.entries.has(name);
  }

  /** Undefined also for a name that is there but is no plain file: a FIFO is not even opened. */
  text(name: string): string | undefined {
    if (this.entries.get(name) !== 'file') return undefined;
    return this.#once(`text ${name}`, () => this.#reader.plainText(`${this.path}/${name}`));
  }

  integer(name: string): number | undefined {
    return toInteger(this.text(name));
  }

  linkName(name: string): string | undefined {
    if (this.entries.get(name) !== 'link') return undefined;
    return this.#reader.linkName(`${this.path}/${name}`);
  }

  bytes(name: string, bytesMax: number): Buffer | undefined {
    if (this.entries.get(name) !== 'file') return undefined;
    return this.#reader.bytes(`${this.path}/${name}`, bytesMax);
  }

  /** The configuration space, as much of it as we may read. */
  get config(): Buffer | undefined {
    return this.#once('config', () => this.bytes('config', configBytesMax));
  }

  /** For trees that lack the attribute: the same number out of the configuration header. */
  #fromConfig(offset: number, length: number): number | undefined {
    const { config } = this;
    if (config === undefined || config.length < configHeaderBytes) return undefined;
    if (config.readUInt32LE(0) === 0xffffffff) return undefined; // the card does not answer
    return config.readUIntLE(offset, length);
  }

  #once<T>(key: string, read: () => T): T {
    if (this.#values.has(key)) return this.#values.get(key) as T; // written two lines below, by this key alone
    const value = read();
    this.#values.set(key, value);
    return value;
  }
}

function toAddress(name: string | undefined): string | undefined {
  const parsed = name === undefined ? undefined : parsePciAddress(name);
  return parsed === undefined ? undefined : formatPciAddress(parsed);
}

/** Every function of the tree by address, in order of address. A link that leads nowhere is no function. */
export function listFunctions(
  reader: TreeReader,
  sysfs: string,
  driversBefore: ReadonlyMap<string, string | null> = new Map(),
): Map<string, PciFunction> {
  const found: PciFunction[] = [];
  for (const { name, path } of findFolders(reader, sysfs)) {
    const parsed = parsePciAddress(name);
    if (parsed === undefined) continue;
    const driverBefore = driversBefore.get(formatPciAddress(parsed));
    const fn = new PciFunction(reader, {
      path,
      parsed,
      ...(driverBefore !== undefined && { driverBefore }),
    });
    if (fn.entries.size > 0) found.push(fn);
  }
  found.sort((a, b) => comparePciAddresses(a.parsed, b.parsed));
  return new Map(found.map((fn) => [fn.address, fn]));
}

interface Folder {
  readonly name: string;
  readonly path: string;
}

function findFolders(reader: TreeReader, sysfs: string): Folder[] {
  const bus = `${sysfs}/bus/pci/devices`;
  const names = reader.names(bus);
  if (names !== undefined) {
    return names.map((name) => ({
      name,
      path: follow(bus, reader.link(`${bus}/${name}`)) ?? `${bus}/${name}`,
    }));
  }
  return walkBridges(reader, `${sysfs}/devices`); // a tree that was copied without /sys/bus
}

/** Where a relative link leads, in text: the kernel finds a file faster by the path without links. */
function follow(folder: string, target: string | undefined): string | undefined {
  return target === undefined || target.startsWith('/') ? undefined : join(folder, target);
}

/** Deeper than any real hierarchy: the bus number has eight bits, and each bridge takes one. */
const bridgeDepthMax = 256;

function walkBridges(reader: TreeReader, devices: string): Folder[] {
  const found: Folder[] = [];
  const roots = reader.names(devices)?.filter((name) => name.startsWith('pci')) ?? [];
  let level = roots.map((name) => `${devices}/${name}`);
  for (let depth = 0; depth < bridgeDepthMax && level.length > 0; depth += 1) {
    const next: string[] = [];
    for (const folder of level) {
      for (const [name, kind] of reader.entries(folder) ?? []) {
        if (kind !== 'directory' || parsePciAddress(name) === undefined) continue;
        const path = `${folder}/${name}`;
        found.push({ name, path });
        next.push(path);
      }
    }
    level = next;
  }
  return found;
}

/** The host as one act sees it, read anew: functions, their neighbours, who uses them. Fails closed. */
import { dirname } from 'node:path';
import { PciFunction, listFunctions } from '@cyborg/driver-sdk/host-use/function';
import { HolderFinder } from '@cyborg/driver-sdk/host-use/holder-finder';
import { HostTables, type BlockDevice } from '@cyborg/driver-sdk/host-use/host-tables';
import { namesOfNodes, vfioNodesOf } from '@cyborg/driver-sdk/host-use/open-nodes';
import { formatPciId } from '@cyborg/driver-sdk/pci';
import { TreeReader } from '@cyborg/driver-sdk/sysfs';
import type { ActStep } from '../../steps.ts';
import type { ActOrder, ActQuestion, OpenAnswer } from '../act-order.ts';
import type { Binding, Shortened, VfCount } from '../bindings.ts';
import { RefusedAct } from './refused-act.ts';

/** What it says to the agent. */
interface Line {
  readonly ask: (question: ActQuestion) => Promise<unknown>;
  readonly enter: (step: ActStep) => void;
}

export class HostView {
  readonly order: ActOrder;
  readonly reader = new TreeReader();
  readonly sysfs: string;
  readonly ask: Line['ask'];
  /** Before each step, so that an act that hangs can be told by it. */
  readonly enter: Line['enter'];
  readonly #functions: ReadonlyMap<string, PciFunction>;
  readonly #bindings: ReadonlyMap<string, Binding>;

  constructor(order: ActOrder, { ask, enter }: Line) {
    this.order = order;
    this.ask = ask;
    this.enter = enter;
    this.sysfs = order.roots.sysfs;
    this.#functions = listFunctions(this.reader, this.sysfs);
    this.#bindings = new Map(order.bindings.map((binding) => [binding.address, binding]));
  }

  /** The function that the act is about. @throws RefusedAct */
  get target(): PciFunction {
    const address = String(this.order.params['address']);
    const fn = this.find(address);
    if (fn !== undefined) return fn;
    throw new RefusedAct('gone', `There is no function ${address} in ${this.sysfs}.`);
  }

  find(address: string): PciFunction | undefined {
    return this.#functions.get(address);
  }

  /** What the agent noted when it bound the function that is there now. */
  bindingOf(fn: PciFunction): Binding | undefined {
    const binding = this.#bindings.get(fn.address);
    return binding?.ids === idsOf(fn) ? binding : undefined;
  }

  /** The agent noted that it keeps kernel drivers from new virtual functions of the card that is there now. */
  isUnprobed(fn: PciFunction): boolean {
    return this.order.unprobed.some(
      ({ address, ids }) => address === fn.address && ids === idsOf(fn),
    );
  }

  /** What came of the agent's last wish for virtual functions of the card that is there now. */
  vfsOf(fn: PciFunction): VfCount | undefined {
    return this.order.vfs?.find(({ address, ids }) => address === fn.address && ids === idsOf(fn));
  }

  /** What it had before the agent shortened its list of reset methods, and had no time to put that back. */
  shortenedOf(fn: PciFunction): Shortened | undefined {
    return this.order.shortened.find(
      ({ address, ids }) => address === fn.address && ids === idsOf(fn),
    );
  }

  /** Its configuration says that its kernel driver may be taken away while idle. */
  mayUnbind(address: string): boolean {
    const { unbind } = this.order.params;
    return Array.isArray(unbind) && unbind.includes(address);
  }

  /** On vfio-pci by this agent's doing. */
  isOurs(fn: PciFunction): boolean {
    const binding = this.bindingOf(fn);
    return binding !== undefined && binding.boundTo === fn.driver;
  }

  /** Those that share its IOMMU group, bridges and idle chipset aside. @throws RefusedAct when they cannot be told. */
  groupOthers(fn: PciFunction): PciFunction[] {
    return this.#group(fn).filter(
      (one) => !one.isBridge && !this.#isInert(one) && one.address !== fn.address,
    );
  }

  /** Of the chipset, without a driver, and no backend's accelerator. */
  #isInert(fn: PciFunction): boolean {
    const isListed = this.order.inventory.includes(fn.address);
    return fn.isUndrivenChipset && !isListed && this.bindingOf(fn) === undefined;
  }

  /** The bridges of its IOMMU group. @throws RefusedAct when they cannot be told. */
  groupBridges(fn: PciFunction): PciFunction[] {
    return this.#group(fn).filter((one) => one.isBridge);
  }

  #group(fn: PciFunction): PciFunction[] {
    const group = fn.iommuGroup;
    if (group === undefined) {
      throw new RefusedAct(
        'unsupported',
        `${fn.address} is in no IOMMU group: switch the IOMMU on in the firmware, and on Intel by the kernel argument intel_iommu=on.`,
      );
    }
    const names = this.reader.names(`${this.sysfs}/kernel/iommu_groups/${group}/devices`);
    if (names === undefined) {
      throw new RefusedAct('host-use', `The members of IOMMU group ${group} cannot be listed.`);
    }
    return names.map((name) => this.#functions.get(name) ?? notListed(name, group));
  }

  /** All functions behind the bridge that the function is behind, itself among them. */
  behindSameBridge(fn: PciFunction): PciFunction[] {
    const folder = `${dirname(fn.path)}/`;
    return [...this.#functions.values()].filter(({ path }) => path.startsWith(folder));
  }

  /** Looks at everything that could use these, now. @throws RefusedAct `host-use` with the name of the holder. */
  async refuseHostUse(
    functions: readonly PciFunction[],
    { ours = [], isGiven = true }: { ours?: readonly string[]; isGiven?: boolean } = {},
  ): Promise<void> {
    const tables = this.#makeTables(ours);
    const nodes = functions.flatMap((fn) => this.#nodesOf(fn, tables));
    const open = await this.#whoHasOpen(nodes);
    const holders = new Map(
      open.open.map(({ node, command, pid }) => [node, `${command} (pid ${pid})`]),
    );
    const missing = open.complete ? null : 'the agent cannot see the files of every process';
    tables.setOpenNodes({ holders, missing });
    const finder = new HolderFinder(this.#functions, tables, (address) => this.mayUnbind(address));
    for (const fn of functions) {
      const use = finder.find(fn, { isGiven });
      if (use === undefined) continue;
      const claim = use.certainty === 'seen' ? 'The host uses' : 'The host may be using';
      throw new RefusedAct('host-use', `${claim} ${fn.address}: ${use.text}`);
    }
  }

  /** @returns who has one of the functions open through VFIO. @throws RefusedAct when that cannot be seen. */
  async findVfioHolder(functions: readonly PciFunction[]): Promise<string | undefined> {
    const tables = this.#makeTables([]);
    const nodes = functions.flatMap((fn) => vfioNodesOf(fn, tables));
    return await this.findHolderOf(nodes.map(({ path, asked }) => asked ?? path));
  }

  /** The same for nodes by name. */
  async findHolderOf(nodes: readonly string[]): Promise<string | undefined> {
    if (nodes.length === 0) return undefined;
    const answer = await this.#whoHasOpen(nodes);
    const [first] = answer.open;
    if (first !== undefined) return `${first.command} (pid ${first.pid}) has ${first.node} open`;
    if (answer.complete) return undefined;
    throw new RefusedAct(
      'transient',
      `Whether a guest has ${nodes.join(', ')} open cannot be seen: the agent must run as root in the host's own PID namespace.`,
    );
  }

  /** Its disks and their partitions, as the kernel shows them now. */
  disksOf(fn: PciFunction): BlockDevice[] {
    return this.#makeTables([]).blockDevicesOf(fn);
  }

  /** UUIDs of the mediated devices that its driver has made of it. */
  mediatedOf({ path, entries }: PciFunction): string[] {
    return [...entries].flatMap(([name, kind]) =>
      kind === 'directory' && this.reader.exists(`${path}/${name}/mdev_type`) ? [name] : [],
    );
  }

  /** Its kernel driver now; a {@link PciFunction} keeps what it read first. */
  driverNow({ path }: PciFunction): string | null {
    return this.reader.linkName(`${path}/driver`) ?? null;
  }

  /** Its driver_override now. */
  overrideNow({ path }: PciFunction): string | null {
    const text = this.reader.text(`${path}/driver_override`);
    return text === undefined || text === '' || text === '(null)' ? null : text;
  }

  #nodesOf(fn: PciFunction, tables: HostTables): string[] {
    const virtual = fn.virtualFunctions.flatMap(({ address }) => this.find(address) ?? []);
    const group =
      fn.iommuGroup === undefined ? [] : (tables.iommuGroupMembers(fn.iommuGroup) ?? []);
    const others = group.flatMap((address) => this.find(address) ?? []);
    const all = new Set([fn, ...virtual, ...others.filter(({ isBridge }) => !isBridge)]);
    return [...all].flatMap((one) => namesOfNodes(one, tables));
  }

  #makeTables(ours: readonly string[]): HostTables {
    const noted = [...this.#functions.values()].filter((fn) => this.isOurs(fn));
    return new HostTables(this.reader, {
      ...this.order.roots,
      isEvidenceOfTreeAlone: false,
      boundByUs: [...noted.map(({ address }) => address), ...ours],
      asksAgent: true,
    });
  }

  async #whoHasOpen(nodes: readonly string[]): Promise<OpenAnswer> {
    if (nodes.length === 0) return { complete: true, open: [] };
    return (await this.ask({ nodes: [...new Set(nodes)] })) as OpenAnswer; // as act-order.ts says
  }
}

export function idsOf({ vendor = 0, device = 0 }: PciFunction): string {
  return `${formatPciId(vendor)}:${formatPciId(device)}`;
}

function notListed(address: string, group: number): never {
  throw new RefusedAct(
    'host-use',
    `IOMMU group ${group} has ${address}, which is not among the PCI functions of this host.`,
  );
}

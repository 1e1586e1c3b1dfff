/** One backend on this host: what is wanted of it, what its driver last said, and what the server was told. */
import type { BackendReport } from '@cyborg/api-spec/agent/report';
import type { DesiredBackend } from '@cyborg/api-spec/agent/desired';
import type { BackendStats } from '@cyborg/api-spec/driver-log';
import type { BackendSpec, Inventory } from '@cyborg/driver-sdk/protocol';
import { withHealths, type Healths } from './health.ts';

type BackendState = BackendReport['state'];

export interface KnownFunction {
  readonly address: string | null;
  readonly hostUse: string | null;
  /** Key of the device that it is a part of. */
  readonly card: string;
  readonly iommuGroup: number | null;
}

export class Backend {
  wanted: DesiredBackend;
  /** Generation that the driver has been given; undefined after a start of the agent. */
  installedGeneration: number | undefined;
  /** Generation of which the inventory was listed. */
  listedGeneration: number | undefined;
  /** Generation of which the ledger has the inventory. */
  takenGeneration: number | undefined;
  /** Generation that its driver last said cannot be; undefined once it takes one. */
  refusedGeneration: number | undefined;
  discoveryDone = 0;
  /** Asked for by the driver, or needed after it came back. */
  needsDiscovery = true;
  /** What the driver listed, with what it said of health since. */
  inventory: Inventory | undefined;
  /** `discovery` that it was listed for. */
  listedFor = 0;
  healthAsk: 'none' | 'asking' | 'again' = 'none';
  /** What its driver measured last. */
  stats: BackendStats | undefined;
  #listed: Inventory | undefined;
  #healths: Healths = {};
  /** Monotonic ms after which a failed step is tried again. */
  retryAtMs = 0;
  failures = 0;
  #state: BackendState | undefined;
  #reason: string | null = null;
  #byAccelerator: Map<string, KnownFunction> | undefined;
  readonly #report: (report: BackendReport) => void;
  #lastReport = '';

  constructor(wanted: DesiredBackend, report: (report: BackendReport) => void) {
    this.wanted = wanted;
    this.#report = report;
  }

  get spec(): BackendSpec {
    const { name, kind, config, additions } = this.wanted;
    if (additions.length === 0) return { name, kind, config };
    const given = config['additional'];
    const additional = [...(Array.isArray(given) ? given : []), ...additions];
    return { name, kind, config: { ...config, additional } };
  }

  get state(): BackendState | undefined {
    return this.#state;
  }

  get reason(): string | null {
    return this.#reason;
  }

  /** What there is to do for it, if it were done now. */
  get isPending(): boolean {
    return (
      this.installedGeneration !== this.wanted.generation ||
      this.needsDiscovery ||
      this.discoveryDone < this.wanted.discovery
    );
  }

  setInventory(inventory: Inventory): void {
    this.#listed = inventory;
    this.inventory = withHealths(inventory, this.#healths);
    this.#byAccelerator = undefined;
  }

  /** @returns whether the inventory says something else now. */
  setHealths(healths: Healths): boolean {
    this.#healths = healths;
    if (this.#listed === undefined) return false;
    const before = JSON.stringify(this.inventory);
    this.setInventory(this.#listed);
    return JSON.stringify(this.inventory) !== before;
  }

  /** Functions of the last inventory at this PCI address. */
  functionsAt(address: string): KnownFunction[] {
    this.#byAccelerator ??= indexOf(this.inventory);
    return [...this.#byAccelerator.values()].filter((known) => known.address === address);
  }

  acceleratorsAt(address: string): string[] {
    this.#byAccelerator ??= indexOf(this.inventory);
    return [...this.#byAccelerator]
      .filter(([, known]) => known.address === address)
      .map(([key]) => key);
  }

  /** All PCI addresses of the last inventory. */
  addresses(): string[] {
    this.#byAccelerator ??= indexOf(this.inventory);
    return [...new Set([...this.#byAccelerator.values()].flatMap(({ address }) => address ?? []))];
  }

  become(state: BackendState, reason: string | null = null): void {
    this.#state = state;
    this.#reason = reason;
    this.tell();
  }

  /** Reports again what was reported before: the ledger may not have it. */
  repeat(): void {
    this.#lastReport = '';
    this.tell();
  }

  tell(): void {
    if (this.#state === undefined) return;
    const { generation } = this.wanted;
    const isRefused = this.#state !== 'removed' && this.refusedGeneration === generation;
    // What was installed before says nothing of a removal, nor of a configuration that was refused.
    const isOfWish = isRefused || this.#state === 'removed';
    // Ready with what the ledger has: what is installed since has not been listed there yet.
    const reached = this.#state === 'ready' ? this.takenGeneration : this.installedGeneration;
    const report: BackendReport = {
      backend_id: this.wanted.id,
      generation: isOfWish ? generation : (reached ?? generation),
      discovery: this.discoveryDone,
      state: this.#state,
      reason: this.#reason?.slice(0, 2048) ?? null,
      ...(isRefused && { refused: true }),
    };
    const text = JSON.stringify(report);
    if (text === this.#lastReport) return;
    this.#lastReport = text;
    this.#report(report);
  }
}

function indexOf(inventory: Inventory | undefined): Map<string, KnownFunction> {
  const index = new Map<string, KnownFunction>();
  for (const device of inventory?.devices ?? []) {
    for (const { accelerators } of device.deployables) {
      for (const {
        key,
        host_use: hostUse,
        attach_info: info,
        iommu_group: group,
      } of accelerators) {
        const address = toAddress(info) ?? device.address;
        const own = address === device.address ? device.iommu_group : null;
        index.set(key, { address, hostUse, card: device.key, iommuGroup: group ?? own });
      }
    }
  }
  return index;
}

/** A virtual function has an address of its own, in the handle that v2 shows. */
function toAddress(info: Readonly<Record<string, string>>): string | undefined {
  const { domain, bus, device, function: fn } = info;
  if (bus === undefined || device === undefined || fn === undefined) return undefined;
  return `${(domain ?? '0000').padStart(4, '0')}:${bus}:${device}.${fn}`;
}

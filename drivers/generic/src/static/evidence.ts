/** What the host's tree says of declared functions: whether they are there, and what uses them. */
import type { AttachPlan, DriverAccelerator, DriverDevice } from '@cyborg/driver-sdk/protocol';
import { formatPciAddress, parsePciAddress } from '@cyborg/driver-sdk/pci';
import type { PciScanner, ScanContext } from '../pci/scanner.ts';

export interface Judgement {
  /** What keeps it from being given, or null. */
  readonly reason: string | null;
  readonly hostUse: string | null;
}

interface Seen {
  readonly facts: Partial<DriverDevice>;
  readonly health: DriverDevice['health'];
}

const healthy: DriverDevice['health'] = { status: 'healthy', reason: null };

export class Evidence {
  readonly #devices = new Map<string, DriverDevice>();
  readonly #functions = new Map<string, DriverAccelerator>();
  readonly #simulated: boolean;

  private constructor(devices: readonly DriverDevice[], simulated: boolean) {
    this.#simulated = simulated;
    for (const device of devices) {
      if (device.address !== null) this.#devices.set(device.address, device);
      for (const item of device.deployables.flatMap((part) => part.accelerators)) {
        const address = addressOf(item.attach_info);
        if (address !== undefined) this.#functions.set(address, item);
      }
    }
  }

  /** Looks only when one of the plans is of a PCI function. */
  static async of(
    scanner: PciScanner,
    context: ScanContext,
    plans: readonly AttachPlan[],
  ): Promise<Evidence> {
    const rules = plans.flatMap((plan) => (plan.kind === 'pci' ? [ruleFor(plan.address)] : []));
    if (rules.length === 0) return new Evidence([], context.simulated);
    // Each function is looked at as kind `pci` would, and what is declared needs no approval.
    const config = { classes: [], rules, exclude: [], offer: 'all' as const };
    const { inventory } = await scanner.scan(context, { config, known: {} });
    return new Evidence(inventory.devices, context.simulated);
  }

  /** On a simulated host a function that is not in the tree is taken for declared. */
  judge(plan: AttachPlan): Judgement {
    if (plan.kind !== 'pci') return { reason: null, hostUse: null };
    const found = this.#functions.get(plan.address);
    if (found !== undefined) return { reason: found.reason, hostUse: found.host_use };
    const reason = this.#simulated ? null : absent(plan.address);
    return { reason, hostUse: null };
  }

  deviceOf(plan: AttachPlan | null): Seen {
    if (plan?.kind !== 'pci') return { facts: {}, health: healthy };
    const { address } = plan;
    const device = this.#devices.get(address);
    if (device === undefined) {
      const isThere = this.#simulated || this.#functions.has(address);
      const health = isThere ? healthy : { status: 'unknown' as const, reason: absent(address) };
      return { facts: { address }, health };
    }
    const { vendor_id, device_id, class: code, numa_node, iommu_group, kernel_driver } = device;
    const facts = { address, vendor_id, device_id, numa_node, iommu_group, kernel_driver };
    return { facts: { ...facts, class: code, serial: device.serial }, health: device.health };
  }
}

function ruleFor(address: string): { address: string; offer: boolean } {
  return { address, offer: true };
}

function absent(address: string): string {
  return `${address} is no function of this host, or a bridge`;
}

function addressOf(info: Readonly<Record<string, string>>): string | undefined {
  const { domain, bus, device, function: fn } = info;
  const parsed = parsePciAddress(`${domain}:${bus}:${device}.${fn}`);
  return parsed === undefined ? undefined : formatPciAddress(parsed);
}

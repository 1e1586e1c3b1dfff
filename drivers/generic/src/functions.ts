/** What each type of accelerator is good for, in the words that services, resource classes and traits use. */
import type { AcceleratorType, DriverDevice, DriverService } from '@cyborg/driver-sdk/protocol';

export const acceleratorTypes = [
  'GPU',
  'FPGA',
  'AICHIP',
  'COPROCESSOR',
  'CRYPTO',
  'ENTROPY',
  'NIC',
  'SSD',
  'OTHER',
] as const satisfies readonly AcceleratorType[];

interface TypeFacts {
  /** The function that a service is named for. */
  readonly service: string;
  /** Placement's standard class where one fits what v2 reports for such a card, else CUSTOM_PCI as v2's pci_driver. */
  readonly resourceClass: string;
  /** The first part of an accelerator's name. */
  readonly noun: string;
}

export const factsOfType = {
  GPU: { service: 'gpu.compute', resourceClass: 'PGPU', noun: 'gpu' },
  FPGA: { service: 'fpga.compute', resourceClass: 'FPGA', noun: 'fpga' },
  AICHIP: { service: 'ai.compute', resourceClass: 'CUSTOM_PCI', noun: 'ai' },
  COPROCESSOR: { service: 'coprocessor.compute', resourceClass: 'CUSTOM_PCI', noun: 'coprocessor' },
  CRYPTO: { service: 'crypto.symmetric', resourceClass: 'CUSTOM_PCI', noun: 'crypto' },
  ENTROPY: { service: 'random.entropy', resourceClass: 'CUSTOM_PCI', noun: 'entropy' },
  NIC: { service: 'network.interface', resourceClass: 'CUSTOM_NIC', noun: 'nic' },
  SSD: { service: 'storage.nvme', resourceClass: 'CUSTOM_SSD', noun: 'nvme' },
  OTHER: { service: 'accelerator.other', resourceClass: 'CUSTOM_PCI', noun: 'accelerator' },
} as const satisfies Record<AcceleratorType, TypeFacts>;

/** The functions that accelerators offer, with counts. */
export class ServiceCounts {
  readonly #counts = new Map<string, { total: number; offered: number }>();

  /** @param names  of services, in place of the one of each accelerator's type. */
  add(device: DriverDevice, names?: readonly string[]): void {
    for (const accelerator of device.deployables.flatMap((part) => part.accelerators)) {
      for (const name of names ?? [factsOfType[accelerator.type].service]) {
        const count = this.#counts.get(name) ?? { total: 0, offered: 0 };
        count.total += 1;
        count.offered += accelerator.offered ? 1 : 0;
        this.#counts.set(name, count);
      }
    }
  }

  list(): DriverService[] {
    const byName = [...this.#counts].toSorted(([a], [b]) => (a < b ? -1 : 1));
    return byName.map(([name, { total, offered }]) => ({
      name,
      kind: 'function',
      state: 'up',
      reason: null,
      accelerators_total: total,
      accelerators_offered: offered,
    }));
  }
}

/** Of devices that offer what their types do. */
export function servicesOf(devices: readonly DriverDevice[]): DriverService[] {
  const counts = new ServiceCounts();
  for (const device of devices) counts.add(device);
  return counts.list();
}

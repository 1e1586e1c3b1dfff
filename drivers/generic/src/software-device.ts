/** Devices that are not PCI functions found in a tree: software accelerators and declared ones. */
import type { AttachPlan, DriverAccelerator, DriverDevice } from '@cyborg/driver-sdk/protocol';

export interface SoftwareAccelerator {
  readonly key: string;
  readonly name: string;
  readonly plan: AttachPlan | null;
  /** What keeps it from being given; absent = nothing. */
  readonly reason?: string | null;
  readonly hostUse?: string | null;
  readonly attachInfo?: Readonly<Record<string, string>>;
}

type HardwareFacts = Pick<
  DriverDevice,
  | 'address'
  | 'vendor_id'
  | 'device_id'
  | 'class'
  | 'numa_node'
  | 'iommu_group'
  | 'kernel_driver'
  | 'serial'
>;

export interface SoftwareDevice {
  readonly key: string;
  /** Unique over the fleet. */
  readonly deployableName: string;
  readonly type: DriverDevice['type'];
  readonly vendor: string | null;
  readonly model: string | null;
  readonly resourceClass: string;
  readonly traits: readonly string[];
  readonly accelerators: readonly SoftwareAccelerator[];
  /** Of the function that it is, where it is one. */
  readonly hardware?: Partial<HardwareFacts>;
  readonly health?: DriverDevice['health'];
}

const noHardware: HardwareFacts = {
  address: null,
  vendor_id: null,
  device_id: null,
  class: null,
  serial: null,
  numa_node: null,
  iommu_group: null,
  kernel_driver: null,
};

/** On offer unless something keeps it from being given: what an operator makes or declares needs no approval. */
export function toDriverDevice(device: SoftwareDevice): DriverDevice {
  const { key, type, vendor, model, hardware = {} } = device;
  const accelerators = device.accelerators.map((item) => toDriverAccelerator(item, type));
  const offered = accelerators.some((item) => item.offered);
  return {
    ...noHardware,
    ...hardware,
    key,
    type,
    vendor,
    model,
    offered,
    reason: offered ? null : (accelerators[0]?.reason ?? null),
    health: device.health ?? { status: 'healthy', reason: null },
    info: {},
    deployables: [
      {
        key,
        name: device.deployableName,
        resource_class: device.resourceClass,
        traits: [...device.traits],
        accelerators,
      },
    ],
  };
}

function toDriverAccelerator(
  { key, name, plan, reason = null, hostUse = null, attachInfo = {} }: SoftwareAccelerator,
  type: DriverDevice['type'],
): DriverAccelerator {
  return {
    key,
    name,
    type,
    plans: plan === null ? [] : [plan.kind],
    offered: reason === null,
    reason,
    host_use: hostUse,
    attach_info: { ...attachInfo },
  };
}

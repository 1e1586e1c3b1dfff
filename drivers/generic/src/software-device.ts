/** Devices that are not PCI functions found in a tree: software accelerators and declared ones. */
import type { AttachPlan, DriverAccelerator, DriverDevice } from '@cyborg/driver-sdk/protocol';

export interface SoftwareAccelerator {
  readonly key: string;
  readonly name: string;
  readonly plan: AttachPlan | null;
}

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
}

/** All of it is on offer: what an operator makes or declares needs no approval. */
export function toDriverDevice(device: SoftwareDevice): DriverDevice {
  const { key, type, vendor, model } = device;
  return {
    key,
    address: null,
    vendor_id: null,
    device_id: null,
    class: null,
    type,
    vendor,
    model,
    serial: null,
    numa_node: null,
    iommu_group: null,
    kernel_driver: null,
    offered: true,
    reason: null,
    health: { status: 'healthy', reason: null },
    info: {},
    deployables: [
      {
        key,
        name: device.deployableName,
        resource_class: device.resourceClass,
        traits: [...device.traits],
        accelerators: device.accelerators.map((item) => toDriverAccelerator(item, type)),
      },
    ],
  };
}

function toDriverAccelerator(
  { key, name, plan }: SoftwareAccelerator,
  type: DriverDevice['type'],
): DriverAccelerator {
  return {
    key,
    name,
    type,
    plans: plan === null ? [] : [plan.kind],
    offered: true,
    reason: null,
    host_use: null,
    attach_info: {},
  };
}

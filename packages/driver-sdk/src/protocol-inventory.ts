/**
 * What a driver finds, in the words of the protocol: devices, their deployables and accelerators, how each can be plugged,
 * and the services of a backend. protocol.ts exports all of it: import it from there.
 */
import Type, { type Static } from 'typebox';

import { protocolLimits } from './protocol-constants.ts';
import { closed, Key, Nullable, Text } from './protocol-words.ts';

/** Placement takes no other names; it has to know those without CUSTOM_. */
const placementName = { minLength: 1, maxLength: 255, pattern: '^[A-Z0-9_]+$' } as const;
const ResourceClass = Type.String({
  ...placementName,
  description:
    "one of Placement's (PGPU, VGPU, FPGA) or your own, CUSTOM_ and capitals, digits and _",
});
const Trait = Type.String({
  ...placementName,
  description: "one of Placement's (HW_…) or your own, CUSTOM_ and capitals, digits and _",
});

/** What an accelerator is, in the words of the API. */
export const AcceleratorTypeSchema = Type.Union([
  Type.Literal('GPU'),
  Type.Literal('FPGA'),
  Type.Literal('AICHIP'),
  Type.Literal('COPROCESSOR'),
  Type.Literal('CRYPTO'),
  Type.Literal('ENTROPY'),
  Type.Literal('NIC'),
  Type.Literal('SSD'),
  Type.Literal('OTHER'),
]);
export type AcceleratorType = Static<typeof AcceleratorTypeSchema>;

/** Hypervisor-neutral instruction for plugging one accelerator into an instance. */
export const AttachPlanSchema = Type.Union([
  Type.Object({ kind: Type.Literal('pci'), address: Key }, closed),
  Type.Object({ kind: Type.Literal('mdev'), uuid: Key, parent: Key, type: Key }, closed),
  Type.Object({ kind: Type.Literal('usb'), bus: Type.Integer(), port: Key }, closed),
  Type.Object(
    { kind: Type.Literal('virtio-crypto'), queues: Type.Integer({ minimum: 1, maximum: 64 }) },
    closed,
  ),
  Type.Object(
    {
      kind: Type.Literal('virtio-rng'),
      /** Host file that gives the entropy: /dev/hwrng or /dev/urandom. */
      source: Key,
      max_bytes: Type.Optional(Type.Integer({ minimum: 1 })),
      period_ms: Type.Optional(Type.Integer({ minimum: 1 })),
    },
    closed,
  ),
  Type.Object(
    { kind: Type.Literal('vhost-user-blk'), socket: Key, queues: Type.Integer({ minimum: 1 }) },
    closed,
  ),
  /** A handle without a device: Nova takes it for a test's, and no hypervisor plugs it. */
  Type.Object({ kind: Type.Literal('test-pci'), address: Key }, closed),
]);
export type AttachPlan = Static<typeof AttachPlanSchema>;
export type PlanKind = AttachPlan['kind'];
export const PlanKindSchema = Type.Union([
  Type.Literal('pci'),
  Type.Literal('mdev'),
  Type.Literal('usb'),
  Type.Literal('virtio-crypto'),
  Type.Literal('virtio-rng'),
  Type.Literal('vhost-user-blk'),
  Type.Literal('test-pci'),
]);

export const HealthSchema = Type.Object(
  {
    status: Type.Union([
      Type.Literal('healthy'),
      Type.Literal('degraded'),
      Type.Literal('failed'),
      Type.Literal('unknown'),
    ]),
    reason: Nullable(Text),
  },
  closed,
);
export type Health = Static<typeof HealthSchema>;

/** The unit one instance can hold. */
export const DriverAcceleratorSchema = Type.Object(
  {
    /** Unique within its backend, and the same across restarts of driver, agent and host. */
    key: Key,
    name: Key,
    type: AcceleratorTypeSchema,
    /** How it can be plugged; the agent offers it only to hypervisors that can do one of these. */
    plans: Type.Array(PlanKindSchema, { maxItems: 8 }),
    /** The backend's rules offer it without an operator's approval. */
    offered: Type.Boolean(),
    /** Why it is not offered (a sentence), or null. An operator may overrule `not approved`, and nothing else. */
    reason: Nullable(Text),
    /** What keeps it from being given whoever approves it, where `reason` says less; absent = `reason` says all. */
    obstacle: Type.Optional(Nullable(Text)),
    /** What on the host uses it (names the holder), or null. Missing evidence counts as use. */
    host_use: Nullable(Text),
    /** v2's attach handle: strings to strings, e.g. domain, bus, device, function. */
    attach_info: Type.Record(Key, Text),
    /**
     * IOMMU group of the function that is plugged. Accelerators of one group are given to one instance, all of them or
     * none. Null: in none. Absent: not known, or not plugged as a function.
     */
    iommu_group: Type.Optional(Nullable(Type.Integer({ minimum: 0 }))),
    /**
     * Addresses of the other functions of that group, bridges aside. One that is no accelerator of this backend, or that
     * the host uses or could use, is also an `obstacle`.
     */
    group_members: Type.Optional(Type.Array(Key, { maxItems: protocolLimits.groupMembersMax })),
    /** Address of the root port above the card's highest switch: what `same_root` compares. */
    pcie_root: Type.Optional(Nullable(Key)),
  },
  closed,
);
export type DriverAccelerator = Static<typeof DriverAcceleratorSchema>;

/** A part of a device that is offered on its own. */
export const DriverDeployableSchema = Type.Object(
  {
    key: Key,
    /** Unique over the fleet by convention: `{host}_{address}`. */
    name: Key,
    resource_class: ResourceClass,
    traits: Type.Array(Trait, { maxItems: 64 }),
    accelerators: Type.Array(DriverAcceleratorSchema, { maxItems: 1024 }),
  },
  closed,
);
export type DriverDeployable = Static<typeof DriverDeployableSchema>;

/** A physical (or software) card. */
export const DriverDeviceSchema = Type.Object(
  {
    /** Stable identity: serial, or slot and ids. Unique within the backend. */
    key: Key,
    /** PCI address with at least four domain digits (`0000:21:00.0`), or null for what is not PCI. */
    address: Nullable(Key),
    /** `0x10de`, or null. */
    vendor_id: Nullable(Key),
    device_id: Nullable(Key),
    /** Six hex digits of the PCI class as `0x030000`, or null. */
    class: Nullable(Key),
    type: AcceleratorTypeSchema,
    vendor: Nullable(Text),
    model: Nullable(Text),
    serial: Nullable(Text),
    numa_node: Nullable(Type.Integer()),
    iommu_group: Nullable(Type.Integer()),
    kernel_driver: Nullable(Key),
    /** All of it is on offer by the backend's rules. */
    offered: Type.Boolean(),
    reason: Nullable(Text),
    health: HealthSchema,
    /** More facts for people: link speed, SR-IOV counts, reset methods, VPD. */
    info: Type.Record(Key, Text),
    deployables: Type.Array(DriverDeployableSchema, { maxItems: 512 }),
  },
  closed,
);
export type DriverDevice = Static<typeof DriverDeviceSchema>;

/** A function that the backend offers, or a daemon that it runs. */
export const DriverServiceSchema = Type.Object(
  {
    /** e.g. `gpu.compute`, `crypto.symmetric`, `random.entropy`, `storage.nvme`. */
    name: Key,
    kind: Type.Union([Type.Literal('function'), Type.Literal('daemon')]),
    state: Type.Union([Type.Literal('up'), Type.Literal('down')]),
    reason: Nullable(Text),
    accelerators_total: Type.Integer({ minimum: 0 }),
    accelerators_offered: Type.Integer({ minimum: 0 }),
  },
  closed,
);
export type DriverService = Static<typeof DriverServiceSchema>;

export const InventorySchema = Type.Object(
  {
    devices: Type.Array(DriverDeviceSchema, { maxItems: 16_384 }),
    services: Type.Array(DriverServiceSchema, { maxItems: 256 }),
  },
  closed,
);
export type Inventory = Static<typeof InventorySchema>;

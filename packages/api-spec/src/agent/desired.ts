/** What is wanted of a host, pulled by its agent: drivers to run with their backends, and orders to carry out. */
import Type, { type Static } from 'typebox';

import { Nullable, TextSchema, UuidSchema, closed } from '../common.ts';
import { Epoch, Key, LedgerRefSchema, TraceParent } from './common.ts';

/** A backend as the host should have it. `additions` are accelerators made by request. */
export const DesiredBackendSchema = Type.Object(
  {
    id: UuidSchema,
    name: Key,
    kind: Key,
    config: Type.Record(Type.String(), Type.Unknown()),
    additions: Type.Array(Type.Record(Type.String(), Type.Unknown())),
    generation: Type.Integer(),
    /** Rises with each discover-services; reported back in `discoveries` when done. */
    discovery: Type.Integer(),
  },
  closed,
);
export type DesiredBackend = Static<typeof DesiredBackendSchema>;

/** A driver that was uploaded: fetched from `agentPackageUrl`, and checked before each start. */
export const DesiredPackageSchema = Type.Object(
  {
    /** `sha512-…`, of the tarball. */
    digest: Type.String({ pattern: '^sha512-[A-Za-z0-9+/]{86}==$' }),
    size_bytes: Type.Integer({ minimum: 1 }),
    /** ed25519, in base64. */
    signature: Nullable(Type.String({ maxLength: 255 })),
  },
  closed,
);
export type DesiredPackage = Static<typeof DesiredPackageSchema>;

export const DesiredInstallationSchema = Type.Object(
  {
    id: UuidSchema,
    driver_id: Key,
    version: Key,
    /** Absent or null: it comes with the agent. */
    package: Type.Optional(Nullable(DesiredPackageSchema)),
    generation: Type.Integer(),
    /** Rises with each restart that somebody asks for; reported back when done. */
    restart: Type.Optional(Type.Integer({ minimum: 0 })),
    /** `present`: run it with these backends. `removed`: stop it and undo what it prepared, then report `removed`. */
    wanted: Type.Union([Type.Literal('present'), Type.Literal('removed')]),
    backends: Type.Array(DesiredBackendSchema),
    /** Backends to take away from a driver that stays. */
    removed_backends: Type.Array(DesiredBackendSchema),
    /** W3C traceparent of what it is done for. */
    trace_parent: Type.Optional(TraceParent),
  },
  closed,
);
export type DesiredInstallation = Static<typeof DesiredInstallationSchema>;

/** What is to be written into a card, and fetched from `agentImageUrl`. */
export const OrderedImageSchema = Type.Object(
  {
    name: TextSchema,
    sha256: Type.String({ pattern: '^[0-9a-f]{64}$' }),
    size_bytes: Type.Integer({ minimum: 1 }),
    /** From when it was ordered. */
    deadline_seconds: Type.Integer({ minimum: 1 }),
    /** Accelerators of the same card: none of them may be held, either. */
    others: Type.Array(UuidSchema, { maxItems: 1024 }),
  },
  closed,
);
export type OrderedImage = Static<typeof OrderedImageSchema>;

/** An explicit order about one accelerator. Nothing is plugged, unplugged, released or cleaned without one. */
export const OrderSchema = Type.Object(
  {
    kind: Type.Union([
      Type.Literal('attach'),
      Type.Literal('detach'),
      Type.Literal('clean'),
      Type.Literal('update'),
    ]),
    /** Null for clean and update. */
    attachment_id: Nullable(UuidSchema),
    accelerator_id: UuidSchema,
    accelerator_key: Key,
    backend_id: UuidSchema,
    /** The fence: an agent refuses an epoch below the highest it has seen for the accelerator. */
    epoch: Epoch,
    /** Epoch in the device's name: that of the attach. */
    device_epoch: Epoch,
    instance_id: Nullable(UuidSchema),
    /** Who plugs: for `nova` the agent only observes and cleans. */
    plugged_by: Type.Union([Type.Literal('nova'), Type.Literal('agent'), Type.Literal('none')]),
    /** The backend was uninstalled by force: there is no driver that could be asked. */
    driver_gone: Type.Boolean(),
    /** For attach: the instance had it before and lost it; one that is not there may be starting again. */
    was_attached: Type.Optional(Type.Boolean()),
    /** For clean: the PCI function, which no machine may have, whoever plugged it; null for what is none. */
    address: Type.Optional(Nullable(Type.String({ maxLength: 32 }))),
    /** For clean: why an operator accepts that it is given out without a reset where it has none; null: nobody does. */
    resetless_reason: Type.Optional(Nullable(TextSchema)),
    /** For update; null for all others. */
    image: Type.Optional(Nullable(OrderedImageSchema)),
    /** W3C traceparent of what it is done for. */
    trace_parent: Type.Optional(TraceParent),
  },
  closed,
);
export type Order = Static<typeof OrderSchema>;

const UnclaimedOrderSchema = Type.Object(
  { id: UuidSchema, instance_id: UuidSchema, device_name: Key },
  closed,
);

export const DesiredStateSchema = Type.Object(
  {
    ledger: LedgerRefSchema,
    /** Opaque; equal revisions mean equal states. */
    revision: Type.String(),
    installations: Type.Array(DesiredInstallationSchema),
    orders: Type.Array(OrderSchema),
    /** Unclaimed devices an operator has ordered to be unplugged. */
    release_unclaimed: Type.Array(UnclaimedOrderSchema),
    /** More orders wait than fit into one answer: report, then ask again. */
    more: Type.Boolean(),
  },
  closed,
);
export type DesiredState = Static<typeof DesiredStateSchema>;

export const HeldSchema = Type.Object(
  {
    attachment_id: UuidSchema,
    accelerator_id: UuidSchema,
    accelerator_key: Key,
    backend_id: UuidSchema,
    instance_id: UuidSchema,
    epoch: Epoch,
    device_epoch: Epoch,
    plugged_by: Type.Union([Type.Literal('nova'), Type.Literal('agent'), Type.Literal('none')]),
  },
  closed,
);
export type Held = Static<typeof HeldSchema>;

/** A PCI function that the ledger says was prepared for somebody and is not clean again: held, being cleaned, or not cleaned. */
export const TakenFunctionSchema = Type.Object(
  { backend_id: UuidSchema, accelerator_key: Key, address: Type.String({ maxLength: 32 }) },
  closed,
);
export type TakenFunction = Static<typeof TakenFunctionSchema>;

/**
 * The agent API (/agent/v1): what a host's agent and the server say to each other. Version N; the server also speaks N-1.
 *
 * An agent holds no truth: it pulls what is wanted of its host, makes it so, and reports what it observes.
 */
import Type, { type Static, type TSchema } from 'typebox';

import {
  Nullable,
  SlugSchema,
  StringsSchema,
  TextSchema,
  UuidSchema,
  closed,
  problems,
} from './common.ts';
import { BackendStatsSchema, DriverLogLineSchema, driverLogLimits } from './driver-log.ts';
import { agentRoutes, type AgentOperationName } from './routes.ts';

export const agentLimits = {
  /** The agent's lease by the server's clock; the agent lets it run out earlier by its own. */
  leaseSeconds: 15,
  longPollSecondsMax: 30,
  ordersPerAnswerMax: 512,
  reportItemsMax: 1024,
  numaNodesMax: 64,
  /** Of one driver on one host. */
  backendsMax: 256,
  inventoryBytesMax: 32 * 1024 * 1024,
} as const;

const Key = Type.String({ minLength: 1, maxLength: 255 });
const TraceParent = Nullable(Type.String({ maxLength: 128 }));
const Epoch = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
export const LedgerRefSchema = Type.Object(
  { id: UuidSchema, incarnation: Type.Integer({ minimum: 1 }) },
  closed,
);
export type LedgerRef = Static<typeof LedgerRefSchema>;

export const HypervisorReportSchema = Type.Object(
  {
    hypervisor: Key,
    healthy: Type.Boolean(),
    reason: Nullable(TextSchema),
    plugs: Type.Array(Key),
  },
  closed,
);

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

export const OrderOutcomeSchema = Type.Object(
  {
    kind: OrderSchema.properties.kind,
    attachment_id: Nullable(UuidSchema),
    accelerator_id: UuidSchema,
    epoch: Epoch,
    /**
     * attach: `attached`, `failed`. detach: `released`. clean: `cleaned`, `clean_failed`, `held` (a domain or process
     * still holds it; tried again). update: `updated`, `update_failed`, `held`. Any: `refused` (a lower epoch or a foreign ledger), `retrying` (still at it; the
     * message says what keeps it).
     */
    outcome: Type.Union([
      Type.Literal('attached'),
      Type.Literal('failed'),
      Type.Literal('released'),
      Type.Literal('cleaned'),
      Type.Literal('clean_failed'),
      Type.Literal('updated'),
      Type.Literal('update_failed'),
      Type.Literal('held'),
      Type.Literal('refused'),
      Type.Literal('retrying'),
    ]),
    message: Nullable(TextSchema),
    evidence: Type.Array(TextSchema, { maxItems: 32 }),
    /** For an attach that failed: no other try can help before a person has done what the message says. */
    needs_person: Type.Optional(Type.Boolean()),
    /** For update: how far it is. */
    percent: Type.Optional(Type.Integer({ minimum: 0, maximum: 100 })),
    /** W3C traceparent of what it is done for. */
    trace_parent: Type.Optional(TraceParent),
  },
  closed,
);
export type OrderOutcome = Static<typeof OrderOutcomeSchema>;

export const InstallationReportSchema = Type.Object(
  {
    installation_id: UuidSchema,
    generation: Type.Integer(),
    state: Type.Union([
      Type.Literal('fetching'),
      Type.Literal('starting'),
      Type.Literal('ready'),
      Type.Literal('updating'),
      Type.Literal('blocked'),
      Type.Literal('failed'),
      Type.Literal('removed'),
    ]),
    running_version: Nullable(Key),
    reason: Nullable(TextSchema),
    /** The driver keeps dying and is not started again by itself. */
    quarantined: Type.Optional(Type.Boolean()),
    /** Highest `restart` that has been carried out. */
    restart: Type.Optional(Type.Integer({ minimum: 0 })),
    /** The last lines, oldest first. */
    log: Type.Optional(Type.Array(DriverLogLineSchema, { maxItems: driverLogLimits.linesMax })),
    /** Of backends whose driver measures something, by their names. */
    stats: Type.Optional(
      Type.Record(Key, BackendStatsSchema, { maxProperties: agentLimits.backendsMax }),
    ),
  },
  closed,
);
export type InstallationReport = Static<typeof InstallationReportSchema>;

export const BackendReportSchema = Type.Object(
  {
    backend_id: UuidSchema,
    generation: Type.Integer(),
    /** Highest `discovery` that has been carried out. */
    discovery: Type.Integer(),
    state: Type.Union([
      Type.Literal('ready'),
      Type.Literal('stale'),
      Type.Literal('failed'),
      Type.Literal('blocked'),
      Type.Literal('removed'),
    ]),
    reason: Nullable(TextSchema),
    /** Its driver says that this configuration cannot be: as it is, it will not be taken. */
    refused: Type.Optional(Type.Boolean()),
  },
  closed,
);
export type BackendReport = Static<typeof BackendReportSchema>;

export const InstanceReportSchema = Type.Object(
  {
    id: UuidSchema,
    name: Type.String({ maxLength: 255 }),
    project_id: Nullable(Type.String({ maxLength: 255 })),
    state: Key,
    plugs: Type.Array(Key),
    /** Host NUMA nodes of the guest's memory and CPUs; empty or absent: not known. */
    numa_nodes: Type.Optional(
      Type.Array(Type.Integer({ minimum: 0, maximum: 65_535 }), {
        maxItems: agentLimits.numaNodesMax,
      }),
    ),
  },
  closed,
);
export type InstanceReport = Static<typeof InstanceReportSchema>;

/** One healthy look at one hypervisor: what is not listed was not there. */
export const InstanceListingSchema = Type.Object(
  {
    hypervisor: Key,
    instances: Type.Array(InstanceReportSchema, { maxItems: 4096 }),
    /** Did not answer: neither there nor gone. */
    unknown_ids: Type.Array(UuidSchema),
    unknown_count: Type.Integer({ minimum: 0 }),
  },
  closed,
);
export type InstanceListing = Static<typeof InstanceListingSchema>;

export const ObservationSchema = Type.Object(
  {
    attachment_id: UuidSchema,
    epoch: Epoch,
    observed: Type.Union([
      Type.Literal('plugged'),
      Type.Literal('missing'),
      Type.Literal('unknown'),
    ]),
  },
  closed,
);
export type Observation = Static<typeof ObservationSchema>;

/** A device of ours that neither desired nor held explains. Agents of before say no more than its name. */
export const UnclaimedReportSchema = Type.Object(
  {
    instance_id: UuidSchema,
    device_name: Key,
    /** Which accelerator this host was ordered to plug under the attachment of that name; null: not known. */
    accelerator_id: Type.Optional(Nullable(UuidSchema)),
    /** The PCI function of the host that it is; null: none, or not known. */
    address: Type.Optional(Nullable(Type.String({ maxLength: 32 }))),
    /** What keeps an ordered release from being done; null: nothing, or none is ordered. */
    reason: Type.Optional(Nullable(TextSchema)),
  },
  closed,
);
export type UnclaimedReport = Static<typeof UnclaimedReportSchema>;

export const ReportSchema = Type.Object(
  {
    /** UUID of this run of the agent; must hold the lease. */
    instance: UuidSchema,
    ledger: LedgerRefSchema,
    outcomes: Type.Array(OrderOutcomeSchema, { maxItems: agentLimits.reportItemsMax }),
    installations: Type.Array(InstallationReportSchema, { maxItems: agentLimits.reportItemsMax }),
    backends: Type.Array(BackendReportSchema, { maxItems: agentLimits.reportItemsMax }),
    listings: Type.Array(InstanceListingSchema, { maxItems: 8 }),
    observations: Type.Array(ObservationSchema, { maxItems: 4096 }),
    /** Complete list of devices of ours that neither desired nor held explains; null = not looked. */
    unclaimed: Nullable(Type.Array(UnclaimedReportSchema, { maxItems: 4096 })),
  },
  closed,
);
export type Report = Static<typeof ReportSchema>;

export const InventoryUploadSchema = Type.Object(
  {
    instance: UuidSchema,
    ledger: LedgerRefSchema,
    hash: Key,
    generation: Type.Integer(),
    /** As the driver protocol's `Inventory`; checked by the agent against its schema and by the server against its own. */
    devices: Type.Array(Type.Record(Type.String(), Type.Unknown()), { maxItems: 16_384 }),
    services: Type.Array(Type.Record(Type.String(), Type.Unknown()), { maxItems: 256 }),
  },
  closed,
);
export type InventoryUpload = Static<typeof InventoryUploadSchema>;

export const agentOperations = {
  enroll: {
    ...agentRoutes.enroll,
    schema: {
      body: Type.Object(
        {
          token: Type.String({ minLength: 16, maxLength: 256 }),
          host: Type.Object({ name: SlugSchema, node_name: Key }, closed),
          instance: UuidSchema,
          version: Key,
          facts: StringsSchema,
        },
        closed,
      ),
      response: {
        201: Type.Object(
          {
            host_id: UuidSchema,
            host_name: Type.String(),
            credential: Type.String(),
            ledger: LedgerRefSchema,
          },
          closed,
        ),
        ...problems,
      },
    },
  },
  renewLease: {
    ...agentRoutes.renewLease,
    schema: {
      body: Type.Object(
        {
          instance: UuidSchema,
          version: Key,
          ledger: LedgerRefSchema,
          facts: StringsSchema,
          hypervisors: Type.Array(HypervisorReportSchema, { maxItems: 8 }),
          /** Drivers this agent can start without a download. */
          builtin_drivers: Type.Array(Type.Object({ id: Key, version: Key }, closed), {
            maxItems: 32,
          }),
          /** Says goodbye: the lease ends now. */
          leaving: Type.Boolean(),
          /** Runs of this agent that are known to be dead: their lease may be taken over before it ends. */
          replaces: Type.Optional(Type.Array(UuidSchema, { maxItems: 8 })),
        },
        closed,
      ),
      response: {
        200: Type.Object(
          {
            ledger: LedgerRefSchema,
            lease_seconds: Type.Integer(),
            host_id: UuidSchema,
            simulated: Type.Boolean(),
          },
          closed,
        ),
        ...problems,
      },
    },
  },
  offerInventories: {
    ...agentRoutes.offerInventories,
    schema: {
      body: Type.Object(
        {
          instance: UuidSchema,
          ledger: LedgerRefSchema,
          backends: Type.Array(
            Type.Object({ backend_id: UuidSchema, hash: Key, generation: Type.Integer() }, closed),
            { maxItems: 256 },
          ),
        },
        closed,
      ),
      response: { 200: Type.Object({ wanted: Type.Array(UuidSchema) }, closed), ...problems },
    },
  },
  putInventory: {
    ...agentRoutes.putInventory,
    schema: {
      params: Type.Object({ backend_id: UuidSchema }, closed),
      body: InventoryUploadSchema,
      response: { 204: Type.Null(), ...problems },
    },
  },
  showDesired: {
    ...agentRoutes.showDesired,
    schema: {
      querystring: Type.Object(
        {
          /** Answer as soon as the revision differs from this one; absent = at once. */
          revision: Type.Optional(Type.String({ maxLength: 128 })),
          wait_seconds: Type.Optional(
            Type.Integer({ minimum: 0, maximum: agentLimits.longPollSecondsMax, default: 0 }),
          ),
        },
        closed,
      ),
      response: { 200: DesiredStateSchema, ...problems },
    },
  },
  listHeld: {
    ...agentRoutes.listHeld,
    schema: {
      querystring: Type.Object({ marker: Type.Optional(Type.String({ maxLength: 128 })) }, closed),
      response: {
        200: Type.Object(
          {
            ledger: LedgerRefSchema,
            items: Type.Array(HeldSchema),
            next: Nullable(Type.String()),
            /** With the first page: for an agent that has lost its notes. */
            taken: Type.Optional(Type.Array(TakenFunctionSchema)),
          },
          closed,
        ),
        ...problems,
      },
    },
  },
  report: {
    ...agentRoutes.report,
    schema: {
      body: ReportSchema,
      response: { 204: Type.Null(), ...problems },
    },
  },
} as const;

type SchemaOf<Name extends AgentOperationName> = (typeof agentOperations)[Name]['schema'];
type PartOf<Schema, Part extends string> =
  Schema extends Record<Part, infer T extends TSchema> ? Static<T> : undefined;

export type AgentParams<Name extends AgentOperationName> = PartOf<SchemaOf<Name>, 'params'>;
export type AgentQuery<Name extends AgentOperationName> = PartOf<SchemaOf<Name>, 'querystring'>;
export type AgentBody<Name extends AgentOperationName> = PartOf<SchemaOf<Name>, 'body'>;

type ResponseOf<Schema> = Schema extends { response: infer Responses }
  ? {
      [Status in keyof Responses]: Status extends 200 | 201 | 204
        ? Responses[Status] extends TSchema
          ? Static<Responses[Status]>
          : never
        : never;
    }[keyof Responses]
  : never;
/** What a 2xx answer holds. */
export type AgentResult<Name extends AgentOperationName> = ResponseOf<SchemaOf<Name>>;

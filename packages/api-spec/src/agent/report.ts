/** What a host's agent reports: what became of its orders, how its drivers do, and what its hypervisors have. */
import Type, { type Static } from 'typebox';

import { Nullable, TextSchema, UuidSchema, closed } from '../common.ts';
import { BackendStatsSchema, DriverLogLineSchema, driverLogLimits } from '../driver-log.ts';
import { Epoch, Key, LedgerRefSchema, TraceParent, agentLimits } from './common.ts';
import { OrderSchema } from './desired.ts';

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

export const HypervisorReportSchema = Type.Object(
  {
    hypervisor: Key,
    healthy: Type.Boolean(),
    reason: Nullable(TextSchema),
    plugs: Type.Array(Key),
  },
  closed,
);

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

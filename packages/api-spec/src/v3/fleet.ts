/** Hosts, backends, services, discoveries, devices. */
import Type, { type Static } from 'typebox';

import {
  AcceleratorTypeSchema,
  DryRunSchema,
  IdempotencyHeaders,
  IfMatchHeaders,
  InstantSchema,
  LabelsSchema,
  Nullable,
  PageOf,
  PutHeaders,
  SecretIdempotencyHeaders,
  SlugSchema,
  StringsSchema,
  TextSchema,
  UuidSchema,
  closed,
  dryRunQuery,
  forceQuery,
  pageQuery,
  problems,
} from '../common.ts';
import { BackendStatsSchema, DriverLogLineSchema } from '../driver-log.ts';
import { v3Routes } from '../routes.ts';
import { OperationSchema } from './operations.ts';

const StatusSchema = Type.Union([Type.Literal('enabled'), Type.Literal('disabled')]);
const UpDownSchema = Type.Union([Type.Literal('up'), Type.Literal('down')]);
const HostNameOrId = Type.String({ minLength: 1, maxLength: 255 });

/** Of the accelerators there that the caller sees. */
const counts = {
  accelerators_total: Type.Integer(),
  accelerators_free: Type.Integer(),
  accelerators_cleaning_failed: Type.Integer({
    description: 'They could not be cleaned, and stay out until somebody sees to it.',
  }),
} as const;

export const HostSchema = Type.Object({
  id: UuidSchema,
  name: Type.String(),
  node_name: Type.String(),
  service_host: Nullable(Type.String()),
  status: StatusSchema,
  status_reason: Nullable(Type.String()),
  /** `up` while its agent's lease runs. */
  state: UpDownSchema,
  simulated: Type.Boolean(),
  labels: LabelsSchema,
  conditions: Type.Array(
    Type.Object({ kind: Type.String(), message: Type.String(), blocks_attaching: Type.Boolean() }),
  ),
  agent_version: Nullable(Type.String()),
  hypervisors: Type.Array(
    Type.Object({
      hypervisor: Type.String(),
      healthy: Type.Boolean(),
      reason: Nullable(Type.String()),
      plugs: Type.Array(Type.String()),
    }),
  ),
  facts: StringsSchema,
  ...counts,
  created_at: InstantSchema,
  updated_at: Nullable(InstantSchema),
});
export type Host = Static<typeof HostSchema>;

export const BackendSchema = Type.Object({
  id: UuidSchema,
  name: Type.String(),
  host: Type.String(),
  driver_id: Type.String(),
  version: Nullable(Type.String()),
  kind: Type.String(),
  config: Type.Record(Type.String(), Type.Unknown()),
  status: StatusSchema,
  /** pending, ready, stale, failed, blocked, draining or removing. */
  state: Type.String(),
  reason: Nullable(Type.String()),
  /** Since when its driver, which kept dying, is not started again by itself; `reason` says why. */
  quarantined_since: Nullable(InstantSchema),
  stale_since: Nullable(InstantSchema),
  inventory_changed_at: Nullable(InstantSchema),
  ...counts,
  simulated: Type.Boolean(),
  created_at: InstantSchema,
  updated_at: Nullable(InstantSchema),
});
export type Backend = Static<typeof BackendSchema>;

/** One backend, with what its driver said last on its host. */
export const BackendDetailSchema = Type.Object({
  ...BackendSchema.properties,
  /** What its driver measured last; null when it measures nothing. */
  stats: Nullable(BackendStatsSchema),
  log: Type.Array(DriverLogLineSchema, {
    description:
      'The last lines of its driver on this host, oldest first, without secrets: `stderr`, its notifications by level, and what the `agent` did to it. Up to 30 s old.',
  }),
});

export const ServiceSchema = Type.Object({
  id: Type.String(),
  name: Type.String(),
  kind: Type.Union([Type.Literal('control'), Type.Literal('function'), Type.Literal('daemon')]),
  host: Nullable(Type.String()),
  backend: Nullable(Type.String()),
  driver_id: Nullable(Type.String()),
  status: StatusSchema,
  state: UpDownSchema,
  reason: Nullable(Type.String()),
  ...counts,
  simulated: Type.Boolean(),
  updated_at: Nullable(InstantSchema),
});
export type Service = Static<typeof ServiceSchema>;

export const DeviceSchema = Type.Object({
  id: UuidSchema,
  number: Type.Integer(),
  host: Type.String(),
  backend: Type.String(),
  driver_id: Type.String(),
  address: Nullable(Type.String()),
  vendor_id: Nullable(Type.String()),
  device_id: Nullable(Type.String()),
  class: Nullable(Type.String()),
  type: Type.String(),
  vendor: Nullable(Type.String()),
  model: Nullable(Type.String()),
  serial: Nullable(Type.String()),
  numa_node: Nullable(Type.Integer()),
  iommu_group: Nullable(Type.Integer()),
  kernel_driver: Nullable(Type.String()),
  /** present, absent or stale. */
  presence: Type.String(),
  absent_since: Nullable(InstantSchema),
  health: Type.String(),
  health_reason: Nullable(Type.String()),
  info: StringsSchema,
  ...counts,
  simulated: Type.Boolean(),
  created_at: InstantSchema,
  updated_at: Nullable(InstantSchema),
});
export type Device = Static<typeof DeviceSchema>;

export const JoinTokenSchema = Type.Object({
  id: UuidSchema,
  /** Shown once; the ledger keeps a hash. */
  token: Type.String(),
  host: Nullable(Type.String()),
  expires_at: InstantSchema,
  created_at: InstantSchema,
});
export type JoinToken = Static<typeof JoinTokenSchema>;

export const OpenJoinTokenSchema = Type.Object({
  id: UuidSchema,
  /** Null: the first new host that uses it. */
  host: Nullable(Type.String()),
  /** Made by `host-reenroll`. */
  reenrol: Type.Boolean(),
  simulated: Type.Boolean(),
  created_by: Type.String(),
  expires_at: InstantSchema,
  created_at: InstantSchema,
});
export type OpenJoinToken = Static<typeof OpenJoinTokenSchema>;

const hostParams = Type.Object({ host: HostNameOrId }, closed);
const idParams = Type.Object({ id: Type.String({ minLength: 1, maxLength: 255 }) }, closed);
const backendParams = Type.Object(
  {
    backend: Type.String({
      minLength: 1,
      maxLength: 320,
      description: '`host@backend` or the id.',
    }),
  },
  closed,
);
const fleetQuery = {
  host: Type.Optional(HostNameOrId),
  backend: Type.Optional(
    Type.String({ maxLength: 320, description: 'A backend name, or `host@backend`.' }),
  ),
} as const;

const secretAnswer =
  'With an Idempotency-Key the same request is answered with the same token for 24 hours; the ledger keeps its hash, and ' +
  'the answer encrypted under the key.';

export const fleetOperations = {
  listHosts: {
    ...v3Routes.listHosts,
    action: 'host:list',
    schema: {
      summary: 'List hosts',
      querystring: Type.Object({ state: Type.Optional(UpDownSchema), ...pageQuery }, closed),
      response: { 200: PageOf(HostSchema), ...problems },
    },
  },
  showHost: {
    ...v3Routes.showHost,
    action: 'host:show',
    schema: {
      summary: 'Show a host',
      params: hostParams,
      response: { 200: HostSchema, ...problems },
    },
  },
  updateHost: {
    ...v3Routes.updateHost,
    action: 'host:update',
    schema: {
      summary: 'Enable or disable a host, or label it',
      params: hostParams,
      querystring: Type.Object({ ...forceQuery, ...dryRunQuery }, closed),
      headers: IfMatchHeaders,
      body: Type.Object(
        {
          status: Type.Optional(StatusSchema),
          reason: Type.Optional(TextSchema),
          labels: Type.Optional(LabelsSchema),
          service_host: Type.Optional(Nullable(SlugSchema)),
        },
        closed,
      ),
      response: { 200: Type.Union([HostSchema, DryRunSchema]), ...problems },
    },
  },
  deleteHost: {
    ...v3Routes.deleteHost,
    action: 'host:delete',
    schema: {
      summary: 'Take a host that is no more out of the ledger, with all that it had',
      description:
        'Refused while its agent holds its lease (`wrong-state`), while anything of it is held or written to (`in-use`, with ' +
        'the users), and without a `reason` while something of it is not clean (`wrong-state`). Its resource providers go from ' +
        'Placement, also later when Placement is away. Events stay; `host.deleted` has the numbers of what went.',
      params: hostParams,
      querystring: Type.Object(
        {
          reason: Type.Optional(
            Type.String({
              minLength: 1,
              maxLength: 2048,
              pattern: '^[^\\u0000]*$',
              description:
                'Why what is `cleaning` or `cleaning_failed` there need not be cleaned any more; kept with the events.',
            }),
          ),
          ...dryRunQuery,
        },
        closed,
      ),
      headers: IfMatchHeaders,
      response: { 200: DryRunSchema, 204: Type.Null(), ...problems },
    },
  },
  revokeHost: {
    ...v3Routes.revokeHost,
    action: 'host:revoke',
    schema: {
      summary: "Revoke the credential of a host's agent; attachments stay as they are",
      params: hostParams,
      querystring: Type.Object(dryRunQuery, closed),
      headers: IdempotencyHeaders,
      response: { 200: Type.Union([HostSchema, DryRunSchema]), ...problems },
    },
  },
  reenrollHost: {
    ...v3Routes.reenrollHost,
    action: 'host:enroll',
    schema: {
      summary:
        'Revoke the credential of a host and make a join token for it; changes no attachment',
      description: secretAnswer,
      params: hostParams,
      querystring: Type.Object(dryRunQuery, closed),
      headers: SecretIdempotencyHeaders,
      response: { 200: DryRunSchema, 201: JoinTokenSchema, ...problems },
    },
  },
  createJoinToken: {
    ...v3Routes.createJoinToken,
    action: 'host:enroll',
    schema: {
      summary: 'A join token for a new host: single use, one hour',
      description: secretAnswer,
      querystring: Type.Object(dryRunQuery, closed),
      headers: SecretIdempotencyHeaders,
      body: Type.Object(
        {
          host: Type.Optional(SlugSchema),
          simulated: Type.Optional(Type.Boolean({ default: false })),
        },
        closed,
      ),
      response: { 200: DryRunSchema, 201: JoinTokenSchema, ...problems },
    },
  },
  listJoinTokens: {
    ...v3Routes.listJoinTokens,
    action: 'host:enroll',
    schema: {
      summary: 'List join tokens that a host may still use; the tokens themselves are not kept',
      querystring: Type.Object(pageQuery, closed),
      response: { 200: PageOf(OpenJoinTokenSchema), ...problems },
    },
  },
  deleteJoinToken: {
    ...v3Routes.deleteJoinToken,
    action: 'host:enroll',
    schema: {
      summary: 'Take a join token back: no host joins with it any more; one that has joined stays',
      params: Type.Object({ id: UuidSchema }, closed),
      querystring: Type.Object(dryRunQuery, closed),
      headers: IfMatchHeaders,
      response: { 200: DryRunSchema, 204: Type.Null(), ...problems },
    },
  },
  listBackends: {
    ...v3Routes.listBackends,
    action: 'backend:list',
    schema: {
      summary: 'List backends',
      querystring: Type.Object(
        { ...fleetQuery, driver_id: Type.Optional(Type.String({ maxLength: 64 })), ...pageQuery },
        closed,
      ),
      response: { 200: PageOf(BackendSchema), ...problems },
    },
  },
  showBackend: {
    ...v3Routes.showBackend,
    action: 'backend:show',
    schema: {
      summary: 'Show a backend, with the last lines of its driver',
      params: backendParams,
      response: { 200: BackendDetailSchema, ...problems },
    },
  },
  updateBackend: {
    ...v3Routes.updateBackend,
    action: 'backend:update',
    schema: {
      summary: 'Enable or disable a backend: a disabled one gives out nothing new',
      params: backendParams,
      querystring: Type.Object({ ...forceQuery, ...dryRunQuery }, closed),
      headers: IfMatchHeaders,
      body: Type.Object({ status: StatusSchema }, closed),
      response: { 200: Type.Union([BackendSchema, DryRunSchema]), ...problems },
    },
  },
  restartBackend: {
    ...v3Routes.restartBackend,
    action: 'backend:restart',
    schema: {
      summary: "Restart a backend's driver on its host, also one in quarantine",
      description:
        'One process serves all backends of a driver on a host, so the others restart with it. What is attached stays attached; ' +
        'acts under way are waited for, up to a minute. Succeeds when the backend has listed its hardware again.',
      params: backendParams,
      querystring: Type.Object(dryRunQuery, closed),
      headers: PutHeaders,
      response: { 200: DryRunSchema, 202: OperationSchema, ...problems },
    },
  },
  listServices: {
    ...v3Routes.listServices,
    action: 'service:list',
    schema: {
      summary: 'List control services, functions and daemons',
      querystring: Type.Object(
        { ...fleetQuery, name: Type.Optional(Type.String({ maxLength: 255 })), ...pageQuery },
        closed,
      ),
      response: { 200: PageOf(ServiceSchema), ...problems },
    },
  },
  showService: {
    ...v3Routes.showService,
    action: 'service:show',
    schema: {
      summary: 'Show a service',
      params: idParams,
      response: { 200: ServiceSchema, ...problems },
    },
  },
  updateService: {
    ...v3Routes.updateService,
    action: 'service:update',
    schema: {
      summary: 'Enable or disable a function or daemon',
      params: idParams,
      querystring: Type.Object({ ...forceQuery, ...dryRunQuery }, closed),
      headers: IfMatchHeaders,
      body: Type.Object({ status: StatusSchema }, closed),
      response: { 200: Type.Union([ServiceSchema, DryRunSchema]), ...problems },
    },
  },
  createDiscovery: {
    ...v3Routes.createDiscovery,
    action: 'discovery:create',
    schema: {
      summary: 'Have backends look for their hardware again, now',
      querystring: Type.Object(dryRunQuery, closed),
      headers: IdempotencyHeaders,
      body: Type.Object(
        {
          host: Type.Optional(HostNameOrId),
          backend: Type.Optional(Type.String({ minLength: 1, maxLength: 320 })),
        },
        closed,
      ),
      response: { 200: DryRunSchema, 202: OperationSchema, ...problems },
    },
  },
  listDevices: {
    ...v3Routes.listDevices,
    action: 'device:list',
    schema: {
      summary: 'List devices',
      querystring: Type.Object(
        { ...fleetQuery, type: Type.Optional(AcceleratorTypeSchema), ...pageQuery },
        closed,
      ),
      response: { 200: PageOf(DeviceSchema), ...problems },
    },
  },
  showDevice: {
    ...v3Routes.showDevice,
    action: 'device:show',
    schema: {
      summary: 'Show a device',
      params: Type.Object({ id: UuidSchema }, closed),
      response: { 200: DeviceSchema, ...problems },
    },
  },
} as const;

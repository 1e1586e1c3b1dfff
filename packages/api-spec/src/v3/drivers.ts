import Type, { type Static } from 'typebox';

import {
  DryRunSchema,
  IdempotencyHeaders,
  IfMatchHeaders,
  InstantSchema,
  LabelsSchema,
  Nullable,
  PageOf,
  PutHeaders,
  SlugSchema,
  closed,
  dryRunQuery,
  forceQuery,
  pageQuery,
  problems,
} from '../common.ts';
import { packageMediaTypes, v3Routes } from '../routes.ts';
import { ConformanceReportSchema, ConformanceSchema, DigestSchema } from './conformance.ts';
import { OperationSchema } from './operations.ts';

export const VersionSchema = Type.String({
  minLength: 1,
  maxLength: 64,
  pattern: '^[0-9]+\\.[0-9]+\\.[0-9]+([-+][0-9A-Za-z.+-]+)?$',
  description: 'a version, such as 1.2.3',
});
const ConfigSchema = Type.Record(Type.String({ minLength: 1, maxLength: 128 }), Type.Unknown(), {
  maxProperties: 128,
});

export const DriverVersionSchema = Type.Object({
  driver_id: Type.String(),
  version: Type.String(),
  state: Type.Union([Type.Literal('uploaded'), Type.Literal('approved')]),
  builtin: Type.Boolean(),
  /** Of the package; null for a built-in one. */
  digest: Nullable(Type.String()),
  size_bytes: Nullable(Type.Integer()),
  signature: Type.Union([
    Type.Literal('builtin'),
    Type.Literal('signed'),
    Type.Literal('unsigned'),
  ]),
  /** Fingerprint of the trusted key that has signed it. */
  signed_by: Nullable(Type.String()),
  runtime: Nullable(Type.String()),
  protocol: Nullable(Type.Object({ min: Type.Integer(), max: Type.Integer() })),
  /** What it asks for beyond the wall, and whoever approves it grants. */
  permissions: Type.Object({ network: Type.Boolean() }),
  uploaded_by: Nullable(Type.String()),
  approved_by: Nullable(Type.String()),
  /** null: nobody has uploaded a report about it. */
  conformance: Nullable(ConformanceSchema),
  created_at: InstantSchema,
  /** When it was approved, or was given its report. */
  updated_at: Nullable(InstantSchema),
});
export type DriverVersion = Static<typeof DriverVersionSchema>;

const NeedsSchema = Type.Record(Type.String(), Type.Unknown(), {
  description:
    'What a host must have: `modules`, `packages`, `hugepages`, `kernel_arguments`, as in the manifest.',
});
/** Of a driver; `backend-list` has them all. */
export const blockedShownMax = 16;

export const DriverSchema = Type.Object({
  id: Type.String(),
  title: Type.String(),
  /** Newest approved version; null when none is approved. */
  version: Nullable(Type.String()),
  installed_version: Nullable(Type.String()),
  hosts_ready: Type.Integer(),
  hosts_total: Type.Integer(),
  versions: Type.Array(DriverVersionSchema),
  /** What this server does with packages that no trusted key has signed. */
  signature_policy: Type.Union([Type.Literal('require'), Type.Literal('warn')]),
  kinds: Type.Array(
    Type.Object({
      kind: Type.String(),
      title: Type.String(),
      config_schema: Type.Record(Type.String(), Type.Unknown()),
      delegable: Type.Array(Type.String()),
      needs: Type.Optional(NeedsSchema),
    }),
  ),
  /** Of every backend of it, besides those of its kind. */
  needs: NeedsSchema,
  blocked: Type.Array(
    Type.Object({ host: Type.String(), backend: Type.String(), reason: Nullable(Type.String()) }),
    {
      maxItems: blockedShownMax,
      description: 'Backends that wait for a person, with what is to be done there.',
    },
  ),
  created_at: InstantSchema,
});
export type Driver = Static<typeof DriverSchema>;

const RolloutSchema = Type.Object(
  {
    batch: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 10_000, description: 'Hosts changed at once.' }),
    ),
    canary: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 10_000,
        description: 'So many hosts go first; the others wait until they are done.',
      }),
    ),
    canary_hosts: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 255 }), {
        minItems: 1,
        maxItems: 1000,
        description: 'Names of hosts that go before all others.',
      }),
    ),
    pause_seconds: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 604_800,
        description: 'After a batch, before the next.',
      }),
    ),
    max_failures: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 10_000,
        description: 'Hosts that may fail before nothing more is begun.',
      }),
    ),
  },
  closed,
);

export const DeploymentSchema = Type.Object({
  driver_id: Type.String(),
  version: Type.String(),
  previous_version: Nullable(Type.String()),
  rollout: RolloutSchema,
  /** `stopped`: too many hosts have failed, and nothing more is begun. */
  rollout_state: Type.Union([
    Type.Literal('running'),
    Type.Literal('paused'),
    Type.Literal('stopped'),
    Type.Literal('done'),
  ]),
  backends: Type.Array(
    Type.Object({
      name: Type.String(),
      kind: Type.String(),
      /** Host names; null with `labels`, and null with null labels: every host. */
      hosts: Nullable(Type.Array(Type.String())),
      labels: Nullable(LabelsSchema),
      config: ConfigSchema,
    }),
  ),
  installations: Type.Array(
    Type.Object({
      host: Type.String(),
      wanted_version: Type.String(),
      running_version: Nullable(Type.String()),
      state: Type.String(),
      reason: Nullable(Type.String()),
      /** The host went back from it to the version that it runs. */
      failed_version: Nullable(Type.String()),
      failed_reason: Nullable(Type.String()),
    }),
  ),
  created_at: InstantSchema,
  updated_at: Nullable(InstantSchema),
});
export type Deployment = Static<typeof DeploymentSchema>;

const BackendWishSchema = Type.Object(
  {
    name: SlugSchema,
    kind: Type.Optional(SlugSchema),
    hosts: Type.Optional(
      Type.Array(Type.String({ minLength: 1, maxLength: 255 }), { minItems: 1, maxItems: 1000 }),
    ),
    labels: Type.Optional(LabelsSchema),
    config: Type.Optional(ConfigSchema),
  },
  closed,
);

const params = Type.Object({ driver_id: Type.String({ minLength: 1, maxLength: 64 }) }, closed);

/** Bytes as they come, no JSON. */
const PackageBytesSchema = Type.Unsafe<AsyncIterable<Uint8Array>>({
  contentMediaType: packageMediaTypes[0],
});

const versionParams = Type.Object(
  { driver_id: params.properties.driver_id, version: VersionSchema },
  closed,
);

export const driverOperations = {
  listDrivers: {
    ...v3Routes.listDrivers,
    action: 'driver:list',
    schema: {
      summary: 'List drivers',
      querystring: Type.Object(pageQuery, closed),
      response: { 200: PageOf(DriverSchema), ...problems },
    },
  },
  showDriver: {
    ...v3Routes.showDriver,
    action: 'driver:show',
    schema: { summary: 'Show a driver', params, response: { 200: DriverSchema, ...problems } },
  },
  uploadDriver: {
    ...v3Routes.uploadDriver,
    action: 'driver:upload',
    schema: {
      summary: 'Upload a driver package',
      description:
        'The body is the tarball itself (`application/gzip`), up to 64 MiB; docs/reference/driver-packages.md says what is in it. ' +
        'It is read through, its signature is checked, and an admin approves it before it can be installed. ' +
        'The same package twice is a success; another content under the same version is refused (`already-exists`).',
      querystring: Type.Object(
        {
          signature: Type.Optional(
            Type.String({
              pattern: '^[A-Za-z0-9+/]{86}==$',
              description: 'an ed25519 signature in base64, as `cyborg driver-sign` writes it',
            }),
          ),
          ...dryRunQuery,
        },
        closed,
      ),
      headers: IdempotencyHeaders,
      body: PackageBytesSchema,
      response: { 200: DryRunSchema, 201: DriverVersionSchema, ...problems },
    },
  },
  approveDriverVersion: {
    ...v3Routes.approveDriverVersion,
    action: 'driver:approve',
    schema: {
      summary: 'Approve a version of a driver, so that it can be installed',
      description:
        'The digest is recorded: hosts are given no other content. With `digest`: only if it is still that one.',
      params: versionParams,
      querystring: Type.Object(dryRunQuery, closed),
      headers: IdempotencyHeaders,
      body: Type.Object({ digest: Type.Optional(DigestSchema) }, closed),
      response: { 200: DryRunSchema, 201: DriverVersionSchema, ...problems },
    },
  },
  putConformanceReport: {
    ...v3Routes.putConformanceReport,
    action: 'driver:report',
    schema: {
      summary: 'Put a conformance report on a version of a driver',
      description:
        'The body is what `cyborg driver-test PACKAGE --report FILE` wrote, up to 256 KiB, in place of the report before. ' +
        'Refused (`report-refused`) unless it is about this very package (its digest) and about all clauses. ' +
        'It is shown as what it is: a statement of whoever uploads it. The server does not try the driver.',
      params: versionParams,
      querystring: Type.Object(dryRunQuery, closed),
      headers: IfMatchHeaders,
      body: ConformanceReportSchema,
      response: { 200: Type.Union([DriverVersionSchema, DryRunSchema]), ...problems },
    },
  },
  deleteDriverVersion: {
    ...v3Routes.deleteDriverVersion,
    action: 'driver:delete',
    schema: {
      summary: 'Delete an uploaded version of a driver',
      description: 'Refused while it is installed anywhere (`in-use`).',
      params: versionParams,
      querystring: Type.Object(dryRunQuery, closed),
      headers: IfMatchHeaders,
      response: { 200: DryRunSchema, 204: Type.Null(), ...problems },
    },
  },
  showDeployment: {
    ...v3Routes.showDeployment,
    action: 'deployment:show',
    schema: {
      summary: 'Show where a driver is installed',
      params,
      response: { 200: DeploymentSchema, ...problems },
    },
  },
  installDriver: {
    ...v3Routes.installDriver,
    action: 'deployment:install',
    schema: {
      summary: 'Install a driver, or add backends to an installed one',
      description:
        'Without `backends`: the default backends on every host the caller may use. Backends that are installed already are kept; ' +
        'the same request twice is a success that says so; another version is refused (`use-update-driver`).',
      params,
      querystring: Type.Object(dryRunQuery, closed),
      headers: PutHeaders,
      body: Type.Object(
        {
          version: Type.Optional(VersionSchema),
          rollout: Type.Optional(RolloutSchema),
          /** For the default backends; each of `backends` may name its own. */
          hosts: Type.Optional(
            Type.Array(Type.String({ minLength: 1, maxLength: 255 }), {
              minItems: 1,
              maxItems: 1000,
            }),
          ),
          backends: Type.Optional(Type.Array(BackendWishSchema, { minItems: 1, maxItems: 64 })),
        },
        closed,
      ),
      response: { 200: DryRunSchema, 202: OperationSchema, ...problems },
    },
  },
  updateDriver: {
    ...v3Routes.updateDriver,
    action: 'deployment:update',
    schema: {
      summary: 'Change version, rollout or the configuration of backends',
      description:
        'Without a body field: goes to the newest approved version. `backends` merges configuration keys into the named backends; ' +
        'a key set to null returns to its default. On each host the new version starts beside the old one; only when it has found everything that is held is it taken, otherwise the host stays with the old one and the roll-out stops after `max_failures`. Refused with the list of users (`in-use`) when the new configuration ' +
        'leaves out what is held, unless an admin forces it: it stays attached, and is absent from then on.',
      params,
      querystring: Type.Object({ ...forceQuery, ...dryRunQuery }, closed),
      headers: IfMatchHeaders,
      body: Type.Object(
        {
          version: Type.Optional(VersionSchema),
          rollout: Type.Optional(RolloutSchema),
          act: Type.Optional(
            Type.Union([Type.Literal('rollback'), Type.Literal('pause'), Type.Literal('resume')], {
              description:
                'rollback: to the version before, everywhere. pause: begin nothing more. resume: go on, also after a stop, and try again where it failed.',
            }),
          ),
          backends: Type.Optional(
            Type.Array(Type.Object({ name: SlugSchema, config: ConfigSchema }, closed), {
              minItems: 1,
              maxItems: 64,
            }),
          ),
        },
        closed,
      ),
      response: { 200: DryRunSchema, 202: OperationSchema, ...problems },
    },
  },
  uninstallDriver: {
    ...v3Routes.uninstallDriver,
    action: 'deployment:uninstall',
    schema: {
      summary: 'Uninstall a driver everywhere, from hosts, or one backend of it',
      description:
        'Refused with the list of users while something is in use (`in-use`), unless an admin forces it. ' +
        'With `force` what is in use is detached and cleaned first, and each backend goes when nothing of it is held any more (until then it is `draining`); what Nova plugged is refused (`in-use`). ' +
        'With `keep_attached` (alone or with `force`) it stays attached: its accelerators are `orphaned` until the backend is installed again, which takes them up.',
      params,
      querystring: Type.Object(
        {
          host: Type.Optional(Type.Array(Type.String({ maxLength: 255 }), { maxItems: 1000 })),
          backend: Type.Optional(SlugSchema),
          ...forceQuery,
          keep_attached: Type.Optional(
            Type.Boolean({
              description:
                'Admins only: what is in use stays attached, without its driver; detached first when absent.',
            }),
          ),
          ...dryRunQuery,
        },
        closed,
      ),
      headers: IfMatchHeaders,
      response: { 200: DryRunSchema, 202: OperationSchema, ...problems },
    },
  },
} as const;

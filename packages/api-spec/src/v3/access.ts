/** Device profiles, quotas, grants, events, the caller. */
import Type, { type Static } from 'typebox';

import {
  AcceleratorTypeSchema,
  DryRunSchema,
  IdempotencyHeaders,
  IfMatchHeaders,
  InstantSchema,
  Nullable,
  PageOf,
  TextSchema,
  UuidSchema,
  closed,
  dryRunQuery,
  oneOf,
  pageQuery,
  problems,
} from '../common.ts';
import { v3Routes } from '../routes.ts';

const ProjectId = Type.String({
  minLength: 1,
  maxLength: 255,
  pattern: '^[^\\u0000-\\u001f]+$',
  description: 'the id of a project, without control characters',
});
const GroupSchema = Type.Record(
  Type.String({ minLength: 1, maxLength: 255 }),
  Type.String({ maxLength: 255 }),
  { maxProperties: 64 },
);

export const ProfileSchema = Type.Object({
  id: UuidSchema,
  name: Type.String(),
  description: Nullable(Type.String()),
  /** v2's grammar: keys `resources:CLASS`, `trait:NAME`, `accel:KEY`. */
  groups: Type.Array(Type.Record(Type.String(), Type.String())),
  created_at: InstantSchema,
  updated_at: Nullable(InstantSchema),
});
export type Profile = Static<typeof ProfileSchema>;

export const QuotaSchema = Type.Object({
  project_id: Type.String(),
  /** A type without a row is unlimited. */
  limits: Type.Array(
    Type.Object({
      type: Type.String(),
      accelerators_max: Nullable(Type.Integer()),
      accelerators_used: Type.Integer(),
    }),
  ),
});
export type Quota = Static<typeof QuotaSchema>;

export const GrantSchema = Type.Object({
  id: UuidSchema,
  project_id: Type.String(),
  host: Type.String(),
  backend: Nullable(Type.String()),
  created_by: Type.String(),
  created_at: InstantSchema,
});
export type Grant = Static<typeof GrantSchema>;

export const EventSchema = Type.Object({
  number: Type.Integer({ description: 'Rises by commit order; a cursor never skips.' }),
  at: InstantSchema,
  /** e.g. `attachment.attached`, `accelerator.withheld`, `driver.forced-uninstall`. */
  kind: Type.String(),
  subject_kind: Type.String(),
  subject_id: Type.String(),
  host: Nullable(Type.String()),
  project_id: Nullable(Type.String()),
  user_id: Nullable(Type.String()),
  data: Type.Record(Type.String(), Type.Unknown()),
});
export type Event = Static<typeof EventSchema>;

export const CallerSchema = Type.Object({
  user_id: Type.String(),
  user_name: Type.String(),
  project_id: Type.String(),
  project_name: Type.String(),
  roles: Type.Array(Type.String()),
});
export type CallerView = Static<typeof CallerSchema>;

export const SummarySchema = Type.Object({
  accelerators: Type.Array(
    Type.Object({ type: Type.String(), state: Type.String(), count: Type.Integer() }),
  ),
  hosts: Type.Object({ up: Type.Integer(), down: Type.Integer() }),
  instances_total: Type.Integer(),
  /** What needs a person, the worst first; a few of each kind. */
  attention: Type.Array(
    Type.Object({
      problem: Type.String(),
      subject_kind: Type.String(),
      subject_id: Type.String(),
      name: Type.String(),
      host: Nullable(Type.String()),
      reason: Nullable(Type.String()),
    }),
  ),
});
export type Summary = Static<typeof SummarySchema>;

const idParams = Type.Object({ id: UuidSchema }, closed);
const profileParams = Type.Object(
  { profile: Type.String({ minLength: 1, maxLength: 255 }) },
  closed,
);
const projectParams = Type.Object({ project_id: ProjectId }, closed);

export const accessOperations = {
  listProfiles: {
    ...v3Routes.listProfiles,
    action: 'profile:list',
    schema: {
      summary: 'List device profiles',
      querystring: Type.Object(pageQuery, closed),
      response: { 200: PageOf(ProfileSchema), ...problems },
    },
  },
  showProfile: {
    ...v3Routes.showProfile,
    action: 'profile:show',
    schema: {
      summary: 'Show a device profile',
      params: profileParams,
      response: { 200: ProfileSchema, ...problems },
    },
  },
  createProfile: {
    ...v3Routes.createProfile,
    action: 'profile:create',
    schema: {
      summary: 'Create a device profile',
      querystring: Type.Object(dryRunQuery, closed),
      headers: IdempotencyHeaders,
      body: Type.Object(
        {
          name: Type.String({
            minLength: 1,
            maxLength: 255,
            pattern: '^[A-Za-z0-9_-]+$',
            description: 'letters, digits, dashes and underscores',
          }),
          description: Type.Optional(TextSchema),
          groups: Type.Array(GroupSchema, { minItems: 1, maxItems: 64 }),
        },
        closed,
      ),
      response: { 200: DryRunSchema, 201: ProfileSchema, ...problems },
    },
  },
  deleteProfile: {
    ...v3Routes.deleteProfile,
    action: 'profile:delete',
    schema: {
      summary: 'Delete a device profile; refused while an attachment refers to it',
      params: profileParams,
      querystring: Type.Object(dryRunQuery, closed),
      headers: IfMatchHeaders,
      response: { 200: DryRunSchema, 204: Type.Null(), ...problems },
    },
  },
  showQuota: {
    ...v3Routes.showQuota,
    action: 'quota:show',
    schema: {
      summary: "Show a project's quota and use",
      params: projectParams,
      response: { 200: QuotaSchema, ...problems },
    },
  },
  updateQuota: {
    ...v3Routes.updateQuota,
    action: 'quota:update',
    schema: {
      summary: "Set limits of a project; null lifts a type's",
      params: projectParams,
      querystring: Type.Object(dryRunQuery, closed),
      headers: IfMatchHeaders,
      body: Type.Object(
        {
          limits: Type.Array(
            Type.Object(
              {
                type: AcceleratorTypeSchema,
                accelerators_max: Nullable(Type.Integer({ minimum: 0, maximum: 1_000_000 })),
              },
              closed,
            ),
            { minItems: 1, maxItems: 32 },
          ),
        },
        closed,
      ),
      response: { 200: Type.Union([QuotaSchema, DryRunSchema]), ...problems },
    },
  },
  listGrants: {
    ...v3Routes.listGrants,
    action: 'grant:list',
    schema: {
      summary: 'List which projects may manage which hosts and backends',
      querystring: Type.Object({ project_id: Type.Optional(ProjectId), ...pageQuery }, closed),
      response: { 200: PageOf(GrantSchema), ...problems },
    },
  },
  createGrant: {
    ...v3Routes.createGrant,
    action: 'grant:create',
    schema: {
      summary: "Grant a host, or one backend name of it, to a project's managers",
      querystring: Type.Object(dryRunQuery, closed),
      headers: IdempotencyHeaders,
      body: Type.Object(
        {
          project_id: ProjectId,
          host: Type.String({ minLength: 1, maxLength: 255 }),
          backend: Type.Optional(Type.String({ minLength: 1, maxLength: 63 })),
        },
        closed,
      ),
      response: { 200: DryRunSchema, 201: GrantSchema, ...problems },
    },
  },
  deleteGrant: {
    ...v3Routes.deleteGrant,
    action: 'grant:delete',
    schema: {
      summary: 'Take a grant back; attachments stay',
      params: idParams,
      querystring: Type.Object(dryRunQuery, closed),
      headers: IfMatchHeaders,
      response: { 200: DryRunSchema, 204: Type.Null(), ...problems },
    },
  },
  listEvents: {
    ...v3Routes.listEvents,
    action: 'event:list',
    schema: {
      summary: 'List events in order; with `Accept: text/event-stream` follow them',
      description:
        "The stream continues after `Last-Event-ID`, or after `after`, or from now on. Non-admins see their project's. Events are kept for `--event-retention` of the server; an older cursor is answered with 410 `event-number-forgotten`, never with a gap.",
      querystring: Type.Object(
        {
          after: Type.Optional(
            Type.Integer({
              minimum: 0,
              description: 'Only events with a higher number; 0 = from the oldest that is kept.',
            }),
          ),
          kind: Type.Optional(Type.String({ maxLength: 64 })),
          subject_id: Type.Optional(Type.String({ maxLength: 255 })),
          order: Type.Optional(oneOf(['oldest', 'newest'])),
          ...pageQuery,
        },
        closed,
      ),
      response: { 200: PageOf(EventSchema), ...problems },
    },
  },
  showSummary: {
    ...v3Routes.showSummary,
    action: 'accelerator:list',
    schema: {
      summary: 'The fleet at a glance, as far as the caller sees it',
      response: { 200: SummarySchema, ...problems },
    },
  },
  showCaller: {
    ...v3Routes.showCaller,
    action: null,
    schema: { summary: 'Who am I', response: { 200: CallerSchema, ...problems } },
  },
} as const;

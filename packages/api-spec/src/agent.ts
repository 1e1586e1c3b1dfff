/**
 * The agent API (/agent/v1): what a host's agent and the server say to each other. Version N; the server also speaks N-1.
 *
 * An agent holds no truth: it pulls what is wanted of its host, makes it so, and reports what it observes.
 */
import Type, { type Static, type TSchema } from 'typebox';

import { Key, LedgerRefSchema, agentLimits } from './agent/common.ts';
import { DesiredStateSchema, HeldSchema, TakenFunctionSchema } from './agent/desired.ts';
import { HypervisorReportSchema, InventoryUploadSchema, ReportSchema } from './agent/report.ts';
import { Nullable, SlugSchema, StringsSchema, UuidSchema, closed, problems } from './common.ts';
import { agentRoutes, type AgentOperationName } from './routes.ts';

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

import { operationKinds } from '@cyborg/model/operation-lifecycle';
import Type, { type Static } from 'typebox';

import {
  DryRunSchema,
  IdempotencyHeaders,
  InstantSchema,
  Nullable,
  PageOf,
  UuidSchema,
  closed,
  dryRunQuery,
  oneOf,
  pageQuery,
  problems,
} from '../common.ts';
import { v3Routes } from '../routes.ts';

const OperationStateSchema = Type.Union([
  Type.Literal('queued'),
  Type.Literal('running'),
  Type.Literal('waiting'),
  Type.Literal('succeeded'),
  Type.Literal('failed'),
  Type.Literal('cancelled'),
]);

export const OperationSchema = Type.Object({
  id: UuidSchema,
  kind: Type.String(),
  state: OperationStateSchema,
  /** What it is about, e.g. `{instance_id, attachment_ids, accelerator_ids}` or `{driver_id, version}`. */
  subject: Type.Record(Type.String(), Type.Unknown()),
  progress: Type.Object({ done: Type.Integer(), total: Type.Integer() }),
  results: Type.Array(
    Type.Object({
      host: Nullable(Type.String()),
      subject: Type.String(),
      outcome: Type.Union([
        Type.Literal('succeeded'),
        Type.Literal('failed'),
        Type.Literal('pending'),
      ]),
      message: Nullable(Type.String()),
    }),
  ),
  /** What went wrong and the way out; null unless failed. */
  error: Nullable(Type.String()),
  user_id: Type.String(),
  project_id: Type.String(),
  created_at: InstantSchema,
  updated_at: Nullable(InstantSchema),
  finished_at: Nullable(InstantSchema),
});
export type Operation = Static<typeof OperationSchema>;

const params = Type.Object({ id: UuidSchema }, closed);

export const operationOperations = {
  listOperations: {
    ...v3Routes.listOperations,
    action: 'operation:list',
    schema: {
      summary: 'List operations, newest first',
      querystring: Type.Object(
        {
          state: Type.Optional(OperationStateSchema),
          kind: Type.Optional(oneOf(operationKinds)),
          ...pageQuery,
        },
        closed,
      ),
      response: { 200: PageOf(OperationSchema), ...problems },
    },
  },
  showOperation: {
    ...v3Routes.showOperation,
    action: 'operation:show',
    schema: {
      summary: 'Show an operation; with `Accept: text/event-stream` follow it to its end',
      description:
        'The stream sends the operation as `event: operation` at once and at every change, and ends after the last.',
      params,
      response: { 200: OperationSchema, ...problems },
    },
  },
  cancelOperation: {
    ...v3Routes.cancelOperation,
    action: 'operation:cancel',
    schema: {
      summary: 'Cancel what has not begun; what has begun is unwound',
      params,
      querystring: Type.Object(dryRunQuery, closed),
      headers: IdempotencyHeaders,
      response: { 200: DryRunSchema, 202: OperationSchema, ...problems },
    },
  },
} as const;

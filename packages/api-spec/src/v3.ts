/** Every operation of the v3 API: method, path, policy action, schemas. Server, client types and OpenAPI read this. */
import type { Static, TSchema } from 'typebox';

import type { V3OperationName } from './routes.ts';
import { acceleratorOperations } from './v3/accelerators.ts';
import { accessOperations } from './v3/access.ts';
import { driverOperations } from './v3/drivers.ts';
import { fleetOperations } from './v3/fleet.ts';
import { operationOperations } from './v3/operations.ts';
import { programOperations } from './v3/programs.ts';

export const v3Operations = {
  ...driverOperations,
  ...fleetOperations,
  ...acceleratorOperations,
  ...accessOperations,
  ...operationOperations,
  ...programOperations,
} as const satisfies Record<
  V3OperationName,
  { method: string; url: string; action: string | null; schema: object }
>;

type SchemaOf<Name extends V3OperationName> = (typeof v3Operations)[Name]['schema'];
type PartOf<Schema, Part extends string> =
  Schema extends Record<Part, infer T extends TSchema> ? Static<T> : undefined;

export type V3Params<Name extends V3OperationName> = PartOf<SchemaOf<Name>, 'params'>;
export type V3Query<Name extends V3OperationName> = PartOf<SchemaOf<Name>, 'querystring'>;
export type V3Body<Name extends V3OperationName> = PartOf<SchemaOf<Name>, 'body'>;

type ResponseOf<Schema> = Schema extends { response: infer Responses }
  ? {
      [Status in keyof Responses]: Status extends 200 | 201 | 202 | 204
        ? Responses[Status] extends TSchema
          ? Static<Responses[Status]>
          : never
        : never;
    }[keyof Responses]
  : never;
/** Union of what a 2xx answer may hold. */
export type V3Result<Name extends V3OperationName> = ResponseOf<SchemaOf<Name>>;

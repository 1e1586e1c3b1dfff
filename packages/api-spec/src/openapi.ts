/** The OpenAPI 3.1 document of the v3 API, made from the operations alone. */
import { ProblemSchema, DryRunSchema } from './common.ts';
import { v3Operations } from './v3.ts';
import {
  AcceleratorSchema,
  AttachmentSchema,
  InstanceSchema,
  UnclaimedSchema,
} from './v3/accelerators.ts';
import { CallerSchema, EventSchema, GrantSchema, ProfileSchema, QuotaSchema } from './v3/access.ts';
import { DeploymentSchema, DriverSchema, DriverVersionSchema } from './v3/drivers.ts';
import {
  BackendDetailSchema,
  BackendSchema,
  DeviceSchema,
  HostSchema,
  JoinTokenSchema,
  ServiceSchema,
} from './v3/fleet.ts';
import { OperationSchema } from './v3/operations.ts';
import { ProgramUploadSchema } from './v3/programs.ts';

/** Schemas that get a name of their own in the document. */
const named = {
  Accelerator: AcceleratorSchema,
  Attachment: AttachmentSchema,
  Backend: BackendSchema,
  BackendDetail: BackendDetailSchema,
  Caller: CallerSchema,
  Deployment: DeploymentSchema,
  Device: DeviceSchema,
  Driver: DriverSchema,
  DriverVersion: DriverVersionSchema,
  DryRun: DryRunSchema,
  Event: EventSchema,
  Grant: GrantSchema,
  Host: HostSchema,
  Instance: InstanceSchema,
  JoinToken: JoinTokenSchema,
  Operation: OperationSchema,
  Problem: ProblemSchema,
  Profile: ProfileSchema,
  ProgramUpload: ProgramUploadSchema,
  Quota: QuotaSchema,
  Service: ServiceSchema,
  Unclaimed: UnclaimedSchema,
} as const;

export interface OpenApiOperation {
  readonly operationId: string;
  readonly summary: string;
  readonly description?: string;
  readonly tags: readonly string[];
  readonly parameters?: readonly object[];
  readonly requestBody?: object;
  readonly responses: Readonly<Record<string, object>>;
  /** Action of the policy table; null: whoever is known. */
  readonly 'x-policy-action': string | null;
}

export interface OpenApiDocument {
  readonly openapi: '3.1.0';
  readonly info: { readonly title: string; readonly version: string; readonly description: string };
  readonly servers: readonly object[];
  readonly security: readonly object[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, OpenApiOperation>>>>;
  readonly components: {
    readonly securitySchemes: object;
    readonly schemas: Readonly<Record<string, object>>;
  };
}

interface OperationSource {
  readonly method: string;
  readonly url: string;
  readonly action: string | null;
  readonly schema: SchemaSource;
}

interface SchemaSource {
  readonly summary: string;
  readonly description?: string;
  readonly params?: object;
  readonly querystring?: object;
  readonly headers?: object;
  readonly body?: object;
  readonly response: object;
}

/** Operations that also answer a stream of events. */
const streamed: ReadonlySet<string> = new Set(['showOperation', 'listEvents']);

export function makeOpenApi(): OpenApiDocument {
  const sources: Readonly<Record<string, OperationSource>> = v3Operations;
  const paths: Record<string, Record<string, OpenApiOperation>> = {};
  for (const [name, source] of Object.entries(sources)) {
    const path = source.url.replaceAll(/:([a-z_]+)/g, '{$1}');
    paths[path] = { ...paths[path], [source.method.toLowerCase()]: toOperation(name, source) };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Cyborg v3 API',
      version: '3',
      description:
        'Accelerators of a fleet: drivers, hosts, backends, services, devices, accelerators, instances and who holds what.',
    },
    servers: [{ url: '/' }],
    security: [{ basic: [] }],
    paths,
    components: {
      securitySchemes: { basic: { type: 'http', scheme: 'basic' } },
      schemas: Object.fromEntries(
        Object.entries(named).map(([name, schema]) => [name, asObject(toPlain(schema, schema))]),
      ),
    },
  };
}

function toOperation(name: string, { url, action, schema }: OperationSource): OpenApiOperation {
  const parameters = [
    ...parametersOf(schema.params, 'path'),
    ...parametersOf(schema.querystring, 'query'),
    ...parametersOf(schema.headers, 'header'),
  ];
  return {
    operationId: name,
    summary: schema.summary,
    ...(schema.description === undefined ? {} : { description: schema.description }),
    tags: [url.split('/')[2] ?? ''],
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(schema.body === undefined ? {} : { requestBody: bodyOf(schema.body) }),
    responses: responsesOf(schema.response, streamed.has(name)),
    'x-policy-action': action,
  };
}

function bodyOf(schema: object): object {
  if ('contentMediaType' in schema) {
    return { required: true, content: { [String(schema.contentMediaType)]: {} } };
  }
  const isRequired = 'required' in schema;
  return { required: isRequired, content: { 'application/json': { schema: toPlain(schema) } } };
}

function parametersOf(schema: object | undefined, place: string): object[] {
  const properties = schema !== undefined && 'properties' in schema ? schema.properties : {};
  const required = schema !== undefined && 'required' in schema ? schema.required : [];
  return Object.entries(properties ?? {}).map(([name, value]) => {
    const { description, ...rest }: Record<string, unknown> = { ...asObject(toPlain(value)) };
    return {
      name,
      in: place,
      required: place === 'path' || (Array.isArray(required) && required.includes(name)),
      ...(description === undefined ? {} : { description }),
      schema: rest,
    };
  });
}

const statusTexts: Readonly<Record<string, string>> = {
  200: 'Done',
  201: 'Created',
  202: 'Begun: follow the operation',
  204: 'Done; there is nothing to say',
  '4xx': 'Refused',
  '5xx': 'Failed',
};

function responsesOf(responses: object, isStreamed: boolean): Record<string, object> {
  return Object.fromEntries(
    Object.entries(responses).map(([status, schema]) => {
      const isProblem = status.endsWith('xx');
      const type = isProblem ? 'application/problem+json' : 'application/json';
      const stream = isStreamed && !isProblem ? { 'text/event-stream': {} } : {};
      const content = { [type]: { schema: toPlain(schema) }, ...stream };
      const description = statusTexts[status] ?? status;
      return [status.toUpperCase(), status === '204' ? { description } : { description, content }];
    }),
  );
}

/** Plain JSON of a schema; a named one that is met inside becomes a reference. */
function toPlain(schema: unknown, root?: object): unknown {
  if (typeof schema !== 'object' || schema === null) return schema;
  if (Array.isArray(schema)) return schema.map((part) => toPlain(part, root));
  const name = schema === root ? undefined : nameOf(schema);
  if (name !== undefined) return { $ref: `#/components/schemas/${name}` };
  return Object.fromEntries(
    Object.entries(schema).map(([key, value]) => [key, toPlain(value, root)]),
  );
}

function nameOf(schema: object): string | undefined {
  return Object.entries(named).find(([, known]) => known === schema)?.[0];
}

function asObject(value: unknown): object {
  return typeof value === 'object' && value !== null ? value : {};
}

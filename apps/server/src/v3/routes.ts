/** Every operation of the v3 API as a route: who may, what it takes, what it answers. No route has code of its own. */
import { Readable } from 'node:stream';

import { conformanceReportBytesMax, packageMediaTypes } from '@cyborg/api-spec/routes';
import type { V3OperationName } from '@cyborg/api-spec/routes';
import { v3Operations } from '@cyborg/api-spec/v3';
import { etagOfView } from '@cyborg/conductor/etag';
import type { Handler, Input } from '@cyborg/conductor/handler';
import { packageLimits } from '@cyborg/driver-package/limits';
import type { Caller } from '@cyborg/model/caller';
import { ServiceError } from '@cyborg/model/errors';
import { isAllowed } from '@cyborg/model/policy';
import type { Action } from '@cyborg/model/policy';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

import { consoleChallenge } from '../console/routes.ts';
import { consoleHeader } from '../console/sessions.ts';
import type { Sessions } from '../console/sessions.ts';
import type { HttpDeps } from '../http/deps.ts';
import { makeEventStreams } from '../http/event-stream.ts';
import type { EventStreams } from '../http/event-stream.ts';
import { prefers } from '../http/prefers.ts';
import { followEvents, followOperation } from './follow.ts';
import type { Follow } from './follow.ts';

export interface V3Deps extends HttpDeps {
  readonly sessions: Sessions;
  readonly closing: AbortSignal;
}

interface OperationSpec {
  readonly method: string;
  readonly url: string;
  readonly action: Action | null;
  readonly schema: object;
}

/** Input was checked against the schema from which the handler has its types: the one place that joins the two. */
type AnyHandler = Handler<Input<unknown, unknown, unknown>, unknown>;

export function registerV3(app: FastifyInstance, deps: V3Deps): void {
  const streams = makeEventStreams(deps);
  let name: V3OperationName;
  for (name in v3Operations) {
    const given = { name, streams };
    if (!takesBytes(v3Operations[name])) registerOperation(app, deps, given);
    else app.register(async (scope) => registerUpload(scope, deps, given));
  }
}

/** A scope of its own: nowhere else is anything but JSON read. Its handler reads the body as it comes. */
function registerUpload(
  scope: FastifyInstance,
  deps: V3Deps,
  given: { name: V3OperationName; streams: EventStreams },
): void {
  scope.removeAllContentTypeParsers();
  scope.addContentTypeParser(
    [...packageMediaTypes],
    { bodyLimit: bytesMaxOf(given.name, deps) },
    (_request, body, done) => done(null, body),
  );
  registerOperation(scope, deps, given);
}

function bytesMaxOf(name: V3OperationName, { conductor }: V3Deps): number {
  const { programImageBytesMax } = conductor.limits;
  return name === 'uploadProgram' ? programImageBytesMax : packageLimits.tarballBytesMax;
}

function takesBytes({ schema }: OperationSpec): boolean {
  return (
    'body' in schema &&
    typeof schema.body === 'object' &&
    schema.body !== null &&
    'contentMediaType' in schema.body
  );
}

/** What may not be as large as other requests, or may be larger. */
const bodyLimits: Partial<Record<V3OperationName, number>> = {
  putConformanceReport: conformanceReportBytesMax,
};

/** For operations that take no query or body: a `dry_run` that one does not know must not be carried out. */
const nothing = { type: 'object', additionalProperties: false } as const;

function registerOperation(
  app: FastifyInstance,
  deps: V3Deps,
  { name, streams }: { name: V3OperationName; streams: EventStreams },
): void {
  const operation: OperationSpec = v3Operations[name];
  const handle = deps.v3[name] as AnyHandler;
  const follow = follows[name];
  const status = successStatus(operation.schema);
  const bodyLimit = bodyLimits[name];
  app.route({
    method: operation.method,
    url: operation.url,
    ...(bodyLimit === undefined ? {} : { bodyLimit }),
    // The answer's schema is the conductor's promise, kept by tests: checking it here would only cost time.
    schema: { querystring: nothing, ...bodyOf(operation), ...checkedOf(operation), response: {} },
    onRequest: async (request, reply) => admit(deps, operation, { request, reply }),
    handler: async (request, reply) => {
      const caller = callerOf(request);
      const input = takesBytes(operation) ? withBytes(request) : toInput(request);
      if (follow !== undefined && prefers(request, 'text/event-stream')) {
        const authenticate = (): Promise<Caller | undefined> => identify(deps, request);
        const lastEventId = [request.headers['last-event-id']].flat()[0];
        const following = { caller, input, lastEventId };
        await handle(caller, follow.asked(following));
        const events = await follow.begin(deps.conductor, following);
        return streams.open({ request, reply, authenticate }, events);
      }
      return answer(reply, { status, view: await handle(caller, input) });
    },
  });
}

function bodyOf(operation: OperationSpec): { readonly body?: object } {
  return operation.method === 'GET' || takesBytes(operation) ? {} : { body: nothing };
}

/** Bytes have no schema that they could be checked against. */
function checkedOf(operation: OperationSpec): object {
  if (!takesBytes(operation)) return operation.schema;
  return Object.fromEntries(Object.entries(operation.schema).filter(([part]) => part !== 'body'));
}

const follows: Partial<Record<V3OperationName, Follow>> = {
  showOperation: followOperation,
  listEvents: followEvents,
};

const callers = new WeakMap<FastifyRequest, Caller>();

function callerOf(request: FastifyRequest): Caller {
  const caller = callers.get(request);
  if (caller === undefined) throw new TypeError('A request reached its handler without a caller.');
  return caller;
}

/** Who asks and whether the role may, before anything of the request is read. */
async function admit(
  deps: V3Deps,
  { action }: OperationSpec,
  { request, reply }: { request: FastifyRequest; reply: FastifyReply },
): Promise<void> {
  const caller = await identify(deps, request);
  if (caller === undefined) {
    const { challenge, advice } = deps.authenticator;
    const isConsole = request.headers[consoleHeader] !== undefined;
    reply.header('www-authenticate', isConsole ? consoleChallenge : challenge);
    throw new ServiceError('not-authenticated', `Credentials are missing or wrong. ${advice}`);
  }
  if (action !== null && !isAllowed(caller, action)) {
    const roles = [...caller.roles].join(', ');
    throw new ServiceError(
      'forbidden',
      `${action} is not allowed for ${caller.userName} (${roles}); ask an administrator.`,
    );
  }
  callers.set(request, caller);
}

function identify({ sessions }: V3Deps, request: FastifyRequest): Promise<Caller | undefined> {
  return sessions.identify(request);
}

function toInput({
  params,
  query,
  body,
  headers,
}: FastifyRequest): Input<unknown, unknown, unknown> {
  const idempotencyKey = headers['idempotency-key'];
  return {
    params,
    query,
    body,
    ...(typeof idempotencyKey === 'string' ? { idempotencyKey } : {}),
    ...(headers['if-match'] === undefined ? {} : { ifMatch: headers['if-match'] }),
  };
}

/** The one 2xx of the schema that is not the answer of a dry run. */
function successStatus(schema: object): number {
  const response = 'response' in schema ? Object.keys(schema.response ?? {}) : [];
  return [201, 202, 204].find((status) => response.includes(String(status))) ?? 200;
}

/** What is not read of them stays readable: the answer says why, and the rest is thrown away. */
function withBytes(request: FastifyRequest): Input<unknown, unknown, unknown> {
  const { body } = request;
  if (body instanceof Readable) {
    return { ...toInput(request), body: body.iterator({ destroyOnReturn: false }) };
  }
  throw new ServiceError(
    'unsupported-media-type',
    `Send the bytes themselves as the body, as Content-Type: ${packageMediaTypes[0]}.`,
  );
}

interface Outcome {
  readonly status: number;
  readonly view: unknown;
}

function answer(reply: FastifyReply, { status, view }: Outcome): FastifyReply {
  if (isDryRun(view)) return reply.code(200).send(view);
  if (status === 204) return reply.code(204).send();
  const etag = etagOfView(view);
  if (etag !== undefined) reply.header('etag', etag);
  // Instants become ISO strings in UTC with milliseconds, as JSON writes a Date.
  return reply.code(status).send(view);
}

function isDryRun(view: unknown): boolean {
  return typeof view === 'object' && view !== null && 'dry_run' in view && view.dry_run === true;
}

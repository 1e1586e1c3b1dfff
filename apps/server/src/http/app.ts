/** The HTTP application: limits, request ids, problems, routes. Listening is listen.ts's. */
import { Readable } from 'node:stream';

import { ServiceError } from '@cyborg/model/errors';
import fastify from 'fastify';
import type {
  FastifyInstance,
  FastifyReply,
  FastifyRequest,
  FastifyServerFactory,
  FastifyServerOptions,
} from 'fastify';

import { registerAgentApi } from '../agent-api/routes.ts';
import { registerConsole } from '../console/routes.ts';
import { makeSessions } from '../console/sessions.ts';
import { toAnswer } from '../problem.ts';
import { isV2Url, toV2Url } from '../v2/paths.ts';
import { registerV2, sendV2Failure } from '../v2/register.ts';
import { registerV3 } from '../v3/routes.ts';
import { refuseBrokenRequest } from './broken-request.ts';
import type { HttpDeps } from './deps.ts';
import { registerDiscovery } from './discovery.ts';
import { registerHttpMetrics } from '../metrics/http-metrics.ts';
import { registerHttpTraces } from './http-traces.ts';
import { takeJsonBodies } from './json-body.ts';
import { registerOperating } from './operating.ts';
import { readToEnd } from './read-to-end.ts';
import { checkText, makeValidators, toInvalidInput } from './validation.ts';

export const httpLimits = {
  pathParameterCharsMax: 512,
  requestTimeoutMs: 60_000,
  keepAliveTimeoutMs: 72_000,
} as const;

export function makeHttpApp(deps: HttpDeps, serverFactory?: FastifyServerFactory): FastifyInstance {
  const options: FastifyServerOptions = {
    logger: false,
    bodyLimit: deps.bodyLimitBytes,
    requestTimeout: httpLimits.requestTimeoutMs,
    keepAliveTimeout: httpLimits.keepAliveTimeoutMs,
    trustProxy: deps.isBehindProxy ? (_address, hop) => hop === 0 : false,
    genReqId: ({ headers }) => requestId(headers['x-request-id'], deps),
    requestIdHeader: false,
    rewriteUrl: ({ url = '/' }) => (deps.servesApi ? toV2Url(url) : url),
    routerOptions: { maxParamLength: httpLimits.pathParameterCharsMax },
    frameworkErrors: (error, request, reply) =>
      isV2Url(request.url)
        ? void sendV2Failure(deps, { error, request, reply })
        : sendProblem(deps, { error, request, reply }),
    clientErrorHandler: (error, socket) => refuseBrokenRequest(error, socket, deps.rng),
    ...(serverFactory === undefined ? {} : { serverFactory }),
  };
  const app = fastify(options);
  registerHttpTraces(app);
  // Long polls and streams listen to it: an onClose hook would come too late for them.
  const closing = new AbortController();
  app.addHook('preClose', (done) => {
    closing.abort(new Error('the server is stopping'));
    done();
  });
  takeJsonBodies(app);
  useValidation(app);
  useProblems(app, deps);
  useRequestChecks(app);
  app.addHook('onSend', async (_request, reply) => {
    // A connection that stays open would keep the server from stopping.
    if (closing.signal.aborted) reply.header('connection', 'close');
  });
  registerHttpMetrics(app, deps);
  registerOperating(app, deps);
  if (deps.servesApi) {
    registerDiscovery(app, deps);
    registerV2(app, { ...deps, closing: closing.signal });
    const sessions = makeSessions(deps);
    registerV3(app, { ...deps, sessions, closing: closing.signal });
    registerConsole(app, { ...deps, sessions });
    registerAgentApi(app, { ...deps, closing: closing.signal });
  }
  return app;
}

const givenIdPattern = /^[A-Za-z0-9._-]{1,64}$/;

function requestId(given: string | string[] | undefined, { rng }: Pick<HttpDeps, 'rng'>): string {
  return typeof given === 'string' && givenIdPattern.test(given) ? given : `req-${rng.uuid()}`;
}

function useValidation(app: FastifyInstance): void {
  const validators = makeValidators();
  app.setValidatorCompiler<object>(({ schema, httpPart }) => validators.compile(schema, httpPart));
  app.setSchemaErrorFormatter((errors, part) => {
    const found = errors.flatMap((error) => ('schemaPath' in error ? [error] : []));
    return toInvalidInput(found, part);
  });
}

interface Failure {
  readonly error: unknown;
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
}

function useProblems(app: FastifyInstance, deps: HttpDeps): void {
  const methodsOf = watchRoutes(app);
  app.setErrorHandler(async (error, request, reply) => {
    await readToEnd(request, deps);
    return sendProblem(deps, { error, request, reply });
  });
  app.setNotFoundHandler((request, reply) => {
    const allowed = methodsOf(pathOf(request));
    if (allowed.length === 0) {
      const error = new ServiceError(
        'no-such-route',
        `There is no ${request.method} ${pathOf(request)}.`,
      );
      return sendProblem(deps, { error, request, reply });
    }
    reply.header('allow', allowed.join(', '));
    const error = new ServiceError(
      'method-not-allowed',
      `${pathOf(request)} does not know ${request.method}; it knows ${allowed.join(', ')}.`,
    );
    return sendProblem(deps, { error, request, reply });
  });
}

/** Which methods a path knows, for the answer to another one. */
function watchRoutes(app: FastifyInstance): (path: string) => string[] {
  const routes: { readonly methods: readonly string[]; readonly pattern: RegExp }[] = [];
  app.addHook('onRoute', ({ method, url }) => {
    const pattern = new RegExp(`^${url.replaceAll(/:[a-z_]+/g, '[^/]+').replaceAll('*', '.*')}/?$`);
    routes.push({ methods: [method].flat(), pattern });
  });
  return (path) => {
    const found = routes.filter(({ pattern }) => pattern.test(path));
    return [...new Set(found.flatMap((route) => route.methods))];
  };
}

function pathOf({ url }: FastifyRequest): string {
  return (url.split('?', 1)[0] ?? url).slice(0, 200);
}

function sendProblem(deps: HttpDeps, { error, request, reply }: Failure): void {
  const { problem, headers, logged } = toAnswer(error, request.id);
  if (logged !== undefined) {
    const fields = {
      err: logged.error,
      requestId: request.id,
      method: request.method,
      url: request.url,
    };
    deps.log[logged.level](fields, 'a request failed');
  }
  reply
    .code(problem.status)
    .headers({ ...headers, 'x-request-id': request.id })
    .type('application/problem+json')
    .send(problem);
}

const changing = new Set(['POST', 'PUT', 'PATCH', 'DELETE']);

function useRequestChecks(app: FastifyInstance): void {
  app.addHook('onRequest', async (request, reply) => {
    reply.headers({
      'x-request-id': request.id,
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-store',
    });
    refuseForeignPage(request);
  });
  app.addHook('preValidation', async (request) => {
    // What may be left out altogether is an empty object to the schema.
    if (request.body === undefined && request.routeOptions.schema?.body !== undefined) {
      request.body = {};
    }
    checkText(request.params, 'params');
    checkText(request.query, 'query');
    if (!(request.body instanceof Readable)) checkText(request.body, 'body');
  });
}

/** A browser sends our credentials along with what another site's page asks for; it says so, too. */
function refuseForeignPage({ method, headers }: FastifyRequest): void {
  const site = headers['sec-fetch-site'];
  const isForeign = site === 'cross-site' || site === 'same-site';
  if (isForeign && changing.has(method)) {
    throw new ServiceError('forbidden', 'Pages of other sites may not change anything here.');
  }
}

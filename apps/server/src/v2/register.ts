/**
 * The v2 API as a scope of its own: its errors, bodies and headers are upstream's. Order of checks as there: who asks,
 * the microversion, the route, the policy, the arguments.
 */
import type { Caller } from '@cyborg/model/caller';
import { negotiate, v2Versions } from '@cyborg/model/v2/microversion';
import { accessDenied } from '@cyborg/model/v2/fault';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

import { baseUrl } from '../http/base-url.ts';
import type { HttpDeps } from '../http/deps.ts';
import { readToEnd } from '../http/read-to-end.ts';
import { checkText } from '../http/validation.ts';
import { acceptsJson, parseBody, parseQuery } from './arguments.ts';
import { RoutingRefusal, toV2Answer } from './errors.ts';
import { isStreamed } from './route.ts';
import type { V2Route } from './route.ts';
import { v2Routes } from './routes.ts';
import { openListStream } from './stream-list.ts';
import { webobText } from './webob.ts';
import { statusOfWrongWay } from './wrong-way.ts';

export interface V2Deps extends HttpDeps {
  readonly closing: AbortSignal;
}

const prefix = '/v2';
const openIdPattern = /^req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** What the checks found out. */
interface Admitted {
  readonly caller: Caller;
  readonly minor: number;
}

export function registerV2(app: FastifyInstance, deps: V2Deps): void {
  const routes = v2Routes(deps.v2);
  app.register(
    async (scope) => {
      takeAnyBody(scope);
      scope.setErrorHandler((error, request, reply) =>
        sendV2Failure(deps, { error, request, reply }),
      );
      scope.setNotFoundHandler((request) => {
        const path = pathOf(request).slice(prefix.length);
        throw new RoutingRefusal(statusOfWrongWay(request.method, path));
      });
      scope.addHook('onRequest', (request, reply) => admit(deps, { request, reply }));
      for (const route of routes) addRoute(scope, deps, route);
    },
    { prefix },
  );
}

/** The type of a body is judged after the policy, and then in upstream's words. */
function takeAnyBody(scope: FastifyInstance): void {
  scope.removeAllContentTypeParsers();
  scope.addContentTypeParser('*', { parseAs: 'string' }, (_request, body, done) => {
    done(null, body);
  });
}

const admitted = new WeakMap<FastifyRequest, Admitted>();

function addRoute(scope: FastifyInstance, deps: V2Deps, route: V2Route): void {
  scope.route({
    method: route.method,
    url: route.path,
    exposeHeadRoute: false,
    onRequest: async (request) => {
      if (route.rule === null) return;
      if (!deps.v2Policy.isAllowed(callerOf(request), route.rule)) throw accessDenied(route.rule);
    },
    handler: (request, reply) => answer(deps, route, { request, reply }),
  });
}

interface Exchange {
  readonly request: FastifyRequest;
  readonly reply: FastifyReply;
}

async function answer(
  deps: V2Deps,
  route: V2Route,
  { request, reply }: Exchange,
): Promise<FastifyReply> {
  const query = parseQuery(searchOf(request), route);
  const text = typeof request.body === 'string' ? request.body : '';
  const body = parseBody(text, request.headers['content-type'], route);
  checkText(body, 'body');
  const gone = new AbortController();
  reply.raw.once('close', () => gone.abort());
  const { caller, minor } = admitted.get(request) ?? nobody;
  const view = await route.handle({
    caller,
    params: textParams(request.params),
    query,
    body,
    minor,
    base: baseUrl(deps, request),
    requestId: request.id,
    signal: AbortSignal.any([gone.signal, deps.closing]),
  });
  if (view === undefined || route.success === 202 || route.success === 204) {
    return route.success === 202
      ? reply.code(202).header('content-length', '0').send()
      : reply.code(route.success).send();
  }
  reply.code(route.success);
  return isStreamed(view)
    ? reply.type(jsonType).send(await openListStream(view))
    : sendJson(reply, view);
}

const jsonType = 'application/json';

/** As bytes: to a text Fastify adds a charset, which upstream does not send. */
function sendJson(reply: FastifyReply, value: object): FastifyReply {
  return reply.type(jsonType).send(Buffer.from(JSON.stringify(value)));
}

/** For the routes that need no credentials. */
const nobody: Admitted = {
  caller: {
    userId: '',
    userName: '',
    projectId: '',
    projectName: '',
    roles: new Set(),
    isServiceRequest: false,
  },
  minor: 0,
};

async function admit(
  deps: V2Deps,
  { request, reply }: Exchange,
): Promise<FastifyReply | undefined> {
  const id = openIdPattern.test(request.id) ? request.id : `req-${deps.rng.uuid()}`;
  reply.header('x-openstack-request-id', id);
  if (request.method === 'OPTIONS') return reply.code(200).header('content-length', '0').send();
  const caller = pathOf(request) === prefix ? nobody.caller : await identify(deps, request);
  if (caller === undefined) return askForCredentials(deps, reply);
  const minor = useVersion({ request, reply });
  if (!acceptsJson(request.headers.accept)) throw new RoutingRefusal(406);
  admitted.set(request, { caller, minor });
  return undefined;
}

function identify({ authenticator }: V2Deps, request: FastifyRequest): Promise<Caller | undefined> {
  return authenticator.authenticate({ headers: request.headers, address: request.ip });
}

/** keystonemiddleware's answer, which is not in the wrapper of the others. */
function askForCredentials({ authenticator }: V2Deps, reply: FastifyReply): FastifyReply {
  return sendJson(reply.code(401).header('www-authenticate', authenticator.challenge), {
    error: {
      code: 401,
      title: 'Unauthorized',
      message: 'The request you have made requires authentication.',
    },
  });
}

function useVersion({ request, reply }: Exchange): number {
  const given = [request.headers['openstack-api-version']].flat();
  const negotiated = negotiate(given[0] === undefined ? undefined : given.join(','));
  if (negotiated.kind !== 'malformed') {
    reply.headers({
      vary: 'OpenStack-API-Version',
      'openstack-api-minimum-version': `2.${v2Versions.min}`,
      'openstack-api-maximum-version': `2.${v2Versions.max}`,
    });
  }
  if (negotiated.kind !== 'version') throw new RoutingRefusal(406, negotiated.message);
  reply.header('openstack-api-version', `accelerator 2.${negotiated.minor}`);
  return negotiated.minor;
}

/** Also for what fails before a route is looked for: a broken URL. */
export async function sendV2Failure(
  deps: HttpDeps,
  { error, request, reply }: Exchange & { readonly error: unknown },
): Promise<FastifyReply> {
  await readToEnd(request, deps);
  if (error instanceof RoutingRefusal) {
    const refusal = { status: error.status, method: request.method, detail: error.message };
    const text = webobText(refusal, request.headers.accept);
    return sendJson(reply.code(error.status), { error_message: text });
  }
  const { status, body, headers, logged } = toV2Answer(error, request.id);
  if (logged !== undefined) {
    const fields = { err: logged.error, requestId: request.id, url: request.url };
    deps.log[logged.level](fields, 'a v2 request failed');
  }
  return sendJson(reply.code(status).headers(headers), body);
}

function callerOf(request: FastifyRequest): Caller {
  const found = admitted.get(request);
  if (found === undefined) throw new TypeError('A v2 request reached its route unchecked.');
  return found.caller;
}

function pathOf({ url }: FastifyRequest): string {
  return url.split('?', 1)[0] ?? url;
}

function searchOf({ url }: FastifyRequest): string {
  const at = url.indexOf('?');
  return at < 0 ? '' : url.slice(at + 1);
}

function textParams(params: unknown): Record<string, string> {
  if (typeof params !== 'object' || params === null) return {};
  return Object.fromEntries(Object.entries(params).map(([name, value]) => [name, String(value)]));
}

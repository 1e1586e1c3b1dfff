/** `/console/`: the page, its files, and its sessions. */
import { SignInSchema, type ConsoleSession, type SignIn } from '@cyborg/api-spec/console';
import { consoleRoutes } from '@cyborg/api-spec/routes';
import { makeCallerHandlers } from '@cyborg/conductor/caller/handlers';
import type { Caller } from '@cyborg/model/caller';
import { ServiceError } from '@cyborg/model/errors';
import { lastEventNumber } from '@cyborg/store/events';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

import type { HttpDeps } from '../http/deps.ts';
import { pageHeaders, noConsolePage } from '../http/pages.ts';
import { serverVersion } from '../version.ts';
import { makeAssets, type Asset } from './assets.ts';
import { refuseForeignChange, type Sessions } from './sessions.ts';

export interface ConsoleDeps extends HttpDeps {
  readonly sessions: Sessions;
}

export function registerConsole(app: FastifyInstance, deps: ConsoleDeps): void {
  registerSessions(app, deps);
  registerPage(app, deps);
}

function registerSessions(app: FastifyInstance, deps: ConsoleDeps): void {
  const { sessions } = deps;
  app.route({
    ...consoleRoutes.showSession,
    handler: async (request) => showSession(deps, await sessions.identify(request)),
  });
  app.route<{ Body: SignIn }>({
    ...consoleRoutes.signIn,
    schema: { body: SignInSchema },
    onRequest: async (request) => refuseForeignChange(request),
    handler: async (request, reply) => {
      const caller = await sessions.begin(request.body, { request, reply });
      if (caller !== undefined) return showSession(deps, caller);
      reply.header('www-authenticate', consoleChallenge);
      throw new ServiceError(
        'not-authenticated',
        'Name or password is wrong, or there is no such project. Check them and try again.',
      );
    },
  });
  app.route({
    ...consoleRoutes.renew,
    onRequest: async (request) => refuseForeignChange(request),
    handler: async (request, reply) => {
      if (await sessions.renew({ request, reply })) return reply.code(204).send();
      reply.header('www-authenticate', consoleChallenge);
      throw new ServiceError('not-authenticated', 'The session is over: sign in again.');
    },
  });
  app.route({
    ...consoleRoutes.signOut,
    onRequest: async (request) => refuseForeignChange(request),
    handler: async (request, reply) => {
      sessions.end({ request, reply });
      return reply.code(204).send();
    },
  });
}

/** Of a scheme that browsers do not know: at `Basic` they would ask for a password themselves. */
export const consoleChallenge = 'Cyborg-Console';

const { showCaller } = makeCallerHandlers();

async function showSession(
  { authenticator, conductor, consoleIdleSeconds }: ConsoleDeps,
  caller: Caller | undefined,
): Promise<ConsoleSession> {
  const input = { params: {}, query: {}, body: undefined };
  const view = caller === undefined ? null : await showCaller(caller, input);
  return {
    auth: authenticator.signIns?.kind ?? 'none',
    caller: view === null ? null : { ...view, roles: [...view.roles] },
    idle_seconds: authenticator.signIns === undefined ? null : consoleIdleSeconds,
    newest_event: caller === undefined ? 0 : await lastEventNumber(conductor.db),
    version: serverVersion,
  };
}

const contentSecurityPolicy =
  "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; object-src 'none'; " +
  "base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

const consolePageHeaders = {
  'content-security-policy': contentSecurityPolicy,
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
} as const;

/** Their names change with what is in them. */
const forEver = 'public, max-age=31536000, immutable';

function registerPage(app: FastifyInstance, deps: ConsoleDeps): void {
  const assets = makeAssets(deps.consoleDir);
  app.get('/console', (_request, reply) => reply.redirect('/console/', 302));
  app.get<{ Params: { '*': string } }>('/console/assets/*', async (request, reply) => {
    const asset = await assets.read(`assets/${request.params['*']}`);
    if (asset !== undefined) {
      reply.header('cache-control', forEver);
      return send(asset, { request, reply });
    }
    throw new ServiceError(
      'no-such-route',
      'The console has no such file (any more): load the page again.',
    );
  });
  // Every other path is the page's own to understand.
  app.get('/console/*', async (request, reply) => {
    const index = await assets.read('index.html');
    if (index === undefined) return reply.headers(pageHeaders).send(noConsolePage);
    reply.headers({ ...consolePageHeaders, 'cache-control': 'no-cache' });
    return send(index, { request, reply });
  });
}

function send(
  asset: Asset,
  { request, reply }: { request: FastifyRequest; reply: FastifyReply },
): FastifyReply {
  reply.type(asset.type).header('etag', asset.etag);
  if (asset.packed !== undefined) reply.header('vary', 'accept-encoding');
  if (request.headers['if-none-match'] === asset.etag) return reply.code(304).send();
  const takesGzip = /\bgzip\b/.test(request.headers['accept-encoding'] ?? '');
  if (asset.packed === undefined || !takesGzip) return reply.send(asset.content);
  return reply.header('content-encoding', 'gzip').send(asset.packed);
}

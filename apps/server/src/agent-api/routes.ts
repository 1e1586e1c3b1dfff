/** The agent API as routes: an agent acts for its own host alone, known by its credential. */
import { Readable } from 'node:stream';

import { agentLimits } from '@cyborg/api-spec/agent/common';
import { agentOperations } from '@cyborg/api-spec/agent';
import { agentImageUrl, agentPackageUrl, type AgentOperationName } from '@cyborg/api-spec/routes';
import type { AgentHost } from '@cyborg/conductor/agents/credentials';
import type { AgentInput } from '@cyborg/conductor/agents/handlers';
import type { OrderedBytes } from '@cyborg/conductor/programs/ordered-image';
import { digestFromHex } from '@cyborg/driver-package/digest';
import { ServiceError } from '@cyborg/model/errors';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';

import type { HttpDeps } from '../http/deps.ts';

interface AgentDeps extends HttpDeps {
  readonly closing: AbortSignal;
}

/** Input was checked against the schema from which the handler has its types: the one place that joins the two. */
type AnyHandler = (
  host: AgentHost | null,
  input: AgentInput<unknown, unknown, unknown>,
) => Promise<unknown>;

const reportBytesMax = 8 * 1024 * 1024;

/** What may be larger than a user's request. */
const bodyLimits: Partial<Record<AgentOperationName, number>> = {
  putInventory: agentLimits.inventoryBytesMax,
  report: reportBytesMax,
};

export function registerAgentApi(app: FastifyInstance, deps: AgentDeps): void {
  let name: AgentOperationName;
  for (name in agentOperations) registerOperation(app, deps, name);
  registerBytes(app, deps, {
    url: agentImageUrl,
    find: (host, { sha256 = '' }) => deps.agent.findImage(host, sha256),
    missing: 'This host is not to write an image of that digest now.',
  });
  registerBytes(app, deps, {
    url: agentPackageUrl,
    find: (host, { sha512 = '' }) => deps.agent.findPackage(host, digestFromHex(sha512)),
    missing: 'This host is not to run a driver package of that digest now.',
  });
}

interface Bytes {
  readonly url: string;
  readonly find: (
    host: AgentHost,
    params: Readonly<Record<string, string>>,
  ) => Promise<OrderedBytes | undefined>;
  readonly missing: string;
}

/** Read from the ledger piece by piece while it is sent. */
function registerBytes(app: FastifyInstance, deps: AgentDeps, { url, find, missing }: Bytes): void {
  const hosts = new WeakMap<FastifyRequest, AgentHost>();
  app.get<{ Params: Record<string, string> }>(url, {
    onRequest: async (request, reply) => {
      hosts.set(request, await identify(deps, request, reply));
    },
    handler: async (request, reply) => {
      const host = hosts.get(request);
      const found = host && (await find(host, request.params));
      if (found === undefined) throw new ServiceError('no-such-route', missing);
      reply.header('content-type', 'application/octet-stream');
      reply.header('content-length', found.bytes);
      return reply.send(Readable.from(found.pieces, { objectMode: false }));
    },
  });
}

function registerOperation(app: FastifyInstance, deps: AgentDeps, name: AgentOperationName): void {
  const { method, url, schema } = agentOperations[name];
  const handle = deps.agent.handlers[name] as AnyHandler;
  const status = '201' in schema.response ? 201 : '204' in schema.response ? 204 : 200;
  const bodyLimit = bodyLimits[name];
  const hosts = new WeakMap<FastifyRequest, AgentHost>();
  app.route({
    method,
    url,
    schema: { ...schema, response: {} },
    ...(bodyLimit === undefined ? {} : { bodyLimit }),
    onRequest: async (request, reply) => {
      if (name !== 'enroll') hosts.set(request, await identify(deps, request, reply));
    },
    handler: async (request, reply) => {
      const { params, query, body } = request;
      const signal = AbortSignal.any([deps.closing, goneSignal(reply)]);
      const view = await handle(hosts.get(request) ?? null, { params, query, body, signal });
      return reply.code(status).send(status === 204 ? undefined : view);
    },
  });
}

async function identify(
  { agent }: AgentDeps,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<AgentHost> {
  const [, credential] =
    /^bearer +([\w.~+/=-]{16,512}) *$/i.exec(request.headers.authorization ?? '') ?? [];
  const host = credential === undefined ? undefined : await agent.authenticate(credential);
  if (host !== undefined) return host;
  reply.header('www-authenticate', 'Bearer realm="cyborg agents"');
  throw new ServiceError(
    'not-authenticated',
    'The credential of this agent is missing, wrong or revoked: an administrator can re-enrol the host with `cyborg host-reenroll`.',
  );
}

function goneSignal(reply: FastifyReply): AbortSignal {
  const gone = new AbortController();
  reply.raw.once('close', () => gone.abort());
  return gone.signal;
}

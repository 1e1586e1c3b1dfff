/** For tests: Nova and Placement over real HTTP, as little of them as is needed, with outages on demand. */
import type { ServerResponse } from 'node:http';

import { makeServices, type OpenStackServices } from '@cyborg/openstack/services';
import {
  cutOff,
  json,
  openTestSession,
  startTestServices,
  type Seen,
} from '@cyborg/openstack/test-services';
import { systemClock } from '@cyborg/service/clock';

export interface TestServer {
  readonly id: string;
  name: string;
  status: string;
  tenant_id: string;
  user_id: string;
  locked: boolean;
  'OS-EXT-STS:task_state': string | null;
  'OS-EXT-SRV-ATTR:host': string | null;
  'OS-EXT-SRV-ATTR:hypervisor_hostname': string | null;
}

interface Consumer {
  readonly allocations: Record<string, { readonly resources: Record<string, number> }>;
  readonly project_id: string;
  readonly user_id: string;
  readonly consumer_type?: string;
}

export interface TestOpenStack extends AsyncDisposable {
  readonly openstack: OpenStackServices;
  readonly servers: Map<string, TestServer>;
  /** Whose users' tokens are which project's; a token that is not here is refused. */
  readonly tokens: Map<string, string>;
  /** Nova's code for an event, by server; 200 otherwise. */
  readonly eventCodes: Map<string, number>;
  /** Events that Nova accepted, by request id. */
  readonly accepted: string[];
  readonly consumers: Map<string, Consumer>;
  /** Units that a provider has; what is not here does not exist. */
  readonly totals: Map<string, number>;
  /** Services that hang up. */
  readonly away: Set<'compute' | 'placement'>;
  /** Services that do what they are asked and hang up before they answer. */
  readonly deaf: Set<'compute' | 'placement'>;
  readonly seen: readonly Seen[];
}

export async function openTestOpenStack(): Promise<TestOpenStack> {
  const state = {
    servers: new Map<string, TestServer>(),
    tokens: new Map<string, string>(),
    eventCodes: new Map<string, number>(),
    accepted: [],
    consumers: new Map<string, Consumer>(),
    totals: new Map<string, number>(),
    away: new Set<'compute' | 'placement'>(),
    deaf: new Set<'compute' | 'placement'>(),
  };
  const services = await startTestServices((request, response, message) => {
    const service = request.path.startsWith('/compute') ? 'compute' : 'placement';
    if (state.away.has(service)) return cutOff(request, response, message);
    const answer = service === 'compute' ? askNova(state, request) : askPlacement(state, request);
    if (state.deaf.has(service)) return cutOff(request, response, message);
    json(...answer)(request, response as ServerResponse, message);
  });
  const session = openTestSession(services, { limits: { attemptsMax: 1 } });
  return {
    ...state,
    openstack: makeServices(session, {
      usesNova: true,
      usesPlacement: true,
      placesHotplug: false,
      clock: systemClock,
    }),
    seen: services.seen,
    async [Symbol.asyncDispose]() {
      session[Symbol.dispose]();
      await services[Symbol.asyncDispose]();
    },
  };
}

export function addServer(
  { servers }: Pick<TestOpenStack, 'servers'>,
  id: string,
  changes: Partial<TestServer> = {},
): TestServer {
  const server: TestServer = {
    id,
    name: 'guest',
    status: 'ACTIVE',
    tenant_id: 'alpha',
    user_id: 'member-of-alpha',
    locked: false,
    'OS-EXT-STS:task_state': null,
    'OS-EXT-SRV-ATTR:host': 'compute-1',
    'OS-EXT-SRV-ATTR:hypervisor_hostname': 'node-1',
    ...changes,
  };
  servers.set(id, server);
  return server;
}

type State = Pick<
  TestOpenStack,
  'servers' | 'tokens' | 'eventCodes' | 'accepted' | 'consumers' | 'totals'
>;
type Answered = [status: number, body: unknown];

function askNova(state: State, request: Seen): Answered {
  const { pathname, searchParams } = new URL(request.path, 'http://nova');
  if (request.method === 'POST') return takeEvents(state, request.body);
  if (pathname === '/compute/servers/detail') {
    const all = [...state.servers.values()].toSorted((a, b) => (a.id < b.id ? -1 : 1));
    const after = all.filter(({ id }) => id > (searchParams.get('marker') ?? ''));
    return [200, { servers: after.slice(0, Number(searchParams.get('limit'))) }];
  }
  const server = state.servers.get(pathname.split('/').at(-1) ?? '');
  const isUsers = request.headers['x-service-token'] !== undefined;
  const project = state.tokens.get(String(request.headers['x-auth-token']));
  if (isUsers && project === undefined) return [401, {}];
  const isHidden = isUsers && project !== server?.tenant_id;
  return server === undefined || server.status === 'DELETED' || isHidden
    ? [404, { itemNotFound: { code: 404, message: 'Instance could not be found.' } }]
    : [200, { server }];
}

interface Told {
  readonly server_uuid: string;
  readonly tag: string;
}

function takeEvents({ servers, eventCodes, accepted }: State, body: string): Answered {
  const { events } = JSON.parse(body) as { events: Told[] };
  if (!events.some((event) => servers.has(event.server_uuid))) return [404, {}];
  const answered = events.map((event) => {
    const code = servers.has(event.server_uuid) ? (eventCodes.get(event.server_uuid) ?? 200) : 404;
    if (code === 200) accepted.push(event.tag);
    return { ...event, code };
  });
  return [answered.every(({ code }) => code === 200) ? 200 : 207, { events: answered }];
}

type Posted = Record<string, Consumer & { readonly consumer_generation: number | null }>;

function askPlacement({ consumers, totals }: State, { method, path, body }: Seen): Answered {
  const id = path.split('/').at(-1) ?? '';
  if (method === 'DELETE') return consumers.delete(id) ? [204, undefined] : [404, {}];
  if (method === 'GET') {
    const consumer = consumers.get(id);
    return [
      200,
      consumer === undefined ? { allocations: {} } : { ...consumer, consumer_generation: 1 },
    ];
  }
  const posted = Object.entries(JSON.parse(body) as Posted);
  if (
    posted.some(([name, { consumer_generation: given }]) => given === null && consumers.has(name))
  )
    return [409, conflict('placement.concurrent_update', 'consumer generation conflict')];
  const wanted = posted.flatMap(([, { allocations }]) => Object.keys(allocations));
  if (wanted.some((provider) => !totals.has(provider))) return [400, conflict('x', 'no provider')];
  const used = [...consumers.values()].flatMap(({ allocations }) => Object.keys(allocations));
  const isFull = wanted.some(
    (provider) =>
      [...used, ...wanted].filter((one) => one === provider).length > (totals.get(provider) ?? 0),
  );
  if (isFull) return [409, conflict('placement.undefined_code', 'Unable to allocate inventory')];
  for (const [name, consumer] of posted) consumers.set(name, consumer);
  return [204, undefined];
}

function conflict(code: string, detail: string): object {
  return { errors: [{ status: 409, code, detail }] };
}

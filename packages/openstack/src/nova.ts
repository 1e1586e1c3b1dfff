/** What is asked of Nova: servers, and telling it that accelerator requests are bound. */
import { malformed } from './answer.ts';
import {
  ShapeError,
  asList,
  asNumber,
  asObject,
  asText,
  numberOrNull,
  textOrNull,
} from './reader.ts';
import type { JsonObject } from './reader.ts';
import type { ServiceRequest, Session } from './session.ts';

/** Shows host names to admins (2.3), the flavor inline with its extra specs (2.47), locked and its reason (2.73). */
export const serverMicroversion = '2.82';
/** The first that knows `accelerator-request-bound`. */
export const eventMicroversion = '2.82';

export interface NovaServer {
  readonly id: string;
  readonly name: string;
  readonly projectId: string;
  readonly userId: string;
  /** `ACTIVE`, `BUILD`, `SHUTOFF`, `SHELVED_OFFLOADED`, … */
  readonly status: string;
  /** `active`, `building`, …; null when the account may not see it. */
  readonly vmState: string | null;
  /** What is being done with it just now, such as `reboot_started`; null: nothing. */
  readonly taskState: string | null;
  /** 1 = running, 4 = shut down. */
  readonly powerState: number | null;
  /** Nova's name of the compute service's host; null before it has one, or when the account may not see it. */
  readonly host: string | null;
  /** The hypervisor's name of it: Placement's root provider. */
  readonly nodeName: string | null;
  /** The domain's name in libvirt. */
  readonly instanceName: string | null;
  readonly isLocked: boolean;
  readonly flavorName: string | null;
  readonly flavorExtraSpecs: Readonly<Record<string, string>>;
}

export type ExternalEventStatus = 'completed' | 'failed';

export interface AcceleratorEvent {
  readonly serverId: string;
  /** Of the accelerator request (ARQ). */
  readonly arqId: string;
  readonly status: ExternalEventStatus;
}

/**
 * `accepted`: Nova has it. `no-host`: the server has no host yet or any more (422): send again later.
 * `gone`: Nova knows no such server. `refused`: anything else that Nova said of this event.
 */
export type EventOutcome = 'accepted' | 'no-host' | 'gone' | 'refused';

export interface EventResult {
  readonly event: AcceleratorEvent;
  readonly outcome: EventOutcome;
  /** Nova's code of this event: 200, 404, 422, 400. */
  readonly code: number;
}

export interface NovaCall {
  readonly signal?: AbortSignal | undefined;
  readonly timeoutMs?: number | undefined;
  /** `req-<uuid>` of the request that this call is part of. */
  readonly requestId?: string | undefined;
}

export interface GetServerCall extends NovaCall {
  /** Asks in its owner's name: Nova decides what that user sees. */
  readonly userToken?: string | undefined;
}

export interface ChangedServers {
  /** Of all projects, deleted ones included (status `DELETED`). */
  readonly since: Date;
  readonly limit: number;
  /** Id of the last one of the page before. */
  readonly marker?: string | undefined;
}

export interface NovaClient {
  /** @returns undefined when there is none (404). @throws {OpenStackError} */
  getServer(id: string, call?: GetServerCall): Promise<NovaServer | undefined>;
  /** One page; a shorter one than `limit` need not be the last. @throws {OpenStackError} */
  listChanged(changed: ChangedServers, call?: NovaCall): Promise<readonly NovaServer[]>;
  /** One result per event, in their order. @throws {OpenStackError} when Nova did not take the request at all. */
  sendEvents(events: readonly AcceleratorEvent[], call?: NovaCall): Promise<readonly EventResult[]>;
}

export function makeNova(session: Session): NovaClient {
  return {
    async getServer(id, call = {}) {
      const path = `/servers/${encodeURIComponent(id)}`;
      const request = novaRequest({ method: 'GET', path, accept: [404], ...call });
      const { status, body } = await session.request(request);
      return status === 404 ? undefined : shaped(request, () => toServer(body));
    },
    async listChanged({ since, limit, marker }, call = {}) {
      const query = {
        all_tenants: 'true',
        'changes-since': since.toISOString(),
        limit: String(limit),
        marker,
      };
      const request = novaRequest({ method: 'GET', path: '/servers/detail', query, ...call });
      const { body } = await session.request(request);
      return shaped(request, () =>
        asList(asObject(body, 'the answer')['servers'], 'servers').map((item, at) =>
          readServer(asObject(item, `servers[${at}]`)),
        ),
      );
    },
    async sendEvents(events, call = {}) {
      if (events.length === 0) return [];
      const body = { events: events.map(toWire) };
      const path = '/os-server-external-events';
      // 404: none of the servers is known to Nova.
      const request = novaRequest({ method: 'POST', path, body, accept: [404], ...call });
      const answer = await session.request(request);
      if (answer.status === 404) {
        return events.map((event) => ({ event, outcome: 'gone', code: 404 }));
      }
      return shaped(request, () => toResults(answer.body, events));
    },
  };
}

function novaRequest(
  request: Pick<ServiceRequest, 'method' | 'path'> & Partial<ServiceRequest>,
): ServiceRequest {
  const version = request.method === 'GET' ? serverMicroversion : eventMicroversion;
  return {
    type: 'compute',
    service: 'Nova',
    headers: {
      'openstack-api-version': `compute ${version}`,
      'x-openstack-nova-api-version': version,
    },
    ...request,
  };
}

function shaped<Result>(request: ServiceRequest, parse: () => Result): Result {
  try {
    return parse();
  } catch (error) {
    if (error instanceof ShapeError) throw malformed(request, error);
    throw error;
  }
}

function toServer(body: unknown): NovaServer {
  return readServer(asObject(asObject(body, 'the answer')['server'], 'server'));
}

function readServer(server: JsonObject): NovaServer {
  const text = (key: string): string | null => textOrNull(server[key], `server.${key}`);
  const flavor = asObject(server['flavor'] ?? {}, 'server.flavor');
  return {
    id: asText(server['id'], 'server.id'),
    name: asText(server['name'], 'server.name'),
    projectId: asText(server['tenant_id'], 'server.tenant_id'),
    userId: asText(server['user_id'], 'server.user_id'),
    status: asText(server['status'], 'server.status'),
    vmState: text('OS-EXT-STS:vm_state'),
    taskState: text('OS-EXT-STS:task_state'),
    powerState: numberOrNull(server['OS-EXT-STS:power_state'], 'server.OS-EXT-STS:power_state'),
    host: text('OS-EXT-SRV-ATTR:host'),
    nodeName: text('OS-EXT-SRV-ATTR:hypervisor_hostname'),
    instanceName: text('OS-EXT-SRV-ATTR:instance_name'),
    isLocked: server['locked'] === true,
    flavorName: textOrNull(flavor['original_name'], 'server.flavor.original_name'),
    flavorExtraSpecs: extraSpecsOf(flavor),
  };
}

/** Absent when policy hides them from the account. */
function extraSpecsOf(flavor: JsonObject): Record<string, string> {
  const specs = asObject(flavor['extra_specs'] ?? {}, 'server.flavor.extra_specs');
  return Object.fromEntries(
    Object.entries(specs).map(([key, value]) => [key, asText(value, `extra_specs.${key}`)]),
  );
}

function toWire({ serverId, arqId, status }: AcceleratorEvent): object {
  return { name: 'accelerator-request-bound', server_uuid: serverId, tag: arqId, status };
}

const outcomes: ReadonlyMap<number, EventOutcome> = new Map([
  [200, 'accepted'],
  [404, 'gone'],
  [422, 'no-host'],
]);

/** 200 and 207 both list every event with a code of its own. */
function toResults(body: unknown, events: readonly AcceleratorEvent[]): EventResult[] {
  const list = asList(asObject(body, 'the answer')['events'], 'events').map((item, at) => {
    const event = asObject(item, `events[${at}]`);
    const key = `${asText(event['server_uuid'], `events[${at}].server_uuid`)} ${textOrNull(event['tag'], `events[${at}].tag`)}`;
    return [key, asNumber(event['code'], `events[${at}].code`)] as const;
  });
  const codes = new Map(list);
  return events.map((event) => {
    const code = codes.get(`${event.serverId} ${event.arqId}`);
    if (code === undefined) throw new ShapeError(`the event of ${event.arqId} is missing in it`);
    return { event, code, outcome: outcomes.get(code) ?? 'refused' };
  });
}

/** What docs/reference/request-flow.md tells of, done on a real fleet: each of the eight verbs and of Nova's calls. */
import { randomUUID } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';

import type { HttpRequest } from '@cyborg/api-client/transport';
import {
  startTestPlacement,
  type TestPlacement,
} from '../../packages/conductor/test/fake-placement.ts';
import { json } from '@cyborg/openstack/test-services';
import { carriedOut } from '@cyborg/testing/carried-out';
import { eventually } from '@cyborg/testing/processes';

import { Fleet, actMs, type Host } from './fleet.ts';
import { readSpans, traceOf, type SpanLine } from './traces.ts';

type Answer = Record<string, unknown>;

export class TracedFleet implements AsyncDisposable {
  readonly fleet: Fleet;
  readonly #files: readonly string[];
  readonly #requests = new Map<string, string>();

  private constructor(fleet: Fleet, files: readonly string[]) {
    this.fleet = fleet;
    this.#files = files;
  }

  /** @param args  more for the server */
  static async open(args: readonly string[] = []): Promise<TracedFleet> {
    const fleet = await Fleet.open();
    const files = ['server', 'agent'].map((name) => join(fleet.folder, `${name}-traces.jsonl`));
    const [server = '', agent = ''] = files;
    await fleet.startServer({ args: ['--trace-file', server, ...args] });
    const host = await fleet.addHost('host-1', { args: ['--trace-file', agent] });
    await fleet.untilUp(host);
    return new TracedFleet(fleet, files);
  }

  get host(): Host {
    const host = this.fleet.hosts.get('host-1');
    if (host === undefined) throw new Error('no host');
    return host;
  }

  /** Sends a request under an id of its own, by which its trace is found afterwards. */
  async ask(journey: string, request: HttpRequest): Promise<Answer> {
    const id = `req-${randomUUID()}`;
    this.#requests.set(journey, id);
    const headers = { ...request.headers, 'x-request-id': id };
    const { body } = await this.fleet.http.request({ ...request, headers });
    return typeof body === 'object' && body !== null ? { ...body } : {};
  }

  /** Waits until nothing is in the hands of a host. */
  async untilCalm(): Promise<void> {
    const busy = new Set(['reserved', 'cleaning', 'updating']);
    await eventually(
      async () => (await this.fleet.accelerators()).every(({ state }) => !busy.has(state)),
      { timeoutMs: actMs, what: 'no accelerator waits', context: () => this.fleet.logs() },
    );
  }

  /** Ends the programs, which write what they have. */
  async end(): Promise<void> {
    await this.host.agent?.end('SIGTERM');
    await this.fleet.server?.end('SIGTERM');
  }

  journeys(): Map<string, SpanLine[]> {
    const spans = readSpans(this.#files);
    return new Map([...this.#requests].map(([name, id]) => [name, traceOf(spans, id)]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.fleet[Symbol.asyncDispose]();
  }
}

export const verbs: readonly string[] = [
  'install-driver',
  'update-driver',
  'uninstall-driver',
  'driver-list',
  'discover-services',
  'service-list',
  'attach-instance',
  'detach-instance',
];

const deployment = '/v3/drivers/generic/deployment';
const soft = { name: 'soft', kind: 'virtual', hosts: ['host-1'] };

/** The eight verbs, each carried out to its end. */
export async function runVerbs(traced: TracedFleet): Promise<void> {
  const { fleet } = traced;
  const done = async (verb: string, request: HttpRequest): Promise<void> => {
    await fleet.done(traced.ask(verb, request));
    await traced.untilCalm();
  };
  const install = { backends: [{ ...soft, config: { crypto: 1, entropy: 0 } }] };
  await done('install-driver', { method: 'PUT', path: deployment, body: install });
  const update = { backends: [{ name: 'soft', config: { crypto: 2, entropy: 0 } }] };
  await done('update-driver', { method: 'PATCH', path: deployment, body: update });
  await done('discover-services', { method: 'POST', path: '/v3/discoveries', body: {} });
  await traced.ask('driver-list', { method: 'GET', path: '/v3/drivers' });
  await traced.ask('service-list', { method: 'GET', path: '/v3/services' });
  const path = `/v3/instances/${await fleet.instance('host-1')}/attachments`;
  await done('attach-instance', { method: 'POST', path, body: { count: 1 } });
  await done('detach-instance', { method: 'DELETE', path });
  await done('uninstall-driver', { method: 'DELETE', path: deployment });
}

const arqs = '/v2/accelerator_requests';

/** Keystone, Placement and Nova, as small as they may be: Nova takes every event, Placement counts. */
export async function startOpenStack(): Promise<TestPlacement> {
  const openStack = await startTestPlacement();
  openStack.fault = ({ path, body }) => {
    if (path.startsWith('/compute/os-server-external-events')) return json(200, accepted(body));
    return path.startsWith('/compute/servers/detail') ? json(200, { servers: [] }) : undefined;
  };
  openStack.addNode('host-1');
  return openStack;
}

function accepted(body: string): object {
  const { events } = JSON.parse(body) as { events: object[] };
  return { events: events.map((event) => ({ ...event, code: 200, status: 'completed' })) };
}

export function openStackArgs(folder: string, { url }: TestPlacement): string[] {
  const password = join(folder, 'password');
  writeFileSync(password, 'secret', { mode: 0o600 });
  const where = ['--keystone-url', `${url}/v3`, '--keystone-interface', 'public'];
  return [...where, '--keystone-password-file', password];
}

/** Nova's calls at boot and delete, with a card that nobody has to own. */
export async function runNovaCalls(
  traced: TracedFleet,
  { providers }: TestPlacement,
): Promise<void> {
  const provider = await installCard(traced.fleet);
  await eventually(async () => Object.keys(providers.get(provider)?.inventories ?? {}).length > 0, {
    timeoutMs: actMs,
    what: 'Placement has the card',
    context: () => traced.fleet.logs(),
  });
  const instance = randomUUID();
  const create = { method: 'POST', path: arqs, body: { device_profile_name: 'traced' } };
  const made = (await traced.ask('arq-create', create)) as { arqs?: { uuid: string }[] };
  const values = { hostname: 'host-1', device_rp_uuid: provider, instance_uuid: instance };
  const patch = Object.entries(values).map(([name, value]) => ({
    path: `/${name}`,
    op: 'add',
    value,
  }));
  const body = Object.fromEntries((made.arqs ?? []).map(({ uuid }) => [uuid, patch]));
  await traced.ask('arq-bind', { method: 'PATCH', path: arqs, body });
  await traced.ask('arq-get', { method: 'GET', path: arqs, query: { instance } });
  await untilTold(traced.fleet);
  await traced.ask('arq-delete', { method: 'DELETE', path: arqs, query: { instance } });
  await traced.untilCalm();
}

/** @returns uuid of its resource provider. */
async function installCard(fleet: Fleet): Promise<string> {
  const backends = [{ name: 'card', kind: 'card', hosts: ['host-1'], config: { count: 1 } }];
  await fleet.done(fleet.v3.installDriver({ params: { driver_id: 'fake' }, body: { backends } }));
  const groups = [{ 'resources:FPGA': '1' }];
  carriedOut(await fleet.v3.createProfile({ body: { name: 'traced', groups } }));
  const { rp_uuid: uuid } = await fleet.db
    .selectFrom('deployable')
    .select('rp_uuid')
    .where('rp_uuid', 'is not', null)
    .executeTakeFirstOrThrow();
  return uuid ?? '';
}

async function untilTold(fleet: Fleet): Promise<void> {
  const count = async (): Promise<number> =>
    (await fleet.db.selectFrom('nova_event').select('id').execute()).length;
  await eventually(async () => (await count()) === 0, {
    timeoutMs: actMs,
    what: 'Nova has been told',
    context: () => fleet.logs(),
  });
}

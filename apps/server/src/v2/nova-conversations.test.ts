import { obey } from '@cyborg/conductor/test-agent';
import { brokenInvariants, changesWithoutEvent, startAudit } from '@cyborg/conductor/test-audit';
import { openTestDatabase } from '@cyborg/testing/database';
import { addBackend, addHost } from '@cyborg/testing/fleet';
import { addProfile, addProvider } from '@cyborg/testing/providers';
import { afterAll, beforeAll, describe, it } from 'vitest';

import { basicAuth, openTestApp } from '../test-app.ts';
import type { TestApp } from '../test-app.ts';
import { novaConversations } from './test-nova-conversations.ts';
import type { NovaCall } from './test-nova-conversations.ts';

const profile = 'testdp';
/** Two groups, three accelerators: all of a server are bound by one PATCH. */
const groups = [{ 'resources:FPGA': '2', 'accel:note': 'x' }, { 'resources:FPGA': '1' }];
const arqsPerServer = 3;

/** What Nova reads of an ARQ. */
interface NovasArq {
  readonly uuid: string;
  readonly state: string;
  readonly device_profile_name: string;
  readonly device_profile_group_id: number;
  readonly hostname: string;
  readonly device_rp_uuid: string;
  readonly instance_uuid: string;
  readonly attach_handle_type: string;
  readonly attach_handle_info: Readonly<Record<string, string>>;
}

interface Scene {
  readonly server: TestApp;
  readonly host: { readonly id: string };
  readonly rpUuid: string;
}

/** One server's life, as Nova sees it. */
class Server {
  readonly id = crypto.randomUUID();
  arqs: readonly string[] = [];
  readonly #scene: Scene;
  readonly #rpUuid: string;

  constructor(scene: Scene, rpUuid = scene.rpUuid) {
    this.#scene = scene;
    this.#rpUuid = rpUuid;
  }

  /** @returns what it answered. */
  async ask(call: NovaCall): Promise<{ status: number; body: unknown }> {
    const { by, method, path, body } = call;
    const url = path
      .replace('{profile}', profile)
      .replace('{instance}', this.id)
      .replace('{arqs}', this.arqs.join(','));
    const answer = await this.#scene.server.app.inject({
      method,
      url,
      headers: {
        authorization: basicAuth('member-by-nova'),
        'user-agent': `${by} keystoneauth1/5.0.0 python-requests/2.28.1 CPython/3.11.2`,
        accept: '*/*',
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      ...(body === undefined ? {} : { payload: JSON.stringify(this.#bodyOf(body)) }),
    });
    const text = answer.body;
    const view: unknown = text === '' ? null : JSON.parse(text);
    if (method === 'POST' && answer.statusCode === 201) {
      this.arqs = arqsOf(view).map(({ uuid }) => uuid);
    }
    return { status: answer.statusCode, body: view };
  }

  #bodyOf(body: 'profile' | 'bind'): object {
    if (body === 'profile') return { device_profile_name: profile };
    const patches = [
      { path: '/hostname', op: 'add', value: 'vm' },
      { path: '/device_rp_uuid', op: 'add', value: this.#rpUuid },
      { path: '/instance_uuid', op: 'add', value: this.id },
    ];
    return Object.fromEntries(this.arqs.map((id) => [id, patches]));
  }
}

function arqsOf(view: unknown): NovasArq[] {
  return (view as { arqs: NovasArq[] }).arqs;
}

async function openScene(): Promise<Scene> {
  const server = await openTestApp(await openTestDatabase());
  const { db } = server.deps;
  const host = await addHost(db, { name: 'node-1', node_name: 'vm' });
  const { rpUuid } = await addProvider(db, await addBackend(db, host), { count: arqsPerServer });
  await addProfile(db, { name: profile, groups });
  await startAudit(db);
  return { server, host, rpUuid };
}

describe('what Nova asks when it does', () => {
  let scene: Scene;
  beforeAll(async () => {
    scene = await openScene();
  });
  afterAll(async () => scene.server[Symbol.asyncDispose]());

  /** All there is: the next boot needs what the last delete gave back, cleaned by the host's agent. */
  const boot = async (): Promise<Server> => {
    const [create] = novaConversations;
    const server = new Server(scene);
    for (const call of create?.calls ?? []) await server.ask(call);
    return server;
  };

  for (const { operation, before, calls, after } of novaConversations) {
    it(`${operation}, is answered so that it goes on`, async ({ expect }) => {
      const { server: app, host, rpUuid } = scene;
      const isRefused = calls.some(({ codes }) => codes.includes(503));
      const server =
        before === 'bound'
          ? await boot()
          : new Server(scene, isRefused ? crypto.randomUUID() : rpUuid);
      for (const call of calls) {
        // The host's agent cleans by itself, beside whatever is asked.
        const cleaning = call.method === 'PATCH' ? obey(app.deps, host) : undefined;
        const { status, body } = await server.ask(call);
        await cleaning;
        expect(call.codes, `${call.method} ${call.path}: ${JSON.stringify(body)}`).toContain(
          status,
        );
        if (call.path.includes('device_profiles')) {
          expect(body).toMatchObject({ device_profiles: [{ name: profile, groups }] });
        }
        if (call.method === 'POST') expect(arqsOf(body).map(toGroup)).toEqual([0, 0, 1]);
        if (status === 202 || status === 204) expect(body).toBeNull();
        if (call.method === 'GET' && call.path.includes('instance')) {
          expect(arqsOf(body)).toMatchObject(
            server.arqs.map((uuid) => bound(uuid, server.id, rpUuid)),
          );
        }
      }
      const left = await server.ask({
        by: 'nova-compute',
        method: 'GET',
        path: '/v2/accelerator_requests?instance={instance}',
        codes: [],
      });
      expect(arqsOf(left.body)).toHaveLength(after === 'bound' ? arqsPerServer : 0);
      await server.ask({
        by: 'nova-compute',
        method: 'DELETE',
        path: '/v2/accelerator_requests?instance={instance}',
        codes: [],
      });
      await obey(app.deps, host);
      expect(await brokenInvariants(app.deps.db)).toEqual([]);
      expect(await changesWithoutEvent(app.deps.db)).toEqual([]);
      const kept = await app.deps.db
        .selectFrom('attachment')
        .select('id')
        .where('state', '<>', 'released')
        .execute();
      expect(kept).toEqual([]);
    });
  }
});

function toGroup({ device_profile_group_id: group }: NovasArq): number {
  return group;
}

function bound(uuid: string, instance: string, rpUuid: string): object {
  return {
    uuid,
    state: 'Bound',
    device_profile_name: profile,
    hostname: 'vm',
    device_rp_uuid: rpUuid,
    instance_uuid: instance,
    attach_handle_type: 'TEST_PCI',
    attach_handle_info: { domain: '0000', bus: '0c', device: '0' },
  };
}

/** For tests: a request of every changing operation that would succeed, each on a host and driver of its own. */
import { randomUUID } from 'node:crypto';

import type { V3OperationName, v3Routes } from '@cyborg/api-spec/routes';
import { v3Operations } from '@cyborg/api-spec/v3';
import { deviceName, firstEpoch } from '@cyborg/model/epoch';
import { tarballOf, testEntries } from '@cyborg/driver-package/test-package';
import { toJson } from '@cyborg/store/json';
import {
  addAccelerators,
  addBackend,
  addHost,
  addInstance,
  fleetMadeAt,
} from '@cyborg/testing/fleet';
import { sql } from 'kysely';

import { readBuiltinDrivers } from '../src/start/catalogue.ts';
import { basicAuth, type TestApp } from '../src/test-app.ts';
import { reportOn } from './conformance-report.ts';

type Routes = typeof v3Routes;
/** A new one does not compile until it has its request below. */
export type ChangingName = {
  [Name in V3OperationName]: Routes[Name]['method'] extends 'GET' ? never : Name;
}[V3OperationName];

interface Made {
  readonly id: string;
  readonly etag: string;
}

export interface World {
  readonly server: TestApp;
  readonly driver: string;
  readonly host: { readonly id: string; readonly name: string };
  readonly backend: string;
  readonly accelerator: string;
  readonly service: string;
  readonly instance: string;
  readonly unclaimed: string;
  readonly profile: string;
  readonly grant: Made;
  readonly project: string;
}

export interface Change {
  readonly params?: Readonly<Record<string, string>>;
  readonly body?: object | Buffer;
  /** Another body that the schema takes. */
  readonly otherBody?: object | Buffer;
  /** Where the ETag of what is changed is read. */
  readonly read?: string;
  /** For what is only listed: the one that its creation was answered with. */
  readonly etag?: string;
}

const groups = [{ 'resources:CUSTOM_CYBORG_CRYPTO': '1' }];

export const changes: Readonly<Record<ChangingName, (world: World) => Change | Promise<Change>>> = {
  installDriver: ({ driver, host }) => ({
    params: { driver_id: driver },
    body: { backends: [{ name: 'more', kind: 'virtual', hosts: [host.name] }] },
    otherBody: { backends: [{ name: 'other', kind: 'virtual', hosts: [host.name] }] },
    read: `/v3/drivers/${driver}/deployment`,
  }),
  updateDriver: ({ driver }) => ({
    params: { driver_id: driver },
    body: { backends: [{ name: 'virtual', config: { crypto: 7 } }] },
    read: `/v3/drivers/${driver}/deployment`,
  }),
  uploadDriver: async () => {
    const id = `acme-${randomUUID().slice(0, 8)}`;
    return {
      body: await tarballOf(testEntries({ id })),
      otherBody: await tarballOf(testEntries({ id, version: '2.0.0' })),
    };
  },
  approveDriverVersion: async (world) => {
    const { params, digest } = await uploaded(world);
    return { params, body: { digest }, otherBody: {} };
  },
  putConformanceReport: async (world) => {
    const { params, digest, etag } = await uploaded(world);
    return { params, body: reportOn({ ...params, digest }), etag };
  },
  deleteDriverVersion: async (world) => {
    const { params, etag } = await uploaded(world);
    return { params, etag };
  },
  uninstallDriver: ({ driver }) => ({
    params: { driver_id: driver },
    read: `/v3/drivers/${driver}/deployment`,
  }),
  updateHost: ({ host }) => ({
    params: { host: host.name },
    body: { labels: { rack: 'r1' } },
    read: `/v3/hosts/${host.name}`,
  }),
  deleteHost: async ({ server, host }) => {
    await server.deps.db
      .updateTable('host')
      .set({ lease_expires_at: null })
      .where('id', '=', host.id)
      .execute();
    return { params: { host: host.name }, read: `/v3/hosts/${host.name}` };
  },
  revokeHost: ({ host }) => ({ params: { host: host.name } }),
  reenrollHost: ({ host }) => ({ params: { host: host.name } }),
  createJoinToken: () => ({ body: { host: 'new-host' }, otherBody: { host: 'another' } }),
  deleteJoinToken: async ({ server }) => {
    const { id, etag } = await post(server, '/v3/join-tokens', {});
    return { params: { id }, etag };
  },
  updateBackend: ({ host }) => ({
    params: { backend: `${host.name}@virtual` },
    body: { status: 'disabled' },
    read: `/v3/backends/${host.name}@virtual`,
  }),
  restartBackend: ({ host }) => ({ params: { backend: `${host.name}@virtual` } }),
  updateService: ({ service }) => ({
    params: { id: service },
    body: { status: 'disabled' },
    read: `/v3/services/${service}`,
  }),
  createDiscovery: ({ host }) => ({ body: { host: host.name }, otherBody: {} }),
  createAccelerator: ({ host }) => ({
    body: { backend: `${host.name}@virtual`, function: 'entropy' },
    otherBody: { backend: `${host.name}@virtual`, function: 'crypto' },
  }),
  updateAccelerator: ({ accelerator }) => ({
    params: { id: accelerator },
    body: { name: 'renamed' },
    read: `/v3/accelerators/${accelerator}`,
  }),
  identifyAccelerator: async ({ server, backend }) => {
    const { appeared, gone } = await addTwins(server, backend);
    const body = { same_as: gone, reason: 'moved by hand' };
    return { params: { id: appeared }, body, otherBody: { ...body, reason: 'seen' } };
  },
  deleteAccelerator: ({ accelerator }) => ({
    params: { id: accelerator },
    read: `/v3/accelerators/${accelerator}`,
  }),
  uploadProgram: () => {
    const bytes = randomUUID();
    return { body: Buffer.from(bytes), otherBody: Buffer.from(`${bytes} and more`) };
  },
  programAccelerator: async ({ server, accelerator }) => ({
    params: { id: accelerator },
    body: { upload_id: await uploadedProgram(server) },
    otherBody: { upload_id: await uploadedProgram(server) },
  }),
  updateInstance: ({ instance }) => ({
    params: { instance_id: instance },
    body: { project_id: 'another' },
    read: `/v3/instances/${instance}`,
  }),
  createAttachments: ({ instance }) => ({
    params: { instance_id: instance },
    body: { count: 1 },
    otherBody: { count: 2 },
  }),
  deleteAttachments: async (world) => {
    await attach(world);
    const read = `/v3/instances/${world.instance}/attachments`;
    return { params: { instance_id: world.instance }, read };
  },
  releaseUnclaimed: ({ unclaimed }) => ({ params: { id: unclaimed } }),
  adoptUnclaimed: ({ unclaimed, accelerator }) => ({
    params: { id: unclaimed },
    body: { accelerator },
    otherBody: { accelerator: randomUUID() },
  }),
  createProfile: ({ project }) => ({
    body: { name: `new-${project}`, groups },
    otherBody: { name: `other-${project}`, groups },
  }),
  deleteProfile: ({ profile }) => ({
    params: { profile },
    read: `/v3/device-profiles/${profile}`,
  }),
  updateQuota: ({ project }) => ({
    params: { project_id: project },
    body: { limits: [{ type: 'CRYPTO', accelerators_max: 3 }] },
    read: `/v3/quotas/${project}`,
  }),
  createGrant: ({ host }) => ({
    body: { project_id: 'new-project', host: host.name },
    otherBody: { project_id: 'other-project', host: host.name },
  }),
  deleteGrant: ({ grant }) => ({ params: { id: grant.id }, etag: grant.etag }),
  cancelOperation: async (world) => ({ params: { id: await attach(world) } }),
};

export async function makeWorld(server: TestApp): Promise<World> {
  const { db } = server.deps;
  const project = `p-${randomUUID().slice(0, 8)}`;
  const driver = `d-${project}`;
  const host = await addHost(db, { name: `h-${project}` });
  const backend = await addBackend(db, host, { driver_id: driver });
  await deploy(server, { driver, hostId: host.id });
  const [accelerator] = await addAccelerators(db, backend, { count: 2, created_by_request: true });
  const instance = await addInstance(db, host, { project_id: project });
  const named = { name: `profile-${project}`, groups };
  const { id: profile } = await post(server, '/v3/device-profiles', named);
  const grant = await post(server, '/v3/grants', { project_id: project, host: host.name });
  const world = { server, driver, host, project, profile, grant, instance: instance.id };
  const service = await addService(world, backend.id);
  const unclaimed = await addUnclaimed(world);
  return { ...world, backend: backend.id, accelerator: accelerator?.id ?? '', service, unclaimed };
}

/** A driver that is installed on one host, with the kinds of the built-in one. */
async function deploy(
  { deps: { db } }: TestApp,
  { driver, hostId }: { readonly driver: string; readonly hostId: string },
): Promise<void> {
  const manifest = readBuiltinDrivers().find(({ id }) => id === 'generic');
  if (manifest === undefined) throw new Error('There is no built-in driver called generic.');
  const { kinds, default_backends } = manifest;
  await db
    .updateTable('driver_version')
    .set({ manifest: toJson({ kinds, default_backends }) })
    .where('driver_id', '=', driver)
    .execute();
  const made = { id: randomUUID(), created_at: fleetMadeAt };
  await db
    .insertInto('deployment')
    .values({ ...made, driver_id: driver, version: '1.0.0' })
    .execute();
  await db
    .insertInto('deployment_backend')
    .values({
      id: randomUUID(),
      deployment_id: made.id,
      name: 'virtual',
      kind: 'virtual',
      config: toJson({}),
      selector: toJson({ kind: 'hosts', host_ids: [hostId] }),
      created_at: fleetMadeAt,
    })
    .execute();
}

async function addService(
  { server, host }: Pick<World, 'server' | 'host'>,
  backendId: string,
): Promise<string> {
  const made = { id: randomUUID(), host_id: host.id, backend_id: backendId };
  await server.deps.db
    .insertInto('service')
    .values({ ...made, name: 'crypto', kind: 'function', state: 'up', created_at: fleetMadeAt })
    .execute();
  return made.id;
}

async function addUnclaimed({
  server,
  host,
  instance,
}: Pick<World, 'server' | 'host' | 'instance'>): Promise<string> {
  const id = randomUUID();
  await server.deps.db
    .insertInto('unclaimed')
    .values({
      id,
      host_id: host.id,
      instance_id: instance,
      device_name: deviceName(randomUUID(), firstEpoch(1)),
      first_seen_at: fleetMadeAt,
      created_at: fleetMadeAt,
    })
    .execute();
  return id;
}

async function uploaded({ server }: World): Promise<{
  readonly params: { readonly driver_id: string; readonly version: string };
  readonly digest: string;
  readonly etag: string;
}> {
  const id = `acme-${randomUUID().slice(0, 8)}`;
  const answer = await server.app.inject({
    method: 'POST',
    url: '/v3/drivers',
    headers: { authorization: basicAuth('admin'), 'content-type': 'application/gzip' },
    payload: await tarballOf(testEntries({ id })),
  });
  if (answer.statusCode !== 201) throw new Error(answer.body);
  const { version, digest } = answer.json<{ version: string; digest: string }>();
  return { params: { driver_id: id, version }, digest, etag: String(answer.headers.etag) };
}

async function uploadedProgram({ app }: TestApp): Promise<string> {
  const answer = await app.inject({
    method: 'POST',
    url: '/v3/program-images?name=aes.bit',
    headers: { authorization: basicAuth('admin'), 'content-type': 'application/octet-stream' },
    payload: Buffer.from(randomUUID()),
  });
  if (answer.statusCode !== 201) throw new Error(answer.body);
  return answer.json<{ id: string }>().id;
}

/** A card that is gone, and one like it that appeared elsewhere. */
async function addTwins(
  { deps: { db } }: TestApp,
  backendId: string,
): Promise<{ readonly appeared: string; readonly gone: string }> {
  const backend = await db
    .selectFrom('backend')
    .select(['id', 'host_id', 'driver_id'])
    .where('id', '=', backendId)
    .executeTakeFirstOrThrow();
  const absent = { presence: 'absent', absent_since: fleetMadeAt } as const;
  const [gone] = await addAccelerators(db, backend, { count: 1, ...absent });
  const [appeared] = await addAccelerators(db, backend, {
    count: 1,
    state: 'withheld',
    doubt: 'it may be another',
  });
  const deviceId = gone?.device_id ?? '';
  await db.updateTable('device').set(absent).where('id', '=', deviceId).execute();
  return { appeared: appeared?.id ?? '', gone: gone?.id ?? '' };
}

/** @returns the operation. */
async function attach({ server, instance }: World): Promise<string> {
  return (await post(server, `/v3/instances/${instance}/attachments`, {})).id;
}

async function post({ app }: TestApp, url: string, payload: object): Promise<Made> {
  const headers = { authorization: basicAuth('admin') };
  const answer = await app.inject({ method: 'POST', url, headers, payload });
  if (answer.statusCode >= 300) throw new Error(`POST ${url}: ${answer.body}`);
  return { id: answer.json<{ id: string }>().id, etag: String(answer.headers.etag) };
}

export interface Answer {
  readonly status: number;
  readonly body: unknown;
}

export interface SendOptions {
  readonly query?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: object | Buffer | undefined;
}

/** As an admin. */
export async function send(
  { app }: TestApp,
  { name, params = {}, ...change }: Change & { readonly name: ChangingName },
  { query = '', headers = {}, body = change.body }: SendOptions = {},
): Promise<Answer> {
  const { method, url } = v3Operations[name];
  const path = url.replaceAll(/:([a-z_]+)/g, (_all, key: string) => params[key] ?? '');
  const answer = await app.inject({
    method,
    url: `${path}${query}`,
    headers: {
      authorization: basicAuth('admin'),
      ...(body instanceof Buffer ? { 'content-type': 'application/gzip' } : {}),
      ...headers,
    },
    ...(body === undefined ? {} : { payload: body }),
  });
  return { status: answer.statusCode, body: answer.body === '' ? null : answer.json() };
}

/** Everything that the database holds, as text, to compare. */
export async function contentOf({ deps: { db } }: TestApp): Promise<string> {
  const tables = await sql<{ name: string }>`
    select table_name as name from information_schema.tables
    where table_schema = current_schema() order by 1`.execute(db);
  const contents = [];
  for (const { name } of tables.rows) {
    const { rows } = await sql<{ row: string }>`
      select t::text as row from ${sql.table(name)} as t order by 1`.execute(db);
    contents.push(`${name}: ${rows.map(({ row }) => row).join('\n')}`);
  }
  return contents.join('\n');
}

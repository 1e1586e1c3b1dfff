/** For tests of v2's accelerator requests: a host with handles, profiles, and callers as Nova sends them. */
import type { Caller } from '@cyborg/model/caller';
import { makeNova } from '@cyborg/openstack/nova';
import { openSession } from '@cyborg/openstack/session';
import { testCredentials } from '@cyborg/openstack/test-services';
import { systemClock } from '@cyborg/service/clock';
import { systemRng } from '@cyborg/service/rng';
import { openTestDatabase } from '@cyborg/testing/database';
import { addBackend, addHost, callerOf } from '@cyborg/testing/fleet';
import { addProfile, addProvider, type Provider } from '@cyborg/testing/providers';

import type { ConductorDeps, Db } from '../src/deps.ts';
import type { ConductorLimits } from '../src/limits.ts';
import { startAudit } from '../src/test-audit.ts';
import { makeTestDeps } from '../src/test-deps.ts';
import { makeArqHandlers, type ArqHandlers } from '../src/v2/arqs/handlers.ts';
import type { ArqView } from '../src/v2/arqs/read-arqs.ts';

/** A member's token together with Nova's service token. */
export const member: Caller = { ...callerOf('member', 'alpha'), isServiceRequest: true };

export interface Bench extends AsyncDisposable {
  readonly db: Db;
  readonly deps: ConductorDeps;
  readonly arqs: ArqHandlers;
  readonly host: { readonly id: string; readonly name: string };
  readonly backend: { readonly id: string; readonly host_id: string; readonly driver_id: string };
  readonly provider: Provider;
}

export async function openBench(
  count: number,
  limits: Partial<ConductorLimits> = {},
): Promise<Bench> {
  const database = await openTestDatabase();
  const { db } = database;
  const host = await addHost(db, { name: 'node-1', node_name: 'vm' });
  const backend = await addBackend(db, host);
  const provider = await addProvider(db, backend, { count });
  await addProfile(db, { name: 'one', groups: [{ 'resources:FPGA': '1' }] });
  await addProfile(db, {
    name: 'three',
    groups: [{ 'resources:FPGA': '2' }, {}, { 'resources:FPGA': '1' }],
  });
  // A bind writes to the outbox and asks nobody: there is no Keystone at this address.
  const session = openSession({
    authUrl: 'http://127.0.0.1:9/v3',
    credentials: testCredentials,
    clock: systemClock,
    rng: systemRng,
  });
  const deps = {
    ...makeTestDeps({ db, clock: systemClock }, { bindWaitSeconds: 0, ...limits }),
    openstack: { nova: makeNova(session) },
  };
  await startAudit(db);
  return {
    db,
    deps,
    arqs: makeArqHandlers(deps),
    host,
    backend,
    provider,
    async [Symbol.asyncDispose]() {
      session[Symbol.dispose]();
      await database[Symbol.asyncDispose]();
    },
  };
}

export const open = new AbortController().signal;

export function bindBody(
  ids: readonly string[],
  { rpUuid }: Pick<Provider, 'rpUuid'>,
  instance: string,
): object {
  const values = { hostname: 'vm', device_rp_uuid: rpUuid, instance_uuid: instance };
  const patches = Object.entries(values).map(([name, value]) => ({
    path: `/${name}`,
    op: 'add',
    value,
  }));
  return Object.fromEntries(ids.map((id) => [id, patches]));
}

export function bind(
  { arqs, provider }: Pick<Bench, 'arqs' | 'provider'>,
  ids: readonly string[],
  { caller = member, instance = crypto.randomUUID() }: { caller?: Caller; instance?: string } = {},
): Promise<void> {
  return arqs.patch({ caller, body: bindBody(ids, provider, instance), minor: 0, signal: open });
}

export function unbind({ arqs }: Pick<Bench, 'arqs'>, id: string): Promise<void> {
  const body = { [id]: [{ path: '/instance_uuid', op: 'remove' }] };
  return arqs.patch({ caller: member, body, minor: 0, signal: open });
}

export async function make(
  { arqs }: Pick<Bench, 'arqs'>,
  profile = 'one',
  caller = member,
): Promise<string[]> {
  return (await arqs.create(caller, profile)).map(({ uuid }) => uuid);
}

export async function listed(
  { arqs }: Pick<Bench, 'arqs'>,
  caller: Caller,
  query = {},
): Promise<ArqView[]> {
  const batches = await arqs.list(caller, query);
  if (batches === undefined) throw new Error('not resolved');
  const all: ArqView[] = [];
  for await (const batch of batches) all.push(...batch);
  return all;
}

export async function states({ db }: Pick<Bench, 'db'>): Promise<string[]> {
  const rows = await db.selectFrom('accelerator').select('state').orderBy('id').execute();
  return rows.map(({ state }) => state);
}

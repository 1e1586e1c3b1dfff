/** For tests of v2's accelerator requests: a host with handles, profiles, and callers as Nova sends them. */
import type { Caller } from '@cyborg/model/caller';
import type { NovaClient } from '@cyborg/openstack/nova';
import { systemClock } from '@cyborg/service/clock';
import { openTestDatabase } from '@cyborg/testing/database';
import { addBackend, addHost, callerOf } from '@cyborg/testing/fleet';
import { addProfile, addProvider, type Provider } from '@cyborg/testing/providers';

import type { ConductorDeps, Db } from '../../deps.ts';
import type { ConductorLimits } from '../../limits.ts';
import { startAudit } from '../../test-audit.ts';
import { makeTestDeps } from '../../test-deps.ts';
import { makeArqHandlers, type ArqHandlers } from './handlers.ts';
import type { ArqView } from './read-arqs.ts';

/** A member's token together with Nova's service token. */
export const member: Caller = { ...callerOf('member', 'alpha'), isServiceRequest: true };

/** There is one, so it is to be told; who tells it is not part of these tests. */
const unheard: NovaClient = {
  getServer: () => Promise.reject(new Error('Nova is not asked by a bind.')),
  sendEvents: () => Promise.reject(new Error('Nova is told by the outbox.')),
};

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
  const deps = {
    ...makeTestDeps({ db, clock: systemClock }, { bindWaitSeconds: 0, ...limits }),
    openstack: { nova: unheard },
  };
  await startAudit(db);
  return {
    db,
    deps,
    arqs: makeArqHandlers(deps),
    host,
    backend,
    provider,
    [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
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

/**
 * First pages of lists at 100 and at 100,000 accelerators, for each kind of caller: a list must not scan what it does not
 * return. Both pages have the same number of rows, of hosts alike.
 */
import type { V3Client } from '@cyborg/api-client/v3';

import type { BenchFleet } from './fleet.ts';
import { addHosts, giveToProject, perHost } from './lists-ledger.ts';
import type { BenchReport } from './report.ts';

const warmRounds = 15;
const rounds = 60;
const ratioMax = 1.5;
const fewAccelerators = 100;
const manyAccelerators = 100_000;
/** As many rows as there are of each noun at `fewAccelerators`. */
const limit = 10;

type List = () => Promise<{ readonly items: readonly unknown[] }>;

/** Call it last: it empties the ledger and leaves 100,000 accelerators in it. Quick: as an admin sees them. */
export async function benchLists(
  fleet: BenchFleet,
  report: BenchReport,
  { isQuick }: { readonly isQuick: boolean },
): Promise<void> {
  await fleet.agent.end();
  await fleet.pool.query('truncate host, deployment, operation, event cascade');
  await addHosts(fleet.pool, fewAccelerators / perHost);
  await giveToProject(fleet.pool);
  const instance = await anInstance(fleet);
  const lists = {
    ...listsOf(fleet.api, instance, 'admin'),
    ...(isQuick ? {} : listsOf(fleet.loginAs('manager'), instance, 'manager')),
    ...(isQuick ? {} : listsOf(fleet.loginAs('member'), instance, 'member')),
  };
  const few = await timeAll(fleet, lists);
  await addHosts(fleet.pool, (manyAccelerators - fewAccelerators) / perHost);
  const many = await timeAll(fleet, lists);
  for (const name of Object.keys(lists)) {
    const [fewMs, manyMs] = [few.get(name) ?? Number.NaN, many.get(name) ?? Number.NaN];
    report.figure({
      name: `list ${name}, ${fewMs.toFixed(2)} ms, at ${manyAccelerators} accelerators ${manyMs.toFixed(2)} ms`,
      value: manyMs / fewMs,
      unit: 'times',
      bound: { kind: 'at-most', value: ratioMax },
    });
  }
}

function listsOf(api: V3Client, instance: string, role: string): Record<string, List> {
  const query = { limit };
  const lists: Record<string, List> = {
    accelerators: () => api.listAccelerators({ query }),
    'accelerators by state': () =>
      api.listAccelerators({ query: { ...query, state: 'available' } }),
    'accelerators by type': () => api.listAccelerators({ query: { ...query, type: 'GPU' } }),
    'accelerators by name': () => api.listAccelerators({ query: { ...query, sort: '-name' } }),
    'available accelerators by name': () =>
      api.listAccelerators({ query: { ...query, state: 'available', sort: 'name' } }),
    devices: () => api.listDevices({ query }),
    backends: () => api.listBackends({ query }),
    services: () => api.listServices({ query }),
    'services by name': () => api.listServices({ query: { ...query, name: 'gpu.compute' } }),
    hosts: () => api.listHosts({ query }),
    instances: () => api.listInstances({ query }),
    operations: () => api.listOperations({ query }),
    events: () => api.listEvents({ query }),
    'newest events': () => api.listEvents({ query: { ...query, order: 'newest' } }),
    attachments: () => api.listAttachments({ params: { instance_id: instance }, query }),
    unclaimed: () => api.listUnclaimed({ query }),
  };
  return Object.fromEntries(
    Object.entries(lists)
      .filter(([name]) => role === 'admin' || !hidden[role]?.includes(name))
      .map(([name, list]) => [`${name} (${role})`, list]),
  );
}

/** What the policy or their scope keeps from them. */
const hidden: Readonly<Record<string, readonly string[]>> = {
  manager: ['unclaimed'],
  member: [
    'unclaimed',
    'hosts',
    'devices',
    'backends',

    'accelerators by state',
  ],
};

async function anInstance({ pool }: BenchFleet): Promise<string> {
  const { rows } = await pool.query<{ id: string }>('select id from instance order by id limit 1');
  return rows[0]?.id ?? '';
}

/** The median of many rounds, in which the lists take turns. */
async function timeAll(
  fleet: BenchFleet,
  lists: Record<string, List>,
): Promise<Map<string, number>> {
  await renewConnections(fleet);
  const times = new Map<string, number[]>(Object.keys(lists).map((name) => [name, []]));
  for (let round = 0; round < rounds + warmRounds; round++) {
    for (const [name, list] of Object.entries(lists)) {
      const from = performance.now();
      const { items } = await list();
      if (round >= warmRounds) times.get(name)?.push(performance.now() - from);
      if (items.length === 0) throw new Error(`list ${name} is empty`);
    }
  }
  return new Map([...times].map(([name, values]) => [name, median(values)]));
}

/** The server's connections begin anew: what they learned of plans in the small ledger is not true of the large one. */
async function renewConnections({ pool }: BenchFleet): Promise<void> {
  await pool.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
      where datname = current_database() and state = 'idle' and application_name like 'cyborg%'`,
  );
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

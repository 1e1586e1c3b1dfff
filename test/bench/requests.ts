/**
 * A server's accelerator request as Nova lives it (create, bind, read, delete), in a project without others and in one
 * with many: its cost must not depend on how many there are (upstream: 0.2 s becomes 16 s at 1,000).
 *
 * The bind's own cost (5 ms; it must stay below 20 ms on such a machine) is bounded by what the reservation of attach.ts
 * takes in the same minute as prepared SQL on the same PostgreSQL, by one client: about as many row changes.
 *
 * On a host without an agent, so that nothing but the requests is measured: what a cycle gave back is cleaned by hand.
 */
import { randomUUID } from 'node:crypto';

import { connect } from '@cyborg/store/connect';
import { addBackend, addHost } from '@cyborg/testing/fleet';
import { quietLog } from '@cyborg/testing/log';
import { addProfile, addProvider } from '@cyborg/testing/providers';

import type { BenchFleet } from './fleet.ts';
import { runRawCycles } from './raw-cycle.ts';
import { openRawDatabase, type RawDatabase } from './raw-database.ts';
import type { BenchReport } from './report.ts';

const path = '/v2/accelerator_requests';
const profile = 'bench-one';
const handles = 8;
const warmCycles = 12;
const rounds = 2;
const clients = 8;
const deletedAtOnce = 100;
const ratioMax = 1.5;
/** Of a bind's median, to that of a reservation by prepared SQL. */
const bindRatioMax = 8;

export interface RequestsBenchOptions {
  readonly cycles: number;
  readonly requestsMany: number;
}

interface Cycle {
  readonly bindMs: number;
  readonly lifeMs: number;
}

export async function benchRequests(
  fleet: BenchFleet,
  report: BenchReport,
  { cycles, requestsMany }: RequestsBenchOptions,
): Promise<void> {
  const rpUuid = await addBindable(fleet.databaseUrl);
  await using rawDatabase = await openRawDatabase(fleet.databaseUrl, cycles, 'bench_raw_bind');
  const few: Cycle[] = [];
  const many: Cycle[] = [];
  const raw: number[] = [];
  // In turns, so that what else the machine does falls on both; the quickest of each counts.
  for (let round = 0; round < rounds; round++) {
    raw.push(await rawBindMs(rawDatabase, cycles));
    few.push(await medianOf(fleet, { cycles, rpUuid }));
    const made = await createMany(fleet, requestsMany);
    many.push(await medianOf(fleet, { cycles, rpUuid }));
    await deleteMany(fleet, made);
  }
  const bindMs = Math.min(...few.map((cycle) => cycle.bindMs));
  const rawMs = Math.min(...raw);
  report.figure({
    name: `v2 bind, median ${bindMs.toFixed(1)} ms, beside ${rawMs.toFixed(1)} ms by prepared SQL`,
    value: bindMs / rawMs,
    unit: 'times',
    bound: { kind: 'at-most', value: bindRatioMax },
  });
  for (const [name, of] of [
    ['bind', 'bindMs'],
    ['create, bind, read, delete', 'lifeMs'],
  ] as const) {
    const fewMs = Math.min(...few.map((cycle) => cycle[of]));
    const manyMs = Math.min(...many.map((cycle) => cycle[of]));
    report.figure({
      name: `v2 ${name}, ${fewMs.toFixed(1)} ms, beside ${requestsMany} requests of the project ${manyMs.toFixed(1)} ms`,
      value: manyMs / fewMs,
      unit: 'times',
      bound: { kind: 'at-most', value: ratioMax },
    });
  }
}

/** One at a time, as the binds are measured. */
async function rawBindMs({ pool, scope }: RawDatabase, cycles: number): Promise<number> {
  const oneAndTheSequencer = 2;
  const run = { clients: oneAndTheSequencer, cycles, only: 'reserve' } as const;
  return (await runRawCycles(pool, scope, run)).medianMs;
}

async function addBindable(databaseUrl: string): Promise<string> {
  const { db } = connect({ url: databaseUrl, log: quietLog });
  const host = await addHost(db, { name: 'without-agent' });
  const { rpUuid } = await addProvider(db, await addBackend(db, host), { count: handles });
  await addProfile(db, { name: profile, groups: [{ 'resources:FPGA': '1' }] });
  await db.destroy();
  return rpUuid;
}

async function medianOf(
  fleet: BenchFleet,
  { cycles, rpUuid }: { readonly cycles: number; readonly rpUuid: string },
): Promise<Cycle> {
  const measured: Cycle[] = [];
  for (let cycle = 0; cycle < warmCycles + cycles; cycle++) {
    measured.push(await runCycle(fleet, rpUuid));
    await fleet.pool.query(
      `update accelerator set state = 'available', attachment_id = null where state = 'cleaning'
        and host_id in (select id from host where name = 'without-agent')`,
    );
  }
  const counted = measured.slice(warmCycles);
  return {
    bindMs: median(counted.map(({ bindMs }) => bindMs)),
    lifeMs: median(counted.map(({ lifeMs }) => lifeMs)),
  };
}

async function runCycle(fleet: BenchFleet, rpUuid: string): Promise<Cycle> {
  const instance = randomUUID();
  const from = performance.now();
  const arq = await create(fleet);
  const bindFrom = performance.now();
  await fleet.nova.request({ method: 'PATCH', path, body: bindBody(arq, { rpUuid, instance }) });
  const bindMs = performance.now() - bindFrom;
  const read = await fleet.nova.request({ method: 'GET', path, query: { instance } });
  if (!isBound(read.body)) throw new Error('the request is not bound');
  await fleet.nova.request({ method: 'DELETE', path, query: { instance } });
  return { bindMs, lifeMs: performance.now() - from };
}

async function createMany(fleet: BenchFleet, count: number): Promise<string[]> {
  const made: string[] = [];
  const work = async (): Promise<void> => {
    while (made.length < count) made.push(await create(fleet));
  };
  await Promise.all(Array.from({ length: clients }, work));
  return made;
}

async function deleteMany(fleet: BenchFleet, ids: readonly string[]): Promise<void> {
  for (let from = 0; from < ids.length; from += deletedAtOnce) {
    const arqs = ids.slice(from, from + deletedAtOnce).join(',');
    await fleet.nova.request({ method: 'DELETE', path, query: { arqs } });
  }
}

async function create(fleet: BenchFleet): Promise<string> {
  const body = { device_profile_name: profile };
  const made = await fleet.nova.request({ method: 'POST', path, body });
  return arqsOf(made.body)[0]?.uuid ?? '';
}

function bindBody(
  arq: string,
  { rpUuid, instance }: { readonly rpUuid: string; readonly instance: string },
): object {
  const values = { hostname: 'vm', device_rp_uuid: rpUuid, instance_uuid: instance };
  return {
    [arq]: Object.entries(values).map(([name, value]) => ({ path: `/${name}`, op: 'add', value })),
  };
}

function isBound(body: unknown): boolean {
  const [arq, ...others] = arqsOf(body);
  return arq?.state === 'Bound' && others.length === 0;
}

function arqsOf(body: unknown): { readonly uuid: string; readonly state: string }[] {
  return (body as { arqs: { uuid: string; state: string }[] }).arqs;
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? Number.NaN;
}

/**
 * First pages of lists at 100 and at 100,000 accelerators: a list must not scan what it does not return. Both pages have
 * the same number of rows, of hosts alike: ten accelerators to a device, a device to a backend, a backend to a host.
 */
import type { BenchFleet } from './fleet.ts';
import type { BenchReport } from './report.ts';

const warmRounds = 5;
const rounds = 40;
const ratioMax = 1.5;
const fewAccelerators = 100;
const manyAccelerators = 100_000;
const perHost = 10;
/** As many rows as there are of each noun at `fewAccelerators`. */
const limit = 10;

/** Call it last: it empties the ledger and leaves 100,000 accelerators in it. */
export async function benchLists(fleet: BenchFleet, report: BenchReport): Promise<void> {
  const lists = {
    accelerators: () => fleet.api.listAccelerators({ query: { limit } }),
    'accelerators by state': () =>
      fleet.api.listAccelerators({ query: { limit, state: 'available' } }),
    devices: () => fleet.api.listDevices({ query: { limit } }),
    backends: () => fleet.api.listBackends({ query: { limit } }),
    services: () => fleet.api.listServices({ query: { limit } }),
  };
  await clear(fleet);
  await addHosts(fleet, fewAccelerators / perHost);
  const few = await timeAll(lists);
  await addHosts(fleet, (manyAccelerators - fewAccelerators) / perHost);
  const many = await timeAll(lists);
  for (const name of Object.keys(lists)) {
    const [fewMs, manyMs] = [few.get(name) ?? Number.NaN, many.get(name) ?? Number.NaN];
    report.note(
      `list ${name}: ${fewMs.toFixed(1)} ms, at ${manyAccelerators} ${manyMs.toFixed(1)} ms`,
    );
    report.figure({
      name: `list ${name}, time at ${manyAccelerators} over time at ${fewAccelerators}`,
      value: manyMs / fewMs,
      unit: 'times',
      bound: { kind: 'at-most', value: ratioMax },
    });
  }
}

/** The quickest of many rounds: what a list costs when nothing else runs. */
async function timeAll(
  lists: Record<string, () => Promise<unknown>>,
): Promise<Map<string, number>> {
  const times = new Map<string, number[]>(Object.keys(lists).map((name) => [name, []]));
  for (let round = 0; round < rounds + warmRounds; round++) {
    for (const [name, list] of Object.entries(lists)) {
      const from = performance.now();
      await list();
      if (round >= warmRounds) times.get(name)?.push(performance.now() - from);
    }
  }
  return new Map([...times].map(([name, values]) => [name, Math.min(...values)]));
}

async function clear({ pool, agent }: BenchFleet): Promise<void> {
  await agent.end();
  await pool.query('truncate host, deployment cascade');
}

async function addHosts({ pool }: BenchFleet, count: number): Promise<void> {
  await pool.query(
    `with hosts as (
      insert into host (id, name, node_name, created_at)
      select id, 'host-' || id, 'host-' || id, now() from (select gen_random_uuid() as id from generate_series(1, $1)) as ids
      returning id),
    installations as (
      insert into installation (id, host_id, driver_id, wanted_version, running_version, state, created_at)
      select gen_random_uuid(), id, 'generic', '0.1.0', '0.1.0', 'ready', now() from hosts returning id, host_id),
    backends as (
      insert into backend (id, host_id, installation_id, name, driver_id, kind, config, state, created_at)
      select gen_random_uuid(), host_id, id, 'pci', 'generic', 'pci', '{}', 'ready', now()
      from installations returning id, host_id),
    services as (
      insert into service (id, host_id, backend_id, name, kind, state, created_at)
      select gen_random_uuid(), host_id, id, 'gpu.compute', 'function', 'up', now() from backends returning id),
    devices as (
      insert into device (id, host_id, backend_id, key, type, presence, health, created_at)
      select gen_random_uuid(), host_id, id, 'device', 'GPU', 'present', 'healthy', now()
      from backends returning id, host_id, backend_id, key),
    deployables as (
      insert into deployable (id, device_id, key, name, resource_class, created_at)
      select gen_random_uuid(), id, key, key, 'PGPU', now() from devices returning id, device_id)
    insert into accelerator (id, deployable_id, device_id, backend_id, host_id, key, name, type, resource_class,
        driver_id, state, rule_offers, presence, health, epoch, created_at)
    select gen_random_uuid(), deployables.id, devices.id, devices.backend_id, devices.host_id,
        devices.key || '-' || n, devices.key || '-' || n, 'GPU', 'PGPU', 'generic', 'available', true, 'present',
        'healthy', 4294967296, now()
      from deployables join devices on devices.id = deployables.device_id, generate_series(1, ${perHost}) n`,
    [count],
  );
  await pool.query('vacuum analyze');
}

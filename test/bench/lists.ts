/** First pages of lists at 100 and at 100,000 accelerators: a list must not scan what it does not return. */
import type { BenchFleet } from './fleet.ts';
import { median } from './discovery.ts';
import type { BenchReport } from './report.ts';

const rounds = 15;
const ratioMax = 1.5;
const manyAccelerators = 100_000;

/** Call it last: it leaves 100,000 accelerators in the ledger. */
export async function benchLists(fleet: BenchFleet, report: BenchReport): Promise<void> {
  const lists = {
    accelerators: () => fleet.api.listAccelerators({ query: { limit: 100 } }),
    'accelerators by state': () =>
      fleet.api.listAccelerators({ query: { limit: 100, state: 'available' } }),
    devices: () => fleet.api.listDevices({ query: { limit: 100 } }),
    backends: () => fleet.api.listBackends({ query: { limit: 100 } }),
    services: () => fleet.api.listServices({ query: { limit: 100 } }),
  };
  const few = await timeAll(lists);
  await addMany(fleet);
  const many = await timeAll(lists);
  for (const name of Object.keys(lists)) {
    const [fewMs, manyMs] = [few.get(name) ?? Number.NaN, many.get(name) ?? Number.NaN];
    report.note(
      `list ${name}: ${fewMs.toFixed(1)} ms, at ${manyAccelerators} ${manyMs.toFixed(1)} ms`,
    );
    report.figure({
      name: `list ${name}, time at ${manyAccelerators} over time at few`,
      value: manyMs / fewMs,
      unit: 'times',
      bound: { kind: 'at-most', value: ratioMax },
    });
  }
}

async function timeAll(
  lists: Record<string, () => Promise<unknown>>,
): Promise<Map<string, number>> {
  const times = new Map<string, number[]>(Object.keys(lists).map((name) => [name, []]));
  for (let round = 0; round < rounds + 3; round++) {
    for (const [name, list] of Object.entries(lists)) {
      const from = performance.now();
      await list();
      if (round >= 3) times.get(name)?.push(performance.now() - from);
    }
  }
  return new Map([...times].map(([name, values]) => [name, median(values)]));
}

/** On a hundred hosts of their own, ten backends each, ten devices a backend, ten accelerators a device. */
async function addMany({ pool }: BenchFleet): Promise<void> {
  await pool.query(`
    with hosts as (
      insert into host (id, name, node_name, created_at)
      select gen_random_uuid(), 'many-' || n, 'many-' || n, now() from generate_series(1, 100) n returning id),
    installations as (
      insert into installation (id, host_id, driver_id, wanted_version, running_version, state, created_at)
      select gen_random_uuid(), id, 'generic', '0.1.0', '0.1.0', 'ready', now() from hosts returning id, host_id),
    backends as (
      insert into backend (id, host_id, installation_id, name, driver_id, kind, config, state, created_at)
      select gen_random_uuid(), host_id, id, 'pci-' || n, 'generic', 'pci', '{}', 'ready', now()
      from installations, generate_series(1, 10) n returning id, host_id),
    services as (
      insert into service (id, host_id, backend_id, name, kind, state, created_at)
      select gen_random_uuid(), host_id, id, 'gpu.compute', 'function', 'up', now() from backends returning id),
    devices as (
      insert into device (id, host_id, backend_id, key, type, presence, health, created_at)
      select gen_random_uuid(), host_id, id, 'device-' || n, 'GPU', 'present', 'healthy', now()
      from backends, generate_series(1, 10) n returning id, host_id, backend_id, key),
    deployables as (
      insert into deployable (id, device_id, key, name, resource_class, created_at)
      select gen_random_uuid(), id, key, key, 'PGPU', now() from devices returning id, device_id)
    insert into accelerator (id, deployable_id, device_id, backend_id, host_id, key, name, type, resource_class,
        driver_id, state, rule_offers, presence, health, epoch, created_at)
    select gen_random_uuid(), deployables.id, devices.id, devices.backend_id, devices.host_id,
        devices.key || '-' || n, devices.key || '-' || n, 'GPU', 'PGPU', 'generic', 'available', true, 'present',
        'healthy', 4294967296, now()
      from deployables join devices on devices.id = deployables.device_id, generate_series(1, 10) n`);
  await pool.query('analyze');
}

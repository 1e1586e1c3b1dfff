/** Fills the ledger with hosts alike, by rows: ten accelerators to a device, a device to a backend, a backend to a host. */
import type pg from 'pg';

export const perHost = 10;
/** What the personas' project is granted and holds; of the first hosts alone, so that it is as much in any fleet. */
export const project = 'team';

/** Hosts with an instance, an operation and an event each. */
export async function addHosts(pool: pg.Pool, count: number): Promise<void> {
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
      select gen_random_uuid(), id, key, key, 'PGPU', now() from devices returning id, device_id),
    instances as (
      insert into instance (id, host_id, name, hypervisor, state, is_present, project_id, created_at)
      select gen_random_uuid(), id, 'guest', 'simulated', 'ACTIVE', true, 'other', now() from hosts),
    strangers as (
      insert into unclaimed (id, host_id, instance_id, device_name, first_seen_at, created_at)
      select gen_random_uuid(), id, id, 'stranger', now(), now() from hosts),
    operations as (
      insert into operation (id, kind, state, subject, host_id, user_id, project_id, created_at)
      select gen_random_uuid(), 'attach-instance', 'succeeded', '{}', id, 'other', 'other', clock_timestamp() from hosts),
    events as (
      insert into event (number, at, kind, subject_kind, subject_id, host_id, project_id, data)
      select row_number() over () + (select coalesce(max(number), 0) from event), now(), 'host.up', 'host', id, id, 'other', '{}'
      from hosts)
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

/** The hosts that are there are granted; of each, two accelerators, its instance and its operation are the project's. */
export async function giveToProject(pool: pg.Pool): Promise<void> {
  const statements = [
    `insert into access_grant (id, project_id, host_id, created_by, created_at)
      select gen_random_uuid(), '${project}', id, 'bench', now() from host`,
    `update instance set project_id = '${project}'`,
    `update operation set project_id = '${project}'`,
    `update event set project_id = '${project}'`,
    `update accelerator set project_id = '${project}', state = 'attached',
        instance_id = (select id from instance where instance.host_id = accelerator.host_id)
      where key in ('device-1', 'device-2')`,
    `insert into attachment (id, accelerator_id, host_id, instance_id, project_id, user_id, origin, state, plugged_by, created_at)
      select gen_random_uuid(), id, host_id, instance_id, project_id, 'bench', 'cyborg', 'attached', 'agent', now()
      from accelerator where instance_id is not null`,
    'vacuum analyze',
  ];
  for (const statement of statements) await pool.query(statement);
}

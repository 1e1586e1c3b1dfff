/** Rows of a small fleet, written straight into a test's database: what enrolment and inventories would make. */
import { randomUUID } from 'node:crypto';

import { resolveRoles, type Caller, type Role } from '@cyborg/model/caller';
import { firstEpoch } from '@cyborg/model/epoch';
import { v2TypeOf } from '@cyborg/model/v2/types';
import { toJson } from '@cyborg/store/json';
import type { AcceleratorTable } from '@cyborg/store/schema-inventory';
import type { BackendTable } from '@cyborg/store/schema-deployments';
import type { Database, HostTable, InstanceTable } from '@cyborg/store/schema';
import type { Insertable, Kysely, Selectable } from 'kysely';

type Db = Kysely<Database>;

/** Before every test clock's start, so that nothing in the fixture is newer than the test. */
export const fleetMadeAt = new Date('2029-12-31T00:00:00Z');
/** Hosts of the fixture are up until then, unless a test says otherwise. */
export const fleetLeaseEndsAt = new Date('2099-01-01T00:00:00Z');

const pluggable = ['virtio-crypto', 'virtio-rng'];

/** A caller of one role (and what it implies) in a project whose id and name are the same. */
export function callerOf(role: Role, projectId: string): Caller {
  return {
    userId: `${role}-of-${projectId}`,
    userName: `${role}-of-${projectId}`,
    projectId,
    projectName: projectId,
    roles: resolveRoles([role]),
    isServiceRequest: role === 'service',
  };
}

/** An enrolled host whose agent is up, with a healthy hypervisor that plugs both virtio kinds. */
export async function addHost(
  db: Db,
  changes: Partial<Insertable<HostTable>> = {},
): Promise<Selectable<HostTable>> {
  const id = changes.id ?? randomUUID();
  const name = changes.name ?? `host-${id.slice(0, 8)}`;
  return db
    .insertInto('host')
    .values({
      id,
      name,
      node_name: name,
      agent_instance: randomUUID(),
      lease_expires_at: fleetLeaseEndsAt,
      plugs: toJson([{ hypervisor: 'qemu', healthy: true, reason: null, plugs: pluggable }]),
      instances_reported_at: fleetMadeAt,
      first_inventory_at: fleetMadeAt,
      created_at: fleetMadeAt,
      ...changes,
    })
    .returningAll()
    .executeTakeFirstOrThrow();
}

/** A ready backend; makes its driver, one approved version and the installation when they are missing. */
export async function addBackend(
  db: Db,
  host: { readonly id: string },
  changes: Partial<Insertable<BackendTable>> = {},
): Promise<Selectable<BackendTable>> {
  const driverId = changes.driver_id ?? 'generic';
  await addDriver(db, driverId);
  return db
    .insertInto('backend')
    .values({
      id: randomUUID(),
      host_id: host.id,
      installation_id: changes.installation_id ?? (await addInstallation(db, host.id, driverId)),
      name: 'virtual',
      driver_id: driverId,
      kind: 'virtual',
      config: toJson({}),
      state: 'ready',
      created_at: fleetMadeAt,
      ...changes,
    })
    .returningAll()
    .executeTakeFirstOrThrow();
}

/** Available accelerators of one device (and deployable) each; crypto by virtio unless told. Ids rise in order. */
export async function addAccelerators(
  db: Db,
  backend: { readonly id: string; readonly host_id: string; readonly driver_id: string },
  { count, ...changes }: { readonly count: number } & Partial<Insertable<AcceleratorTable>>,
): Promise<Selectable<AcceleratorTable>[]> {
  const type = changes.type ?? 'CRYPTO';
  const made = [];
  for (let index = 0; index < count; index++) {
    const key = changes.key ?? `${type.toLowerCase()}-${randomUUID()}`;
    const { deviceId, deployableId } = await addDevice(db, backend, { key, type });
    made.push({
      id: randomUUID(),
      deployable_id: deployableId,
      device_id: deviceId,
      backend_id: backend.id,
      host_id: backend.host_id,
      name: key,
      type,
      resource_class: `CUSTOM_CYBORG_${type}`,
      plans: toJson([type === 'ENTROPY' ? 'virtio-rng' : 'virtio-crypto']),
      driver_id: backend.driver_id,
      state: 'available' as const,
      rule_offers: true,
      presence: 'present' as const,
      health: 'healthy' as const,
      epoch: firstEpoch(1),
      created_at: fleetMadeAt,
      ...changes,
      key,
    });
  }
  if (made.length === 0) return [];
  const rows = await db.insertInto('accelerator').values(made).returningAll().execute();
  return rows.toSorted((a, b) => (a.id < b.id ? -1 : 1));
}

/** A running QEMU guest that both virtio kinds can be plugged into. */
export async function addInstance(
  db: Db,
  host: { readonly id: string },
  changes: Partial<Insertable<InstanceTable>> = {},
): Promise<Selectable<InstanceTable>> {
  const id = changes.id ?? randomUUID();
  return db
    .insertInto('instance')
    .values({
      id,
      host_id: host.id,
      name: `guest-${id.slice(0, 8)}`,
      hypervisor: 'qemu',
      state: 'ACTIVE',
      plugs: toJson(pluggable),
      project_id: 'alpha',
      project_source: 'operator',
      is_present: true,
      created_at: fleetMadeAt,
      ...changes,
    })
    .returningAll()
    .executeTakeFirstOrThrow();
}

async function addDriver(db: Db, id: string): Promise<void> {
  await db
    .insertInto('driver')
    .values({ id, title: id, created_at: fleetMadeAt })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  await db
    .insertInto('driver_version')
    .values({
      driver_id: id,
      version: '1.0.0',
      state: 'approved',
      is_builtin: true,
      manifest: toJson({ kinds: [], default_backends: [] }),
      created_at: fleetMadeAt,
    })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
}

async function addInstallation(db: Db, hostId: string, driverId: string): Promise<string> {
  await db
    .insertInto('installation')
    .values({
      id: randomUUID(),
      host_id: hostId,
      driver_id: driverId,
      wanted_version: '1.0.0',
      running_version: '1.0.0',
      state: 'ready',
      created_at: fleetMadeAt,
    })
    .onConflict((conflict) => conflict.doNothing())
    .execute();
  const { id } = await db
    .selectFrom('installation')
    .select('id')
    .where('host_id', '=', hostId)
    .where('driver_id', '=', driverId)
    .executeTakeFirstOrThrow();
  return id;
}

async function addDevice(
  db: Db,
  backend: { readonly id: string; readonly host_id: string },
  { key, type }: { readonly key: string; readonly type: string },
): Promise<{ deviceId: string; deployableId: string }> {
  const deviceId = randomUUID();
  const deployableId = randomUUID();
  await db
    .insertInto('device')
    .values({
      id: deviceId,
      host_id: backend.host_id,
      backend_id: backend.id,
      key,
      type,
      presence: 'present',
      health: 'healthy',
      created_at: fleetMadeAt,
    })
    .execute();
  await db
    .insertInto('deployable')
    .values({
      id: deployableId,
      device_id: deviceId,
      key,
      name: key,
      resource_class: `CUSTOM_CYBORG_${type}`,
      in_v2: v2TypeOf(type) !== null,
      created_at: fleetMadeAt,
    })
    .execute();
  return { deviceId, deployableId };
}

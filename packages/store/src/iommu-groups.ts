/**
 * Accelerators whose functions share an IOMMU group: the hardware cannot keep them apart, so one instance gets them all, or
 * nobody any of them.
 */
import type { AcceleratorState } from '@cyborg/model/accelerator-lifecycle';
import { sql, type Kysely, type RawBuilder, type SqlBool } from 'kysely';

import type { Database } from './schema.ts';

/** The PCI function that an accelerator stands for, whatever else its attach handle says. */
const functionOf = (row: string): string =>
  `lower(concat_ws(':', ltrim(${row}.attach_info ->> 'domain', '0'), ${row}.attach_info ->> 'bus',
    ${row}.attach_info ->> 'device', ${row}.attach_info ->> 'function'))`;

/**
 * Of the accelerator `a`. The groups of what is gone are others' by now. What another backend reports of a function that
 * has its entry in the group already is no second member of it: its `host_use` says that it came second.
 */
const mates =
  sql.raw(`from accelerator g where g.host_id = a.host_id and g.iommu_group = a.iommu_group
  and g.id <> a.id and g.presence = 'present'
  and not (g.state = 'withheld' and g.host_use is not null and g.attach_info ? 'bus' and exists (
    select from accelerator f where f.host_id = g.host_id and f.iommu_group = g.iommu_group
      and f.presence = 'present' and f.host_use is null and ${functionOf('f')} = ${functionOf('g')}))`);

/** For a query on `accelerator a`: it is the only one of its group, and may be given by itself to anybody. */
export const isAlone: RawBuilder<SqlBool> = sql`(a.iommu_group is null or not exists (select ${mates}))`;

/** For a query on `accelerator a`: the instance has the rest of its group, if there is one. */
export function hasRestOfGroup(instanceId: string | null): RawBuilder<SqlBool> {
  return sql`(a.iommu_group is null or not exists (
    select ${mates} and g.instance_id is distinct from ${instanceId}::uuid))`;
}

/** For a query on `accelerator a`: the rest of its group could go to the instance, or is there. */
export function mayHaveGroup({
  instanceId,
  projectId,
}: {
  readonly instanceId: string;
  readonly projectId: string;
}): RawBuilder<SqlBool> {
  return sql`(a.iommu_group is null or not exists (
    select ${mates} and g.instance_id is distinct from ${instanceId}::uuid
      and not (g.state = 'available' and (g.reserved_for is null or g.reserved_for = ${projectId}))))`;
}

export interface GroupMate {
  readonly id: string;
  readonly name: string;
  /** Of its PCI function. */
  readonly address: string;
  readonly driver_id: string;
  readonly type: string;
  readonly state: AcceleratorState;
  readonly reason: string | null;
  readonly reserved_for: string | null;
  readonly instance_id: string | null;
  readonly project_id: string | null;
}

/** For a query on `accelerator a`: the others of its group, by name; empty for one that is in none. */
export const groupMates: RawBuilder<readonly GroupMate[]> = sql`
  coalesce((select jsonb_agg(jsonb_build_object('id', g.id, 'name', g.name, 'address',
      concat(g.attach_info ->> 'domain', ':', g.attach_info ->> 'bus', ':', g.attach_info ->> 'device', '.',
        g.attach_info ->> 'function'),
      'driver_id', g.driver_id, 'type', g.type, 'state', g.state, 'reason', g.reason, 'reserved_for', g.reserved_for, 'instance_id', g.instance_id,
      'project_id', g.project_id) order by g.name, g.id)
    ${mates}), '[]')`;

/** Who else is in the groups of these, and is not the instance's already: ids by id. */
export async function listMatesToTake(
  db: Kysely<Database>,
  { ids, instanceId }: { readonly ids: readonly string[]; readonly instanceId: string },
): Promise<ReadonlyMap<string, readonly string[]>> {
  const { rows } = await sql<{ id: string; mates: readonly string[] }>`
    select a.id, array(select g.id ${mates} and g.instance_id is distinct from ${instanceId}::uuid
      order by g.id)::text[] as mates
    from accelerator a where a.id = any(${ids}::uuid[]) and a.iommu_group is not null`.execute(db);
  return new Map(rows.map((row) => [row.id, row.mates]));
}

export interface StayingMate {
  readonly id: string;
  readonly name: string;
  readonly iommu_group: number;
  readonly mate_id: string;
  readonly mate_name: string;
}

/**
 * Who of the groups of these the instance would keep, if these were taken from it: a row for each pair, by name. What Nova
 * bound does not count: it goes with its server alone.
 */
export async function listMatesThatStay(
  db: Kysely<Database>,
  { ids, instanceId }: { readonly ids: readonly string[]; readonly instanceId: string },
): Promise<StayingMate[]> {
  const { rows } = await sql<StayingMate>`
    select a.id, a.name, a.iommu_group, g.id as mate_id, g.name as mate_name
    from accelerator a
      join accelerator g on g.host_id = a.host_id and g.iommu_group = a.iommu_group and g.presence = 'present'
      join attachment t on t.id = g.attachment_id
    where a.id = any(${ids}::uuid[]) and a.presence = 'present'
      and g.id <> all(${ids}::uuid[]) and g.instance_id = ${instanceId}::uuid
      and t.origin = 'cyborg' and t.state <> 'detaching'
    order by a.name, a.id, g.name, g.id`.execute(db);
  return rows;
}

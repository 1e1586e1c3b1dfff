import { sql, type Kysely, type RawBuilder, type SqlBool } from 'kysely';

import { serverJson, type KnownServer } from './nova/servers.ts';
import type { Database, HostCondition, HostPlug } from './schema.ts';

/** An instance with its host and its project's quotas: what an attach needs to know before it picks. */
export interface AttachContextRow {
  readonly id: string;
  readonly name: string;
  readonly state: string;
  readonly hypervisor: string;
  readonly plugs: readonly string[];
  readonly numa_nodes: readonly number[];
  readonly project_id: string | null;
  readonly is_present: boolean;
  readonly is_vanished: boolean;
  readonly host_id: string;
  readonly host: string;
  readonly host_node_name: string;
  readonly host_service_host: string | null;
  /** What Nova said of it last; null when it is none of Nova's servers, or Nova has not been asked. */
  readonly server: KnownServer | null;
  readonly host_status: 'enabled' | 'disabled';
  readonly host_status_reason: string | null;
  readonly host_conditions: readonly HostCondition[];
  readonly host_plugs: readonly HostPlug[];
  readonly lease_expires_at: Date | null;
  readonly revoked_at: Date | null;
  readonly quotas: readonly { readonly type: string; readonly max: number }[];
}

export interface AttachContextOptions {
  /** UUID or name. */
  readonly instance: string;
  readonly isId: boolean;
  readonly visible: RawBuilder<SqlBool>;
  /** Whose quota counts for an instance without a project. */
  readonly projectId: string;
  /** Without: reads only. */
  readonly lock: boolean;
  /** Nova's word counts, where there is one. */
  readonly usesNova: boolean;
}

/**
 * One statement: the instance (two rows when a name is not unique), its host, and the quotas of its project, whose rows
 * stay locked, so that two reservations of one project count one after the other. The instance keeps
 * the project that somebody gave it meanwhile.
 */
export async function readAttachContext(
  db: Kysely<Database>,
  { instance, isId, visible, projectId, lock, usesNova }: AttachContextOptions,
): Promise<AttachContextRow[]> {
  const is = isId ? sql`instance.id = ${instance}::uuid` : sql`instance.name = ${instance}`;
  const server = usesNova ? serverJson : sql`null::jsonb`;
  const { rows } = await sql<AttachContextRow>`
    with found as materialized (
      select instance.* from instance where ${is} and ${visible} order by instance.id limit 2
      ${lock ? sql`for key share` : sql``}),
    quotas as materialized (
      select type, accelerators_max from quota
      where project_id in (select coalesce(project_id, ${projectId}) from found)
      order by type ${lock ? sql`for update` : sql``})
    select f.id, f.name, f.state, f.hypervisor, f.plugs, f.numa_nodes, f.project_id, f.is_present, f.is_vanished, f.host_id,
      h.name as host, h.node_name as host_node_name, h.service_host as host_service_host, ${server} as server,
      h.status as host_status, h.status_reason as host_status_reason,
      h.conditions as host_conditions, h.plugs as host_plugs, h.lease_expires_at, h.revoked_at,
      coalesce((select jsonb_agg(jsonb_build_object('type', q.type, 'max', q.accelerators_max)) from quotas q),
        '[]') as quotas
    from found f join host h on h.id = f.host_id ${usesNova ? sql`left join nova_server s on s.instance_id = f.id` : sql``}`.execute(
    db,
  );
  return rows;
}

/** Names for "did you mean"; at most a thousand are looked at. */
export async function listInstanceNames(
  db: Kysely<Database>,
  visible: RawBuilder<SqlBool>,
): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    select instance.name from instance where ${visible} order by instance.id limit 1000`.execute(
    db,
  );
  return rows.map((row) => row.name);
}

/** Accelerators of the project by type, for its quota. */
export async function countHeldByType(
  db: Kysely<Database>,
  projectId: string,
): Promise<ReadonlyMap<string, number>> {
  const { rows } = await sql<{ type: string; count: number }>`
    select type, count(*) as count from accelerator where project_id = ${projectId} group by type`.execute(
    db,
  );
  return new Map(rows.map((row) => [row.type, row.count]));
}

/** What a forced uninstall has left: accelerators whose backend is gone from its host, and who could clean them. */
import { sql, type Kysely, type RawBuilder, type SqlBool } from 'kysely';

import type { Database } from './schema.ts';

/** For a query on `backend b`: its host has taken it away; its row stays for what was kept. */
export const isGone: RawBuilder<SqlBool> = sql`(b.state = 'removing' and b.observed_generation >= b.generation)`;

/** For a query on `accelerator a`: the same function as another backend of the host reports it. */
export const twins: RawBuilder<unknown> = sql`(
  select t.backend_id, t.key from accelerator t join backend tb on tb.id = t.backend_id
  where t.host_id = a.host_id and t.backend_id <> a.backend_id and tb.state <> 'removing'
    and t.presence = 'present' and t.attachment_id is null and t.plans ? 'pci'
    and a.attach_info <> '{}' and t.attach_info = a.attach_info
  order by t.id limit 1)`;

/** `fail`: nobody can clean it. `retry`: somebody can by now. `forget`: it is clean, and nobody's. */
export type OrphanStep = 'fail' | 'retry' | 'forget';

export interface OrphanRow {
  readonly id: string;
  readonly step: OrphanStep;
}

/** Another backend tries once to clean what failed. */
const steps = sql`
  select a.id, case
      when a.state = 'cleaning' and not exists ${twins} then 'fail'
      when a.state = 'cleaning_failed' and a.attempts = 0 and exists ${twins} then 'retry'
      when a.state in ('available', 'withheld') then 'forget'
    end as step
  from accelerator a join backend b on b.id = a.backend_id
  where b.state = 'removing' and ${isGone} and a.attachment_id is null`;

export const hasOrphanSteps: RawBuilder<boolean> = sql`exists (
  select from (${steps}) as orphan where step is not null)`;

/** In id order. */
export async function listOrphanSteps(db: Kysely<Database>, limit: number): Promise<OrphanRow[]> {
  const { rows } = await sql<OrphanRow>`
    select id, step from (${steps}) as orphan where step is not null order by id limit ${limit}`.execute(
    db,
  );
  return rows;
}

/** The next failure is the last word until a person decides. */
export async function noteCleaningTried(
  tx: Kysely<Database>,
  ids: readonly string[],
): Promise<void> {
  await sql`update accelerator set attempts = attempts + 1 where id = any(${ids}::uuid[])`.execute(
    tx,
  );
}

export interface ForgottenRow {
  readonly id: string;
  readonly name: string;
  readonly host_id: string;
}

/**
 * Deletes them with their empty devices and backends, and has other backends that report the same functions look again:
 * the functions are theirs now.
 */
export async function forgetOrphans(
  tx: Kysely<Database>,
  ids: readonly string[],
): Promise<ForgottenRow[]> {
  await sql`update backend set inventory_hash = null, discovery_requested = discovery_requested + 1
    where state <> 'removing' and id in (
      select t.backend_id from accelerator a join accelerator t
        on t.host_id = a.host_id and t.backend_id <> a.backend_id and t.attach_info = a.attach_info
      where a.id = any(${ids}::uuid[]) and a.attach_info <> '{}')`.execute(tx);
  const { rows } = await sql<ForgottenRow & { device_id: string; backend_id: string }>`
    delete from accelerator where id = any(${ids}::uuid[])
    returning id, name, host_id, device_id, backend_id`.execute(tx);
  await sql`delete from device where id = any(${rows.map((row) => row.device_id)}::uuid[])
    and not exists (select from accelerator a where a.device_id = device.id)`.execute(tx);
  await sql`delete from backend b where id = any(${rows.map((row) => row.backend_id)}::uuid[]) and ${isGone}
    and not exists (select from accelerator a where a.backend_id = b.id)`.execute(tx);
  return rows;
}

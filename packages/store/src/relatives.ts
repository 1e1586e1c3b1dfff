/**
 * Accelerators that are the whole of another one, or a part of it: a physical function and its virtual functions. Giving
 * one while somebody has the other would give the same hardware twice.
 */
import { sql, type Kysely, type RawBuilder, type SqlBool } from 'kysely';

import type { AcceleratorState } from '@cyborg/model/accelerator-lifecycle';
import type { Database } from './schema.ts';

/** States in which nobody has it and nothing of somebody is left in it. */
const free = sql.raw(`('available', 'withheld')`);

/**
 * Of the accelerator `a`: those of its device in another part, where one of the two is the device as a whole; and, where
 * the virtual functions are listed without their physical one, those that name its address. Only what is plugged as a PCI
 * function can be divided so.
 */
const relatives = sql.raw(`
  select o.id, o.name, o.state, op.key = od.key as is_whole
  from device od join deployable ap on ap.id = a.deployable_id
    join accelerator o on o.device_id = od.id and o.deployable_id <> a.deployable_id
    join deployable op on op.id = o.deployable_id
  where od.id = a.device_id and (op.key = od.key or ap.key = od.key)
  union all
  select o.id, o.name, o.state, true from device ad
    join device od on od.host_id = a.host_id and od.address = ad.info->>'physical_function'
    join accelerator o on o.device_id = od.id and o.attach_info <> a.attach_info
  where ad.id = a.device_id
  union all
  select o.id, o.name, o.state, false from device ad
    join device od on od.host_id = a.host_id and od.info->>'physical_function' = ad.address
    join accelerator o on o.device_id = od.id
  where ad.id = a.device_id`);

/** For a query on `accelerator a`: nobody has the whole of it, nor a part. */
export const noRelativeHeld: RawBuilder<SqlBool> = sql`not (a.plans ? 'pci' and exists (
  select from (${relatives}) as relative where state not in ${free}))`;

export interface HeldRelative {
  readonly name: string;
  readonly state: AcceleratorState;
  readonly is_whole: boolean;
}

/** For a query on `accelerator a`: one `HeldRelative` as JSON, or null. */
export const heldRelative: RawBuilder<HeldRelative | null> = sql`
  (select to_jsonb(relative) - 'id' from (${relatives}) as relative
    where a.plans ? 'pci' and state not in ${free} order by name limit 1)`;

export interface Relative {
  readonly id: string;
  readonly name: string;
  readonly is_whole: boolean;
}

/** For a query on `accelerator a`: what it cannot be given together with, by name; held or not. */
export const allRelatives: RawBuilder<readonly Relative[]> = sql`
  coalesce((select jsonb_agg(to_jsonb(relative) - 'state' order by name, id)
    from (${relatives}) as relative where a.plans ? 'pci'), '[]')`;

export interface RelativesQuery {
  /** Locked already. */
  readonly ids: readonly string[];
  /** With `skip-locked`, what cannot be locked at once counts as in the way. */
  readonly locking: 'skip-locked' | 'wait' | 'none';
}

interface Pair {
  readonly id: string;
  readonly other: string;
  readonly is_whole: boolean;
}

/**
 * Which of these have a relative that somebody has by now, or that is among them. The whole of each is locked before the
 * states are read: of two that take a whole and a part of it at the same moment, the second one sees the first.
 */
export async function listInTheWay(
  tx: Kysely<Database>,
  { ids, locking }: RelativesQuery,
): Promise<ReadonlySet<string>> {
  const { rows: pairs } = await sql<Pair>`
    select a.id, relative.id as other, relative.is_whole
    from accelerator a, lateral (${relatives}) as relative
    where a.id = any(${ids}::uuid[])`.execute(tx);
  if (pairs.length === 0) return new Set();
  const wholes = pairs.filter((pair) => pair.is_whole && !ids.includes(pair.other));
  const locked = await lockWholes(tx, [...new Set(wholes.map(({ other }) => other))], locking);
  const { rows: held } = await sql<{ id: string }>`
    select id from accelerator
    where id = any(${pairs.map(({ other }) => other)}::uuid[]) and state not in ${free}`.execute(
    tx,
  );
  const heldIds = new Set(held.map(({ id }) => id));
  const isInTheWay = ({ other, is_whole }: Pair): boolean =>
    heldIds.has(other) || (ids.includes(other) ? !is_whole : is_whole && !locked.has(other));
  return new Set(pairs.filter(isInTheWay).map(({ id }) => id));
}

async function lockWholes(
  tx: Kysely<Database>,
  ids: readonly string[],
  locking: RelativesQuery['locking'],
): Promise<ReadonlySet<string>> {
  if (ids.length === 0 || locking === 'none') return new Set(ids);
  const { rows } = await sql<{ id: string }>`
    select id from accelerator where id = any(${ids}::uuid[]) order by id
    for share ${locking === 'wait' ? sql`` : sql`skip locked`}`.execute(tx);
  return new Set(rows.map(({ id }) => id));
}

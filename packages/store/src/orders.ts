/** What waits for a host: attachments to make or take back, accelerators to clean. */
import type { PluggedBy } from '@cyborg/model/attachment-lifecycle';
import { sql, type Kysely, type RawBuilder } from 'kysely';

import type { AttachmentRow } from './holdings.ts';
import { isGone, twins } from './orphans.ts';
import type { Database } from './schema.ts';

/** The agent API's `Order`. */
export interface OrderRow {
  readonly kind: 'attach' | 'detach' | 'clean' | 'update';
  readonly attachment_id: string | null;
  readonly accelerator_id: string;
  readonly accelerator_key: string;
  readonly backend_id: string;
  readonly epoch: number;
  readonly device_epoch: number;
  readonly instance_id: string | null;
  readonly plugged_by: PluggedBy;
  readonly driver_gone: boolean;
  /** For attach: its instance had it before. */
  readonly was_attached: boolean;
  readonly trace_parent: string | null;
  /** For clean: of the PCI function. */
  readonly address: string | null;
  /** For clean: why an operator accepts that it has no reset. */
  readonly resetless_reason: string | null;
  /** For update. */
  readonly image: OrderedImage | null;
}

export interface OrderedImage {
  readonly name: string;
  readonly sha256: string;
  readonly size_bytes: number;
  /** From when it was ordered. */
  readonly deadline_seconds: number;
  /** Of the same deployable: none of them may be held, either. */
  readonly others: readonly string[];
}

/** The agent API's `Held`. */
export interface HeldRow {
  readonly attachment_id: string;
  readonly accelerator_id: string;
  readonly accelerator_key: string;
  readonly backend_id: string;
  readonly instance_id: string;
  readonly epoch: number;
  readonly device_epoch: number;
  readonly plugged_by: PluggedBy;
}

const address = sql`case when a.plans ? 'pci' then concat(a.attach_info ->> 'domain', ':', a.attach_info ->> 'bus', ':',
  a.attach_info ->> 'device', '.', a.attach_info ->> 'function') end`;

/**
 * Taking back and cleaning come before giving: an accelerator's earlier holder goes first. What a backend leaves that is
 * gone is cleaned by another one that reports the same function.
 */
export async function listHostOrders(
  db: Kysely<Database>,
  hostId: string,
  limit: number,
): Promise<OrderRow[]> {
  const { rows } = await sql<OrderRow>`
    select case t.state when 'attaching' then 'attach' else 'detach' end as kind, t.id as attachment_id,
      a.id as accelerator_id, a.key as accelerator_key, a.backend_id, t.epoch, t.device_epoch, t.instance_id,
      t.plugged_by, ${isGone} as driver_gone,
      t.state = 'attaching' and a.state in ('attached', 'orphaned') as was_attached, t.trace_parent, null as address, null as resetless_reason, null::jsonb as image
    from attachment t join accelerator a on a.id = t.accelerator_id join backend b on b.id = a.backend_id
    where t.host_id = ${hostId} and t.state in ('attaching', 'detaching')
    union all
    select 'clean', null, a.id, coalesce(twin.key, a.key), coalesce(twin.backend_id, a.backend_id), a.epoch,
      a.epoch, null, 'none', false, false, a.trace_parent, ${address}, a.resetless_reason, null
    from accelerator a join backend b on b.id = a.backend_id
      left join lateral ${twins} as twin on ${isGone}
    where a.host_id = ${hostId} and a.state = 'cleaning' and (not ${isGone} or twin.key is not null)
    union all
    select 'update', null, a.id, a.key, a.backend_id, p.epoch, p.epoch, null, 'none', false, false, p.trace_parent, ${address}, null,
      jsonb_build_object('name', p.image_name, 'sha256', i.sha256, 'size_bytes', i.size_bytes,
        'deadline_seconds', ceil(extract(epoch from p.deadline_at - p.created_at))::integer,
        'others', (select coalesce(jsonb_agg(o.id order by o.id), '[]') from accelerator o
          where o.deployable_id = p.deployable_id and o.id <> a.id))
    from programming p join accelerator a on a.id = p.accelerator_id join staged_image i on i.id = p.staged_image_id
    where p.host_id = ${hostId} and p.state = 'writing'
    order by kind desc, epoch, accelerator_id limit ${limit}`.execute(db);
  return rows;
}

/**
 * One text per host that differs whenever its orders do; hosts without orders are left out. What a guest lost is ordered
 * again with the same epoch: its time tells the orders apart for an agent that has not seen the list in between.
 */
export async function readOrderFingerprints(
  db: Kysely<Database>,
  hostIds: readonly string[],
): Promise<Map<string, string>> {
  if (hostIds.length === 0) return new Map();
  const { rows } = await orderPrints(hostIds).execute(db);
  return new Map(rows.map((row) => [row.host_id, row.fingerprint]));
}

/** The same as a statement, to ask it together with others. */
export function orderPrints(
  hostIds: readonly string[],
): RawBuilder<{ host_id: string; fingerprint: string }> {
  return sql`
    select host_id, md5(string_agg(word, ' ' order by word)) as fingerprint from (
      select host_id, concat(id, state, epoch,
        case state when 'attaching' then extract(epoch from updated_at) end) as word from attachment
      where host_id = any(${hostIds}::uuid[]) and state in ('attaching', 'detaching')
      union all
      select host_id, concat(id, state, epoch, md5(resetless_reason)) from accelerator
      where host_id = any(${hostIds}::uuid[]) and state = 'cleaning'
      union all
      select host_id, concat(id, state, epoch) from programming
      where host_id = any(${hostIds}::uuid[]) and state = 'writing') as waiting
    group by host_id`;
}

/** What the ledger believes is plugged, in attachment order. */
export async function listHostHeld(
  db: Kysely<Database>,
  {
    hostId,
    after,
    limit,
  }: { readonly hostId: string; readonly after: string | undefined; readonly limit: number },
): Promise<HeldRow[]> {
  const { rows } = await sql<HeldRow>`
    select t.id as attachment_id, a.id as accelerator_id, a.key as accelerator_key, a.backend_id, t.instance_id,
      t.epoch, t.device_epoch, t.plugged_by
    from attachment t join accelerator a on a.id = t.accelerator_id
    where t.host_id = ${hostId} and t.state in ('attached', 'failed') and t.instance_id is not null
      and t.id > ${after ?? '00000000-0000-0000-0000-000000000000'}::uuid
    order by t.id limit ${limit}`.execute(db);
  return rows;
}

export interface TakenFunctionRow {
  readonly backend_id: string;
  readonly accelerator_key: string;
  readonly address: string;
}

/** PCI functions of a host that were prepared for somebody and are not clean again: an agent may have bound them. */
export async function listTakenFunctions(
  db: Kysely<Database>,
  hostId: string,
  limit: number,
): Promise<TakenFunctionRow[]> {
  const { rows } = await sql<TakenFunctionRow>`
    select a.backend_id, a.key as accelerator_key, ${address} as address
    from accelerator a
    where a.host_id = ${hostId} and a.plans ? 'pci' and a.attach_info ? 'bus'
      and a.state in ('attached', 'orphaned', 'cleaning', 'cleaning_failed')
    order by a.id limit ${limit}`.execute(db);
  return rows;
}

export type ObservableRow = Pick<
  AttachmentRow,
  'id' | 'state' | 'observed' | 'epoch' | 'plugged_by'
> & { readonly accelerator_id: string };

/** Attachments of this host among the given ones: what an observation may be about. */
export async function listObservable(
  db: Kysely<Database>,
  { hostId, attachmentIds }: { readonly hostId: string; readonly attachmentIds: readonly string[] },
): Promise<ObservableRow[]> {
  const { rows } = await sql<ObservableRow>`
    select id, accelerator_id, state, observed, epoch, plugged_by from attachment
    where id = any(${attachmentIds}::uuid[]) and host_id = ${hostId} and accelerator_id is not null
      and state <> 'released'`.execute(db);
  return rows;
}

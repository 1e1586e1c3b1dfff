/** What waits, for whom, and since when: for monitoring. Each is read through an index of what waits alone. */
import { sql, type Kysely, type RawBuilder } from 'kysely';

import type { Database } from './schema.ts';

export interface Backlog {
  readonly queue: string;
  readonly waiting: number;
  readonly oldest_at: Date | null;
}

type Queue = (now: Date) => RawBuilder<unknown>;

const changed = sql`coalesce(updated_at, created_at)`;

/** By the names of the reconcilers that work them off; those without a queue only look. */
export const reconcilerQueues: Readonly<Record<string, Queue>> = {
  'number-events': () => sql`min(at) from event where number is null`,
  'dispatch-attachments': () => sql`min(${changed}) from attachment
    where state = 'reserved' and origin = 'cyborg' and allocation is distinct from 'wanted'`,
  'make-allocations': () => sql`min(${changed}) from attachment
    where allocation = 'wanted' and state = 'reserved'`,
  'remove-allocations': () => sql`min(${changed}) from attachment t
    where allocation is not null and state = 'released' and not exists (
      select from accelerator held where held.id = t.accelerator_id and held.state = 'cleaning')`,
  placement: () => sql`min(coalesce(waiting_since, next_attempt_at)) from placement_provider
    where next_attempt_at is not null`,
  'send-nova-events': () => sql`min(created_at) from nova_event`,
  'fetch-program-images': () => sql`min(created_at) from programming where state = 'staging'`,
  'end-overdue-operations': (now) => sql`min(deadline_at) from operation
    where state in ('queued', 'running', 'waiting') and deadline_at <= ${now}`,
  'mark-hosts-down': (now) => sql`min(lease_expires_at) from host
    where agent_instance is not null and lease_expires_at <= ${now}`,
  'release-vanished': () => sql`min(i.missing_since) from instance i
    join attachment t on t.instance_id = i.id and t.host_id = i.host_id
    where i.is_vanished and t.state in ('attaching', 'attached', 'failed') and t.plugged_by = 'agent'`,
};

/** By what the hosts' agents are to do. */
export const hostQueues: Readonly<Record<string, Queue>> = {
  attach: () => sql`min(${changed}) from attachment where state = 'attaching'`,
  detach: () => sql`min(${changed}) from attachment where state = 'detaching'`,
  clean: () => sql`min(${changed}) from accelerator where state = 'cleaning'`,
  update: () => sql`min(${changed}) from programming where state = 'writing'`,
};

export async function readBacklogs(
  db: Kysely<Database>,
  queues: Readonly<Record<string, Queue>>,
  now: Date,
): Promise<Backlog[]> {
  const parts = Object.entries(queues).map(
    ([name, rest]) => sql`(select ${sql.lit(name)} as queue, count(*) as waiting, ${rest(now)})`,
  );
  const { rows } = await sql<Backlog>`
    select queue, waiting, oldest_at
    from (${sql.join(parts, sql` union all `)}) as backlog (queue, waiting, oldest_at)`.execute(db);
  return rows;
}

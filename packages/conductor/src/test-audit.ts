/** Watches a test's database: every change of a state, and every event, with the transaction that made it. */
import { sql } from 'kysely';

import type { Db } from './deps.ts';

const tables = ['accelerator', 'attachment', 'operation'] as const;

export async function startAudit(db: Db): Promise<void> {
  await sql`create table audit (noun text, id text, state text, tx bigint)`.execute(db);
  await sql`create table audit_event (subject_id text, state text, tx bigint)`.execute(db);
  await sql
    .raw(`create function audit_state() returns trigger language plpgsql as $$ begin
    if tg_op = 'INSERT' or old.state <> new.state then
      insert into audit values (tg_table_name, new.id::text, new.state, txid_current());
    end if; return null; end $$`)
    .execute(db);
  await sql
    .raw(`create function audit_event() returns trigger language plpgsql as $$ begin
    insert into audit_event values (new.subject_id, new.data->>'state', txid_current());
    return null; end $$`)
    .execute(db);
  for (const table of tables) {
    await sql
      .raw(`create trigger audit_${table} after insert or update on ${table}
      for each row execute function audit_state()`)
      .execute(db);
  }
  await sql
    .raw(`create trigger audit_event after insert on event
    for each row execute function audit_event()`)
    .execute(db);
}

/** Changes of a state whose transaction wrote no event that says so (promise 2). Empty = the promise is kept. */
export async function changesWithoutEvent(db: Db): Promise<object[]> {
  const { rows } = await sql<object>`
    select a.* from audit a where not exists (
      select 1 from audit_event e where e.tx = a.tx and e.subject_id = a.id and e.state = a.state)`.execute(
    db,
  );
  return rows;
}

/** What must hold at every instant, in words; empty = it holds. */
export async function brokenInvariants(db: Db): Promise<string[]> {
  const accelerators = await db.selectFrom('accelerator').selectAll().execute();
  const attachments = await db
    .selectFrom('attachment')
    .selectAll()
    .where('state', '<>', 'released')
    .execute();
  const operations = await db.selectFrom('operation').selectAll().execute();
  const byId = new Map(attachments.map((row) => [row.id, row]));
  const broken: string[] = [];
  for (const row of accelerators) {
    const holds = ['reserved', 'attached', 'orphaned'].includes(row.state);
    const attachment = byId.get(row.attachment_id ?? '');
    if (holds !== (attachment !== undefined)) {
      broken.push(`${row.id} is ${row.state} with attachment ${row.attachment_id}`);
    }
    if (holds && attachment?.accelerator_id !== row.id)
      broken.push(`${row.id} names a foreign attachment`);
    if (holds && attachment?.instance_id !== row.instance_id)
      broken.push(`${row.id} names a foreign instance`);
    if (holds && attachment?.epoch !== row.epoch)
      broken.push(`${row.id} has another epoch than its attachment`);
    if (!holds && (row.instance_id !== null || row.project_id !== null)) {
      broken.push(`${row.id} is ${row.state} and names a holder`);
    }
    if (row.state === 'reserved' && attachment?.state === 'attached') {
      broken.push(`${row.id} is reserved with an attached attachment`);
    }
  }
  for (const row of attachments) {
    if (row.state === 'requested') {
      const holds = row.accelerator_id ?? row.instance_id ?? row.host_id;
      if (holds !== null) broken.push(`${row.id} is requested and holds ${holds}`);
      continue;
    }
    if (row.state === 'detaching' && row.epoch <= row.device_epoch) {
      broken.push(`${row.id} is taken back under the epoch that gave it`);
    }
    // A bind whose program image could not be written.
    if (row.state === 'failed' && row.accelerator_id === null) continue;
    const accelerator = accelerators.find(({ id }) => id === row.accelerator_id);
    if (accelerator?.attachment_id !== row.id)
      broken.push(`${row.id} is ${row.state}, its accelerator has another`);
  }
  for (const row of operations) {
    const isOver = ['succeeded', 'failed', 'cancelled'].includes(row.state);
    const isPending = row.results.some(({ outcome }) => outcome === 'pending');
    if (isOver && isPending) broken.push(`operation ${row.id} is over with pending results`);
    if (!isOver && !isPending)
      broken.push(`operation ${row.id} has no pending result and is not over`);
  }
  return broken;
}

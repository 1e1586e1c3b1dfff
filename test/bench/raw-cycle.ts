/**
 * The baseline: the row changes of one attach and detach as prepared statements in the same transactions, by clients
 * that do nothing else. Sixteen clients over one pool; a seventeenth numbers the events as the sequencer does.
 */
import { randomUUID } from 'node:crypto';

import type pg from 'pg';

export interface RawScope {
  readonly hostId: string;
  readonly backendId: string;
  readonly instanceId: string;
}

export interface RawRun {
  readonly clients: number;
  readonly cycles: number;
  /** Reserve and stop there; the reservations are undone after the measure. */
  readonly only?: 'reserve';
}

const numberEventsSql = `with batch as (
    select id, row_number() over (order by id) as position
      from (select id from event where number is null order by id limit 1000) as oldest),
  numbered as (
    update event set number = event_counter.last + batch.position
      from batch, event_counter where event.id = batch.id)
  update event_counter set last = last + (select count(*) from batch) where exists (select from batch)`;

interface Cycle {
  readonly client: pg.PoolClient;
  readonly scope: RawScope;
  readonly attachment: string;
  readonly attach: string;
  readonly detach: string;
  accelerator: string;
}

const subject = JSON.stringify({
  instance_id: randomUUID(),
  attachment_ids: [randomUUID()],
  accelerator_ids: [randomUUID()],
});
const results = JSON.stringify([
  { host: 'bench-host', subject: randomUUID(), outcome: 'pending', message: null },
]);
const eventData = JSON.stringify({
  state: 'attached',
  epoch: 4294967297,
  reason: null,
  attachment_id: randomUUID(),
  instance_id: randomUUID(),
});

export async function runRawCycles(
  pool: pg.Pool,
  scope: RawScope,
  { clients, cycles, only }: RawRun,
): Promise<{ perSecond: number; medianMs: number }> {
  const durations: number[] = [];
  let left = cycles;
  const isOver = new AbortController();
  const started = performance.now();
  const work = async (): Promise<void> => {
    const client = await pool.connect();
    try {
      while (left-- > 0) {
        const from = performance.now();
        await runCycle(client, scope, only);
        durations.push(performance.now() - from);
      }
    } finally {
      client.release();
    }
  };
  const numbering = numberEvents(pool, isOver.signal);
  try {
    await Promise.all(Array.from({ length: clients - 1 }, work));
  } finally {
    isOver.abort();
  }
  const seconds = (performance.now() - started) / 1000;
  await numbering;
  if (only === 'reserve') await undoReservations(pool, scope);
  durations.sort((a, b) => a - b);
  return {
    perSecond: cycles / seconds,
    medianMs: durations[Math.floor(durations.length / 2)] ?? Number.NaN,
  };
}

async function runCycle(
  client: pg.PoolClient,
  scope: RawScope,
  only: 'reserve' | undefined,
): Promise<void> {
  const cycle: Cycle = {
    client,
    scope,
    attachment: randomUUID(),
    attach: randomUUID(),
    detach: randomUUID(),
    accelerator: '',
  };
  await inTransaction(cycle, reserve);
  if (only === 'reserve') return;
  await inTransaction(cycle, dispatch);
  await inTransaction(cycle, attached);
  await inTransaction(cycle, detach);
  await inTransaction(cycle, released);
  await inTransaction(cycle, cleaned);
}

async function inTransaction(cycle: Cycle, steps: (cycle: Cycle) => Promise<void>): Promise<void> {
  await cycle.client.query('begin');
  await steps(cycle);
  await cycle.client.query('commit');
}

async function reserve(cycle: Cycle): Promise<void> {
  const { client, scope, attachment, attach } = cycle;
  const picked = await client.query<{ id: string }>({
    name: 'pick',
    text: `select id from accelerator where state = 'available' and host_id = $1 order by id limit 1 for update skip locked`,
    values: [scope.hostId],
  });
  cycle.accelerator = picked.rows[0]?.id ?? '';
  await client.query({
    name: 'reserve',
    text: `update accelerator set state = 'reserved', epoch = epoch + 1, attachment_id = $2, instance_id = $3, project_id = 'bench', updated_at = $4 where id = $1`,
    values: [cycle.accelerator, attachment, scope.instanceId, new Date()],
  });
  await client.query({
    name: 'attachment',
    text: `insert into attachment (id, accelerator_id, host_id, instance_id, project_id, user_id, origin, state, plugged_by, operation_id, created_at)
      values ($1, $2, $3, $4, 'bench', 'bench', 'cyborg', 'reserved', 'agent', $5, $6)`,
    values: [attachment, cycle.accelerator, scope.hostId, scope.instanceId, attach, new Date()],
  });
  await addOperation(cycle, attach);
  await addEvents(cycle, ['accelerator.reserved', 'attachment.reserved', 'operation.running']);
}

async function dispatch(cycle: Cycle): Promise<void> {
  await moveAttachment(cycle, 'attaching');
  await addEvents(cycle, ['attachment.attaching']);
}

async function attached(cycle: Cycle): Promise<void> {
  await moveAttachment(cycle, 'attached');
  await moveAccelerator(cycle, 'attached');
  await endOperation(cycle, cycle.attach);
  await addEvents(cycle, ['attachment.attached', 'accelerator.attached', 'operation.succeeded']);
}

async function detach(cycle: Cycle): Promise<void> {
  await addOperation(cycle, cycle.detach);
  await moveAttachment(cycle, 'detaching');
  await moveAccelerator(cycle, 'attached');
  await addEvents(cycle, ['attachment.detaching', 'operation.running']);
}

async function released(cycle: Cycle): Promise<void> {
  await moveAttachment(cycle, 'released');
  await moveAccelerator(cycle, 'cleaning');
  await addEvents(cycle, ['attachment.released', 'accelerator.cleaning']);
}

async function cleaned(cycle: Cycle): Promise<void> {
  await moveAccelerator(cycle, 'available');
  await endOperation(cycle, cycle.detach);
  await addEvents(cycle, ['accelerator.available', 'operation.succeeded']);
}

async function moveAttachment({ client, attachment }: Cycle, state: string): Promise<void> {
  await client.query({
    name: 'move-attachment',
    text: 'update attachment set state = $2, epoch = epoch + 1, updated_at = $3 where id = $1',
    values: [attachment, state, new Date()],
  });
}

async function moveAccelerator({ client, accelerator }: Cycle, state: string): Promise<void> {
  await client.query({
    name: 'move-accelerator',
    text: 'update accelerator set state = $2, epoch = epoch + 1, updated_at = $3 where id = $1',
    values: [accelerator, state, new Date()],
  });
}

async function addOperation({ client, scope }: Cycle, id: string): Promise<void> {
  await client.query({
    name: 'operation',
    text: `insert into operation (id, kind, state, subject, progress_total, results, host_id, user_id, project_id, deadline_at, created_at)
      values ($1, 'attach-instance', 'running', $2, 1, $3, $4, 'bench', 'bench', $5, $5)`,
    values: [id, subject, results, scope.hostId, new Date()],
  });
}

async function endOperation({ client }: Cycle, id: string): Promise<void> {
  await client.query({
    name: 'end-operation',
    text: `update operation set state = 'succeeded', progress_done = 1, results = $2, updated_at = $3, finished_at = $3 where id = $1`,
    values: [id, results, new Date()],
  });
}

async function addEvents(
  { client, scope, attachment }: Cycle,
  kinds: readonly string[],
): Promise<void> {
  await client.query({
    name: 'events',
    text: `insert into event (at, kind, subject_kind, subject_id, host_id, project_id, user_id, data)
      select $1, kind, 'attachment', $3, $4, 'bench', 'bench', $5 from unnest($2::text[]) as kind`,
    values: [new Date(), kinds, attachment, scope.hostId, eventData],
  });
}

/** As the sequencer does it: in batches, one at a time, until told to stop and nothing is left. */
async function numberEvents(pool: pg.Pool, signal: AbortSignal): Promise<void> {
  const client = await pool.connect();
  try {
    for (;;) {
      const numbered = await client.query({ name: 'number-events', text: numberEventsSql });
      if (numbered.rowCount === 0 && signal.aborted) return;
    }
  } finally {
    client.release();
  }
}

async function undoReservations(pool: pg.Pool, scope: RawScope): Promise<void> {
  await pool.query(
    `with gone as (delete from attachment where host_id = $1 and state = 'reserved' returning id)
     update accelerator set state = 'available', attachment_id = null, instance_id = null, project_id = null
      where attachment_id in (select id from gone)`,
    [scope.hostId],
  );
}

/** Leases: what many hosts renew within a moment is one UPDATE. */
import { ServiceError } from '@cyborg/model/errors';
import type { HostPlug } from '@cyborg/store/schema';
import { sql } from 'kysely';

import type { ConductorDeps, Ledger } from '../deps.ts';
import { recordEvents, type NewEvent } from '../record-event.ts';
import { act, type Act } from '../transaction.ts';
import type { AgentHost } from './credentials.ts';
import { checkLedgerForLease, type LedgerRef } from './ledger-check.ts';

export interface LeaseBody {
  readonly instance: string;
  readonly version: string;
  readonly ledger: LedgerRef;
  readonly facts: Readonly<Record<string, string>>;
  readonly hypervisors: readonly HostPlug[];
  readonly leaving: boolean;
  /** Runs of this agent that are known to be dead. */
  readonly replaces?: readonly string[] | undefined;
}

export interface LeaseView {
  readonly ledger: Ledger;
  readonly lease_seconds: number;
  readonly host_id: string;
  readonly simulated: boolean;
}

interface Waiting {
  readonly host: AgentHost;
  readonly body: LeaseBody;
  readonly settle: PromiseWithResolvers<LeaseView>;
}

interface Renewed {
  readonly id: string;
  readonly was_holder: string | null;
  readonly was_alive: boolean;
  readonly renewed: boolean;
  readonly simulated: boolean;
  readonly changed: boolean;
}

const gatherMs = 50;
const batchMax = 256;

export type RenewLease = (host: AgentHost, body: LeaseBody) => Promise<LeaseView>;

/** @throws ServiceError `wrong-ledger`, `agent-already-running`. */
export function makeLeases(deps: ConductorDeps): RenewLease {
  let waiting: Waiting[] = [];
  let timer: Disposable | undefined;
  const flush = (): void => {
    timer?.[Symbol.dispose]();
    timer = undefined;
    const batch = waiting;
    waiting = [];
    void renewBatch(deps, batch);
  };
  return (host, body) => {
    checkLedgerForLease(deps.ledger, body.ledger);
    const settle = Promise.withResolvers<LeaseView>();
    waiting.push({ host, body, settle });
    timer ??= deps.clock.setTimer(gatherMs, flush);
    if (waiting.length >= batchMax) flush();
    return settle.promise;
  };
}

async function renewBatch(deps: ConductorDeps, batch: readonly Waiting[]): Promise<void> {
  const [first, ...later] = oncePerHost(batch);
  try {
    const rows = await act(deps, (running) => renewAll(deps, running, first ?? []));
    const byHost = new Map(rows.map((row) => [row.id, row]));
    for (const { host, body, settle } of first ?? []) {
      settleOne(deps, { row: byHost.get(host.id), body, settle });
    }
  } catch (error) {
    for (const { settle } of first ?? []) settle.reject(error);
  }
  if (later.length > 0) await renewBatch(deps, later.flat());
}

/** One UPDATE cannot change a row twice: two agents of one host take turns. */
function oncePerHost(batch: readonly Waiting[]): Waiting[][] {
  const turns: Waiting[][] = [];
  const taken = new Map<string, number>();
  for (const item of batch) {
    const turn = taken.get(item.host.id) ?? 0;
    taken.set(item.host.id, turn + 1);
    (turns[turn] ??= []).push(item);
  }
  return turns;
}

function settleOne(
  { ledger, limits }: ConductorDeps,
  { row, body, settle }: { row: Renewed | undefined; body: LeaseBody; settle: Waiting['settle'] },
): void {
  if (row === undefined) {
    settle.reject(
      new ServiceError('not-authenticated', 'The host is gone or its credential was revoked.'),
    );
  } else if (!row.renewed && !body.leaving) {
    settle.reject(
      new ServiceError(
        'agent-already-running',
        `Agent ${row.was_holder} holds the lease of this host: stop it, or wait until its lease ends.`,
        { extra: { holder: row.was_holder, retry_after_seconds: 2 } },
      ),
    );
  } else {
    settle.resolve({
      ledger,
      lease_seconds: limits.leaseSeconds,
      host_id: row.id,
      simulated: row.simulated,
    });
  }
}

/** `updated_at` stays: an ETag is about what people edit. */
async function renewAll(
  { limits }: ConductorDeps,
  running: Act,
  batch: readonly Waiting[],
): Promise<Renewed[]> {
  const { tx, now } = running;
  const given = batch.map(({ host, body }) => ({
    id: host.id,
    instance: body.instance,
    version: body.version,
    facts: body.facts,
    plugs: body.hypervisors,
    leaving: body.leaving,
    replaces: body.replaces ?? [],
  }));
  const until = new Date(now.getTime() + limits.leaseSeconds * 1000);
  const { rows } = await sql<Renewed>`
    with given as (
      select * from jsonb_to_recordset(${JSON.stringify(given)}::jsonb)
        as t(id uuid, instance uuid, version text, facts jsonb, plugs jsonb, leaving boolean, replaces jsonb)
    ), old as (
      select h.id, h.agent_instance, h.simulated,
        coalesce(h.lease_expires_at > ${now}, false) as alive,
        h.facts is distinct from g.facts or h.plugs is distinct from g.plugs as changed,
        g.instance, g.version, g.leaving, g.facts, g.plugs, g.replaces
      from host h join given g on g.id = h.id
      where h.revoked_at is null
      order by h.id for update of h
    ), done as (
      update host h set
        agent_instance = case when o.leaving then null else o.instance end,
        agent_version = o.version,
        agent_since = case when o.agent_instance = o.instance then h.agent_since else ${now} end,
        lease_expires_at = case when o.leaving then ${now} else ${until}::timestamptz end,
        facts = o.facts, plugs = o.plugs
      from old o
      where h.id = o.id and (o.agent_instance = o.instance
        or (not o.leaving and (o.agent_instance is null or not o.alive
          or jsonb_exists(o.replaces, o.agent_instance::text))))
      returning h.id
    )
    select o.id, o.agent_instance as was_holder, o.alive as was_alive, o.simulated, o.changed,
      d.id is not null as renewed
    from old o left join done d on d.id = o.id`.execute(tx);
  const events = rows.flatMap((row) => leaseEvents(row, batch));
  await recordEvents(running, events);
  if (events.length > 0) running.wakeUps.add('deployments');
  return rows;
}

function leaseEvents(row: Renewed, batch: readonly Waiting[]): NewEvent[] {
  const body = batch.find(({ host }) => host.id === row.id)?.body;
  if (!row.renewed || body === undefined) return [];
  const event = (kind: NewEvent['kind'], data: Readonly<Record<string, unknown>>): NewEvent => ({
    kind,
    subjectKind: 'host',
    subjectId: row.id,
    hostId: row.id,
    data,
  });
  if (body.leaving) return [event('host.down', { why: 'its agent has stopped' })];
  const isNew = row.was_holder !== body.instance || !row.was_alive;
  if (isNew) return [event('host.up', { agent_version: body.version })];
  return row.changed ? [event('host.changed', { hypervisors: body.hypervisors })] : [];
}

/** A lease that ran out is told once: the holder is forgotten with it. */
export async function markHostsDown(deps: ConductorDeps): Promise<number> {
  return act(deps, async (running) => {
    const rows = await running.tx
      .updateTable('host')
      .set({ agent_instance: null })
      .where('agent_instance', 'is not', null)
      .where('lease_expires_at', '<=', running.now)
      .returning(['id', 'name', 'lease_expires_at'])
      .execute();
    await recordEvents(
      running,
      rows.map((row) => ({
        kind: 'host.down',
        subjectKind: 'host',
        subjectId: row.id,
        hostId: row.id,
        data: { name: row.name, why: 'its agent has not renewed its lease' },
      })),
    );
    if (rows.length > 0) running.wakeUps.add('deployments');
    return rows.length;
  });
}

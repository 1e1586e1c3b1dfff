/**
 * One healthy look of a host at one hypervisor. An instance that is not in it is missing; it has vanished when two looks
 * of one session of the host's agent, at least `vanishSeconds` apart by the server's clock, lacked it. What was missing
 * when the host went down is missing anew at the first look after: its guests have yet to start. Nothing is released here.
 */
import { isDeepStrictEqual } from 'node:util';

import { insertMany, updateMany } from '@cyborg/store/bulk';
import type { InstanceTable } from '@cyborg/store/schema';
import { sql, type Selectable } from 'kysely';

import type { AgentHost } from '../agents/credentials.ts';
import type { ConductorDeps } from '../deps.ts';
import { recordEvents, type NewEvent } from '../record-event.ts';
import type { Act } from '../transaction.ts';
import { noteElsewhere, type Elsewhere } from './elsewhere.ts';

export interface ReportedInstance {
  readonly id: string;
  readonly name: string;
  readonly project_id: string | null;
  readonly state: string;
  readonly plugs: readonly string[];
  readonly numa_nodes?: readonly number[] | undefined;
}

export interface InstanceListing {
  readonly hypervisor: string;
  readonly instances: readonly ReportedInstance[];
  readonly unknown_ids: readonly string[];
  readonly unknown_count: number;
}

type Row = Selectable<InstanceTable>;

const written = [
  'host_id',
  'name',
  'hypervisor',
  'state',
  'plugs',
  'numa_nodes',
  'project_id',
  'project_source',
  'is_present',
  'missing_since',
  'missing_seen',
  'is_vanished',
] as const satisfies readonly (keyof Row)[];

export async function applyListing(
  deps: Pick<ConductorDeps, 'limits'>,
  act: Act,
  { host, listing }: { readonly host: AgentHost; readonly listing: InstanceListing },
): Promise<void> {
  const rows = await readRows(act, host, listing);
  const byId = new Map(rows.map((row) => [row.id, row]));
  const reported = new Map(listing.instances.map((instance) => [instance.id, instance]));
  const stays = await heldElsewhere(
    act,
    host,
    rows.filter(({ id }) => reported.has(id)),
  );
  const rule = { since: await sessionBegan(act, host), vanishMs: deps.limits.vanishSeconds * 1000 };
  const changed = new Map<Row, Row>();
  const added: ReportedInstance[] = [];
  for (const instance of reported.values()) {
    const row = byId.get(instance.id);
    if (row === undefined) added.push(instance);
    else if (!stays.has(row.id)) changed.set(row, seenAgain(row, { host, listing, instance }));
  }
  for (const row of rows) {
    if (!reported.has(row.id) && row.host_id === host.id && canConclude(listing, row.id)) {
      changed.set(row, notSeen(row, act.now, rule));
    }
  }
  await addInstances(act, { host, listing, added });
  await writeChanges(act, changed);
  await noteElsewhere(act, {
    host,
    hypervisor: listing.hypervisor,
    elsewhere: [...stays.values()],
  });
  await act.tx
    .updateTable('host')
    .set({ instances_reported_at: act.now })
    .where('id', '=', host.id)
    .execute();
}

async function sessionBegan({ tx }: Act, { id }: AgentHost): Promise<Date | null> {
  const row = await tx
    .selectFrom('host')
    .select('agent_since')
    .where('id', '=', id)
    .executeTakeFirst();
  return row?.agent_since ?? null;
}

/** While something unnamed did not answer, no instance that is missing is known to be gone. */
function canConclude({ unknown_ids, unknown_count }: InstanceListing, id: string): boolean {
  return unknown_count <= unknown_ids.length && !unknown_ids.includes(id);
}

function readRows({ tx }: Act, host: AgentHost, listing: InstanceListing): Promise<Row[]> {
  const ids = listing.instances.map(({ id }) => id);
  return tx
    .selectFrom('instance')
    .selectAll()
    .where((eb) =>
      eb.or([
        eb('id', '=', sql<string>`any(${ids}::uuid[])`),
        eb.and([eb('host_id', '=', host.id), eb('hypervisor', '=', listing.hypervisor)]),
      ]),
    )
    .orderBy('id')
    .forUpdate()
    .execute();
}

/**
 * An instance moves to the host that reports it only when its own host misses it and holds nothing for it: a copy on
 * another host must not take its accelerators along.
 */
async function heldElsewhere(
  { tx }: Act,
  host: AgentHost,
  rows: readonly Row[],
): Promise<Map<string, Elsewhere>> {
  const foreign = rows.filter((row) => row.host_id !== host.id);
  if (foreign.length === 0) return new Map();
  const kept = await tx
    .selectFrom('instance')
    .innerJoin('host', 'host.id', 'instance.host_id')
    .select(['instance.id', 'instance.name', 'host.name as hostName'])
    .where(
      'instance.id',
      'in',
      foreign.map(({ id }) => id),
    )
    .where((eb) =>
      eb.or([
        eb('instance.missing_since', 'is', null),
        eb.exists(
          eb
            .selectFrom('attachment')
            .select('attachment.id')
            .whereRef('attachment.instance_id', '=', 'instance.id')
            .whereRef('attachment.host_id', '=', 'instance.host_id')
            .where('attachment.state', 'not in', ['released', 'requested']),
        ),
      ]),
    )
    .execute();
  return new Map(kept.map((row) => [row.id, row]));
}

function seenAgain(
  row: Row,
  seen: { host: AgentHost; listing: InstanceListing; instance: ReportedInstance },
): Row {
  const { host, listing, instance } = seen;
  return {
    ...row,
    host_id: host.id,
    hypervisor: listing.hypervisor,
    name: instance.name,
    state: instance.state,
    plugs: instance.plugs,
    numa_nodes: instance.numa_nodes ?? row.numa_nodes,
    ...projectOf(row, instance),
    is_present: true,
    missing_since: null,
    missing_seen: 0,
    is_vanished: false,
  };
}

/** What an operator (or Nova) says of its project counts more than what lies beside its socket. */
function projectOf(
  row: Row,
  { project_id }: ReportedInstance,
): Pick<Row, 'project_id' | 'project_source'> {
  if (row.project_source === 'operator' || row.project_source === 'nova') {
    return { project_id: row.project_id, project_source: row.project_source };
  }
  return { project_id, project_source: project_id === null ? null : 'hypervisor' };
}

interface VanishRule {
  /** When the present session of the host's agent began. */
  readonly since: Date | null;
  readonly vanishMs: number;
}

function notSeen(row: Row, now: Date, { since, vanishMs }: VanishRule): Row {
  if (row.is_vanished) return row;
  if (row.missing_since === null || (since !== null && row.missing_since < since)) {
    return { ...row, is_present: false, missing_since: now, missing_seen: 1 };
  }
  if (now.getTime() - row.missing_since.getTime() < vanishMs) return row;
  return { ...row, missing_seen: row.missing_seen + 1, is_vanished: true };
}

async function addInstances(
  act: Act,
  given: { host: AgentHost; listing: InstanceListing; added: readonly ReportedInstance[] },
): Promise<void> {
  const { host, listing, added } = given;
  await insertMany(act.tx, {
    table: 'instance',
    columns: ['id', ...written, 'created_at'],
    isExistingKept: true,
    rows: added.map((instance) => ({
      ...instance,
      numa_nodes: instance.numa_nodes ?? [],
      host_id: host.id,
      hypervisor: listing.hypervisor,
      project_source: instance.project_id === null ? null : 'hypervisor',
      is_present: true,
      missing_since: null,
      missing_seen: 0,
      is_vanished: false,
      created_at: act.now,
    })),
  });
  await recordEvents(
    act,
    added.map((instance) => ({
      kind: 'instance.appeared',
      subjectKind: 'instance',
      subjectId: instance.id,
      hostId: host.id,
      projectId: instance.project_id,
      data: { name: instance.name, state: instance.state },
    })),
  );
}

async function writeChanges(act: Act, changed: ReadonlyMap<Row, Row>): Promise<void> {
  const different = [...changed].filter(([before, after]) => !isDeepStrictEqual(before, after));
  await updateMany(act.tx, {
    table: 'instance',
    columns: [...written, 'updated_at'],
    rows: different.map(([, after]) => ({ ...after, updated_at: act.now })),
  });
  await recordEvents(act, different.map(eventOf));
  if (different.length > 0) act.wakeUps.add('work');
}

function eventOf([before, after]: [Row, Row]): NewEvent {
  return {
    kind: `instance.${whatHappened(before, after)}`,
    subjectKind: 'instance',
    subjectId: after.id,
    hostId: after.host_id,
    projectId: after.project_id,
    data: { name: after.name, state: after.state },
  };
}

function whatHappened(
  before: Row,
  after: Row,
): 'vanished' | 'missing' | 'moved' | 'changed' | 'returned' {
  if (after.is_vanished && !before.is_vanished) return 'vanished';
  if (!after.is_present) return 'missing';
  if (before.host_id !== after.host_id) return 'moved';
  return before.is_present ? 'changed' : 'returned';
}

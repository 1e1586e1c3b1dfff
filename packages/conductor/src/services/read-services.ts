/**
 * Control services (replicas, agents), then the functions and daemons of backends, as one list.
 *
 * A page counts accelerators of its own rows only. A function counts the accelerators of its backend whose type it is
 * named for; a daemon counts those of its backend.
 */
import { isUuid } from '@cyborg/model/ids';
import { pageLimit } from '@cyborg/store/page-of-ids';
import { typesOfFunction } from '@cyborg/model/functions';
import { sql, type RawBuilder } from 'kysely';

import { counts, none, toCountView, type Count, type CountView } from '../backends/counts.ts';
import { matchesBackend, matchesHost } from '../backends/find-backend.ts';
import type { Db } from '../deps.ts';
import { badMarker, fromMarker, rowsWanted, type PageQuery } from '../page.ts';
import { acceleratorsInScope, backendsInScope, hostsInScope, type Scope } from '../scope.ts';

export interface ServiceQuery extends PageQuery {
  readonly host?: string | undefined;
  readonly backend?: string | undefined;
  readonly name?: string | undefined;
}

export interface ServiceRow extends CountView {
  readonly id: string;
  readonly name: string;
  readonly kind: 'control' | 'function' | 'daemon';
  readonly host: string | null;
  readonly backend: string | null;
  readonly driver_id: string | null;
  readonly status: 'enabled' | 'disabled';
  readonly state: 'up' | 'down';
  readonly reason: string | null;
  readonly simulated: boolean;
  readonly updated_at: Date | null;
  readonly sort_key: readonly string[];
}

export interface ServicesWanted {
  readonly scope: Scope;
  readonly now: Date;
  /** What a lease adds to the instant of its renewal. */
  readonly leaseSeconds: number;
  readonly query: ServiceQuery;
  /** Only this one. */
  readonly id?: string | undefined;
}

type Found = Omit<ServiceRow, 'sort_key' | keyof CountView> & {
  readonly rank: number;
  readonly backend_id: string | null;
};

/** In the order of rank (control first), host, backend, name, id. */
export async function listServiceRows(db: Db, wanted: ServicesWanted): Promise<ServiceRow[]> {
  const limit = pageLimit(rowsWanted(wanted.query));
  // Each source gives at most a page, in order, so that none is read to its end for the sake of one.
  const pages = sourcesOf(wanted).map(
    ({ select, order }) => sql`(${select} order by ${order} limit ${limit})`,
  );
  if (pages.length === 0) return [];
  const { rows } = await sql<Found>`
    select * from (${sql.join(pages, sql` union all `)}) as all_services
    order by rank, host, backend, name, id limit ${limit}`.execute(db);
  const countOf = await countByType(db, wanted.scope, rows);
  return rows.map(({ rank, backend_id, ...row }) => ({
    ...row,
    ...countOf(backend_id, row.kind === 'function' ? typesOfFunction(row.name) : undefined),
    sort_key: [String(rank), row.host ?? '', row.backend ?? '', row.name, row.id],
  }));
}

interface Source {
  readonly select: RawBuilder<unknown>;
  readonly order: RawBuilder<unknown>;
}

/** Where the page before ended. */
interface After {
  readonly rank: number;
  readonly host: string;
  readonly backend: string;
  readonly name: string;
  readonly id: string;
}

function sourcesOf(wanted: ServicesWanted): Source[] {
  const { scope, query } = wanted;
  const after = afterOf(query.marker);
  const isLeft = (rank: number): boolean => after === undefined || after.rank <= rank;
  const isAboutFleet = query.backend === undefined && scope.kind !== 'project';
  return [
    ...(isAboutFleet && query.host === undefined && isLeft(1) ? [replicas(wanted, after)] : []),
    ...(isAboutFleet && isLeft(2) ? [agents(wanted, after)] : []),
    ofBackends(wanted, after),
  ];
}

/** @throws ServiceError `invalid-input` when the marker is not one of ours. */
function afterOf(marker: string | undefined): After | undefined {
  const [rank, host, backend, name, id] = fromMarker(marker, 5) ?? [];
  if (marker === undefined || rank === undefined || host === undefined) return undefined;
  if (backend === undefined || name === undefined || id === undefined) return undefined;
  if (!/^[123]$/.test(rank) || (rank === '3' && !isUuid(id))) throw badMarker(marker);
  return { rank: Number(rank), host, backend, name, id };
}

/** The conditions that apply, joined. */
function all(conditions: readonly (RawBuilder<unknown> | undefined)[]): RawBuilder<unknown> {
  return sql.join(
    conditions.filter((condition) => condition !== undefined),
    sql` and `,
  );
}

function leaseInterval(seconds: number): RawBuilder<unknown> {
  return sql`make_interval(secs => ${seconds})`;
}

/** One row for each role of each replica. */
function replicas(
  { now, leaseSeconds, query, id }: ServicesWanted,
  after: After | undefined,
): Source {
  const ownId = sql`concat(service_name, ':', r.id)`;
  const conditions = all([
    sql`(r.role = 'all' or r.role = s.role)`,
    query.name === undefined ? undefined : sql`service_name = ${query.name}`,
    id === undefined ? undefined : sql`${ownId} = ${id}`,
    after?.rank === 1
      ? sql`(r.name, service_name, ${ownId}) > (${after.host}, ${after.name}, ${after.id})`
      : undefined,
  ]);
  const select = sql`
    select 1 as rank, ${ownId} as id, service_name as name, 'control' as kind,
      r.name as host, null as backend, null as driver_id, 'enabled' as status,
      case when r.lease_expires_at > ${now} then 'up' else 'down' end as state,
      case when r.lease_expires_at > ${now} then null else 'it has not renewed its lease' end as reason,
      false as simulated, r.lease_expires_at - ${leaseInterval(leaseSeconds)} as updated_at, null::uuid as backend_id
    from replica r
    cross join (values ('cyborg-api', 'api'), ('cyborg-conductor', 'conductor')) as s(service_name, role)
    where ${conditions}`;
  return { select, order: sql`r.name, service_name, ${ownId}` };
}

function agents(
  { scope, now, leaseSeconds, query, id }: ServicesWanted,
  after: After | undefined,
): Source {
  const conditions = all([
    hostsInScope(scope),
    query.host === undefined ? undefined : matchesHost(query.host),
    query.name === undefined || query.name === agentName ? undefined : sql`false`,
    id === undefined ? undefined : isRow('host.id', agentHostOf(id)),
    after?.rank === 2 ? sql`host.name > ${after.host}` : undefined,
  ]);
  const select = sql`
    select 2 as rank, concat(${agentName}::text, ':', host.id) as id, ${agentName}::text as name, 'control' as kind,
      host.name as host, null as backend, null as driver_id, host.status,
      case when host.lease_expires_at > ${now} then 'up' else 'down' end as state,
      case when host.revoked_at is not null then 'its credential was revoked'
        when host.lease_expires_at > ${now} then host.status_reason
        else 'its agent has not renewed its lease' end as reason,
      host.simulated, host.lease_expires_at - ${leaseInterval(leaseSeconds)} as updated_at, null::uuid as backend_id
    from host where ${conditions}`;
  return { select, order: sql`host.name` };
}

const agentName = 'cyborg-agent';

function agentHostOf(id: string): string {
  return id.startsWith(`${agentName}:`) ? id.slice(agentName.length + 1) : '';
}

function isRow(column: 'host.id' | 'service.id', id: string): RawBuilder<unknown> {
  return isUuid(id) ? sql`${sql.ref(column)} = ${id}::uuid` : sql`false`;
}

/** What a host that is down offers is down, whatever it said last. */
function ofBackends({ scope, now, query, id }: ServicesWanted, after: After | undefined): Source {
  const conditions = all([
    backendsInScope(scope),
    query.host === undefined ? undefined : matchesHost(query.host),
    query.backend === undefined ? undefined : matchesBackend(query.backend),
    query.name === undefined ? undefined : sql`service.name = ${query.name}`,
    id === undefined ? undefined : isRow('service.id', id),
    after?.rank === 3 ? isBehind(after) : undefined,
  ]);
  const select = sql`
    select 3 as rank, service.id::text as id, service.name, service.kind,
      host.name as host, backend.name as backend, backend.driver_id, service.status,
      case when host.lease_expires_at > ${now} and backend.state in ('ready', 'pending') then service.state
        else 'down' end as state,
      case when host.lease_expires_at is null or host.lease_expires_at <= ${now} then 'its host is down'
        when backend.state not in ('ready', 'pending') then concat('its backend is ', backend.state, ': ' || backend.reason)
        else service.reason end as reason,
      host.simulated, coalesce(service.updated_at, service.created_at) as updated_at, service.backend_id
    from service
    join backend on backend.id = service.backend_id
    join host on host.id = backend.host_id
    where ${conditions}`;
  return { select, order: sql`host.name, backend.name, service.name` };
}

/** The first condition is the second's shadow, which an index of one table can find. */
function isBehind({ host, backend, name }: After): RawBuilder<unknown> {
  return sql`host.name >= ${host}
    and (host.name, backend.name, service.name) > (${host}, ${backend}, ${name})`;
}

type CountOf = (backendId: string | null, types: readonly string[] | undefined) => CountView;

async function countByType(db: Db, scope: Scope, found: readonly Found[]): Promise<CountOf> {
  const ids = [...new Set(found.flatMap(({ backend_id }) => backend_id ?? []))];
  if (ids.length === 0) return () => toCountView(none);
  const { rows } = await sql<Count & { readonly backend_id: string; readonly type: string }>`
    select page.id as backend_id, counted.*
    from unnest(${ids}::uuid[]) as page(id), lateral (
      select type, ${counts} from accelerator where backend_id = page.id and ${acceleratorsInScope(scope)}
      group by type) as counted`.execute(db);
  return (backendId, types) => {
    const counted = rows.filter(
      (row) => row.backend_id === backendId && (types === undefined || types.includes(row.type)),
    );
    const sum = (name: keyof Count): number => counted.reduce((soFar, row) => soFar + row[name], 0);
    return toCountView({
      total: sum('total'),
      free: sum('free'),
      cleaning_failed: sum('cleaning_failed'),
    });
  };
}

/**
 * Control services (replicas, agents), then the functions and daemons of backends, as one list.
 *
 * A page counts accelerators of its own rows only. A function counts the accelerators of its backend whose type it is
 * named for; a daemon counts those of its backend.
 */
import { sql, type RawBuilder } from 'kysely';

import { matchesBackend, matchesHost } from '../backends/find-backend.ts';
import type { Db } from '../deps.ts';
import { fromMarker, rowsWanted, type PageQuery } from '../page.ts';
import { acceleratorsInScope, hostsInScope, servicesInScope, type Scope } from '../scope.ts';
import { typesOfFunction } from './functions.ts';

export interface ServiceQuery extends PageQuery {
  readonly host?: string | undefined;
  readonly backend?: string | undefined;
  readonly name?: string | undefined;
}

export interface ServiceRow {
  readonly id: string;
  readonly name: string;
  readonly kind: 'control' | 'function' | 'daemon';
  readonly host: string | null;
  readonly backend: string | null;
  readonly driver_id: string | null;
  readonly status: 'enabled' | 'disabled';
  readonly state: 'up' | 'down';
  readonly reason: string | null;
  readonly accelerators_total: number;
  readonly accelerators_free: number;
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

type Found = Omit<ServiceRow, 'sort_key' | 'accelerators_total' | 'accelerators_free'> & {
  readonly rank: number;
  readonly backend_id: string | null;
};

/** In the order of rank (control first), host, backend, name, id. */
export async function listServiceRows(db: Db, wanted: ServicesWanted): Promise<ServiceRow[]> {
  const { query, id } = wanted;
  const after = fromMarker(query.marker, 5);
  const conditions = [
    ...(id === undefined ? [] : [sql`id = ${id}`]),
    ...(query.name === undefined ? [] : [sql`name = ${query.name}`]),
    ...(after === undefined
      ? []
      : [
          sql`(rank::text, coalesce(host, ''), coalesce(backend, ''), name, id)
            > (${sql.join(after)})`,
        ]),
  ];
  const where = conditions.length === 0 ? sql`` : sql`where ${sql.join(conditions, sql` and `)}`;
  const { rows } = await sql<Found>`
    select * from (${sql.join(sourcesOf(wanted), sql` union all `)}) as all_services ${where}
    order by rank::text, coalesce(host, ''), coalesce(backend, ''), name, id
    limit ${rowsWanted(query)}`.execute(db);
  const countOf = await countByType(db, wanted.scope, rows);
  return rows.map(({ rank, backend_id, ...row }) => ({
    ...row,
    ...countOf(backend_id, row.kind === 'function' ? typesOfFunction(row.name) : undefined),
    sort_key: [String(rank), row.host ?? '', row.backend ?? '', row.name, row.id],
  }));
}

function sourcesOf({ scope, now, query, leaseSeconds }: ServicesWanted): RawBuilder<unknown>[] {
  const isAboutBackend = query.backend !== undefined;
  const isAboutHost = query.host !== undefined;
  return [
    ...(isAboutBackend || isAboutHost || scope.kind === 'project'
      ? []
      : [replicas(now, leaseSeconds)]),
    ...(isAboutBackend || scope.kind === 'project'
      ? []
      : [agents(scope, { now, query, leaseSeconds })]),
    ofBackends(scope, { now, query }),
  ];
}

function leaseInterval(seconds: number): RawBuilder<unknown> {
  return sql`make_interval(secs => ${seconds})`;
}

/** One row for each role of each replica. */
function replicas(now: Date, leaseSeconds: number): RawBuilder<unknown> {
  return sql`
    select 1 as rank, concat(service_name, ':', r.id) as id, service_name as name, 'control' as kind,
      r.name as host, null as backend, null as driver_id, 'enabled' as status,
      case when r.lease_expires_at > ${now} then 'up' else 'down' end as state,
      case when r.lease_expires_at > ${now} then null else 'it has not renewed its lease' end as reason,
      false as simulated, r.lease_expires_at - ${leaseInterval(leaseSeconds)} as updated_at, null::uuid as backend_id
    from replica r
    join (values ('cyborg-api', 'api'), ('cyborg-conductor', 'conductor')) as s(service_name, role)
      on r.role = 'all' or r.role = s.role`;
}

function agents(
  scope: Scope,
  { now, query, leaseSeconds }: Omit<ServicesWanted, 'scope' | 'id'>,
): RawBuilder<unknown> {
  const filter = query.host === undefined ? sql`true` : matchesHost(query.host);
  return sql`
    select 2 as rank, concat('cyborg-agent:', host.id) as id, 'cyborg-agent' as name, 'control' as kind,
      host.name as host, null as backend, null as driver_id, host.status,
      case when host.lease_expires_at > ${now} then 'up' else 'down' end as state,
      case when host.revoked_at is not null then 'its credential was revoked'
        when host.lease_expires_at > ${now} then host.status_reason
        else 'its agent has not renewed its lease' end as reason,
      host.simulated, host.lease_expires_at - ${leaseInterval(leaseSeconds)} as updated_at, null::uuid as backend_id
    from host where ${hostsInScope(scope)} and ${filter}`;
}

/** What a host that is down offers is down, whatever it said last. */
function ofBackends(
  scope: Scope,
  { now, query }: { readonly now: Date; readonly query: ServiceQuery },
): RawBuilder<unknown> {
  const onHost = query.host === undefined ? sql`true` : matchesHost(query.host);
  const onBackend = query.backend === undefined ? sql`true` : matchesBackend(query.backend);
  return sql`
    select 3 as rank, service.id::text as id, service.name, service.kind,
      host.name as host, backend.name as backend, backend.driver_id, service.status,
      case when host.lease_expires_at > ${now} and backend.state in ('ready', 'pending') then service.state
        else 'down' end as state,
      case when host.lease_expires_at is null or host.lease_expires_at <= ${now} then 'its host is down'
        when backend.state not in ('ready', 'pending') then concat('its backend is ', backend.state, ': ' || backend.reason)
        else service.reason end as reason,
      host.simulated, coalesce(service.updated_at, service.created_at) as updated_at, service.backend_id
    from service
    join host on host.id = service.host_id
    join backend on backend.id = service.backend_id
    where ${servicesInScope(scope)} and ${onHost} and ${onBackend}`;
}

interface Counted {
  readonly accelerators_total: number;
  readonly accelerators_free: number;
}

type CountOf = (backendId: string | null, types: readonly string[] | undefined) => Counted;

async function countByType(db: Db, scope: Scope, found: readonly Found[]): Promise<CountOf> {
  const ids = [...new Set(found.flatMap(({ backend_id }) => backend_id ?? []))];
  if (ids.length === 0) return () => ({ accelerators_total: 0, accelerators_free: 0 });
  const { rows } = await sql<{ backend_id: string; type: string; total: number; free: number }>`
    select page.id as backend_id, counted.*
    from unnest(${ids}::uuid[]) as page(id), lateral (
      select type, count(*) as total, count(*) filter (where state = 'available') as free
      from accelerator where backend_id = page.id and ${acceleratorsInScope(scope)}
      group by type) as counted`.execute(db);
  return (backendId, types) => {
    const counted = rows.filter(
      (row) => row.backend_id === backendId && (types === undefined || types.includes(row.type)),
    );
    const sum = (name: 'total' | 'free'): number =>
      counted.reduce((soFar, row) => soFar + row[name], 0);
    return { accelerators_total: sum('total'), accelerators_free: sum('free') };
  };
}

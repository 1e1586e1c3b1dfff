/**
 * A list's filter that names what the caller does not see is told so, with the nearest that they do: an empty list would
 * look like an answer. A member sees the hosts and backends of what they are shown, and no others.
 */
import { isUuid } from '@cyborg/model/ids';
import type { Caller } from '@cyborg/model/caller';
import { sql, type RawBuilder, type SqlBool } from 'kysely';

import type { Db } from '../deps.ts';
import { findDriver } from '../drivers/find-driver.ts';
import { notFound } from '../hosts/find-host.ts';
import {
  acceleratorsInScope,
  backendsInScope,
  hostsInScope,
  instancesInScope,
  scopeOf,
  type Scope,
} from '../scope.ts';
import { matchesBackend, matchesHost } from './find-backend.ts';

export interface FleetFilters {
  readonly host?: string | undefined;
  readonly backend?: string | undefined;
  readonly driver_id?: string | undefined;
  /** By id. */
  readonly instance_id?: string | undefined;
}

/** Names compared for "nearest". */
const namesMax = 2000;

/** The ids of what was named; a backend's bare name is of several. */
export interface Found {
  readonly hostId: string | undefined;
  readonly backendId: string | undefined;
}

/**
 * @throws ServiceError `host-not-found`, `backend-not-found`, `driver-not-found`, `instance-not-found` with the nearest
 *   that the caller sees.
 */
export async function checkFilters(
  db: Db,
  caller: Caller,
  { host, backend, driver_id: driverId, instance_id: instanceId }: FleetFilters,
): Promise<Found> {
  const scope = scopeOf(caller);
  const hostId = host === undefined ? undefined : await checkHost(db, scope, host);
  const backendId = backend === undefined ? undefined : await checkBackend(db, scope, backend);
  if (driverId !== undefined) await findDriver(db, driverId);
  if (instanceId !== undefined) await checkInstance(db, scope, instanceId);
  return { hostId, backendId };
}

type Condition = RawBuilder<SqlBool>;

function hostsSeen(scope: Scope): Condition {
  if (scope.kind === 'all') return hostsInScope(scope);
  return sql`(${hostsInScope(scope)}
    or exists (select from accelerator where host_id = host.id and ${acceleratorsInScope(scope)})
    or exists (select from instance where host_id = host.id and ${instancesInScope(scope)}))`;
}

async function checkHost(db: Db, scope: Scope, wanted: string): Promise<string> {
  const seen = hostsSeen(scope);
  const { rows } = await sql<{ id: string }>`
    select id from host where ${matchesHost(wanted)} and ${seen} limit 1`.execute(db);
  const [found] = rows;
  if (found !== undefined) return found.id;
  const names = await sql<{ name: string }>`
    select name from host where ${seen} order by name limit ${namesMax}`.execute(db);
  throw notFound('host-not-found', {
    noun: 'host',
    name: wanted,
    names: names.rows.map(({ name }) => name),
  });
}

function backendsSeen(scope: Scope): Condition {
  if (scope.kind === 'all') return backendsInScope(scope);
  return sql`(${backendsInScope(scope)}
    or exists (select from accelerator where backend_id = backend.id and ${acceleratorsInScope(scope)}))`;
}

/** By its name on any host, `host@name`, or its id. */
async function checkBackend(db: Db, scope: Scope, wanted: string): Promise<string | undefined> {
  const seen = sql`from backend join host on host.id = backend.host_id where ${backendsSeen(scope)}`;
  const isWhole = wanted.includes('@') || isUuid(wanted);
  const { rows } = await sql<{ id: string }>`
    select backend.id ${seen} and ${matchesBackend(wanted)} limit 1`.execute(db);
  const [found] = rows;
  if (found !== undefined) return isWhole ? found.id : undefined;
  const known = await sql<{ host: string; name: string }>`
    select host.name as host, backend.name ${seen} limit ${namesMax}`.execute(db);
  const names = known.rows.map(({ host, name }) => (isWhole ? `${host}@${name}` : name));
  throw notFound('backend-not-found', {
    noun: 'backend',
    name: wanted,
    names: [...new Set(names)],
  });
}

/** Also one that is not listed any more while something is held for it. */
async function checkInstance(db: Db, scope: Scope, id: string): Promise<void> {
  const { rows } = await sql`
    select from instance where id = ${id} and ${instancesInScope(scope)}
    union all
    select from accelerator where instance_id = ${id} and ${acceleratorsInScope(scope)} limit 1`.execute(
    db,
  );
  if (rows.length > 0) return;
  const known = await sql<{ id: string }>`
    select id from instance where ${instancesInScope(scope)} limit ${namesMax}`.execute(db);
  const names = known.rows.map((row) => row.id);
  throw notFound('instance-not-found', { noun: 'instance', name: id, names });
}

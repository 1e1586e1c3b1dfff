/** Backends by `host@name` or id, among those that the caller sees, with their host. */
import { isUuid } from '@cyborg/model/ids';
import type { BackendTable } from '@cyborg/store/schema-deployments';
import { sql, type SelectQueryBuilder, type Selectable } from 'kysely';

import type { Db } from '../deps.ts';
import { notFound } from '../hosts/find-host.ts';
import { backendsInScope, type Scope } from '../scope.ts';
import type { Database } from '@cyborg/store/schema';

export interface BackendRow extends Selectable<BackendTable> {
  readonly host_name: string;
  readonly host_status: 'enabled' | 'disabled';
  readonly lease_expires_at: Date | null;
  readonly simulated: boolean;
  readonly version: string | null;
  readonly quarantined_at: Date | null;
  readonly installation_reason: string | null;
}

const namesMax = 2000;

type Query = SelectQueryBuilder<Database, 'backend' | 'host' | 'installation', BackendRow>;

/** Every backend in scope, with what its view needs of host and installation. */
export function selectBackends(db: Db, scope: Scope): Query {
  return db
    .selectFrom('backend')
    .innerJoin('host', 'host.id', 'backend.host_id')
    .innerJoin('installation', 'installation.id', 'backend.installation_id')
    .selectAll('backend')
    .select([
      'host.name as host_name',
      'host.status as host_status',
      'host.lease_expires_at',
      'host.simulated',
      'installation.running_version as version',
      'installation.quarantined_at',
      'installation.reason as installation_reason',
    ])
    .where(backendsInScope(scope));
}

/** @throws ServiceError `backend-not-found` with the nearest `host@backend`. */
export async function findBackend(
  db: Db,
  scope: Scope,
  { backend, isLocked = false }: { readonly backend: string; readonly isLocked?: boolean },
): Promise<BackendRow> {
  const query = selectBackends(db, scope).where(named(backend)).limit(1);
  const row = await (isLocked ? query.forUpdate('backend') : query).executeTakeFirst();
  if (row !== undefined) return row;
  const known = await selectBackends(db, scope).limit(namesMax).execute();
  throw notFound('backend-not-found', {
    noun: 'backend',
    name: backend,
    names: known.map(({ host_name, name }) => `${host_name}@${name}`),
  });
}

function named(backend: string): ReturnType<typeof sql<boolean>> {
  if (isUuid(backend)) return sql<boolean>`backend.id = ${backend}`;
  const at = backend.lastIndexOf('@');
  if (at < 0) return sql<boolean>`false`;
  return sql<boolean>`host.name = ${backend.slice(0, at)} and backend.name = ${backend.slice(at + 1)}`;
}

/** A list's filter: a backend's name on every host, `host@name`, or an id. */
export function matchesBackend(wanted: string): ReturnType<typeof sql<boolean>> {
  return wanted.includes('@') || isUuid(wanted)
    ? named(wanted)
    : sql<boolean>`backend.name = ${wanted}`;
}

/** A list's filter: a host's name or id. */
export function matchesHost(wanted: string): ReturnType<typeof sql<boolean>> {
  return isUuid(wanted)
    ? sql<boolean>`(host.name = ${wanted} or host.id = ${wanted}::uuid)`
    : sql<boolean>`host.name = ${wanted}`;
}

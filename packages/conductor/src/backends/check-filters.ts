/** A list's filter that names what does not exist is told so, to those who may see hosts and backends. */
import { isUuid } from '@cyborg/model/ids';
import type { Caller } from '@cyborg/model/caller';

import type { Db } from '../deps.ts';
import { findHost, notFound } from '../hosts/find-host.ts';
import { scopeOf } from '../scope.ts';
import { findBackend, selectBackends } from './find-backend.ts';

export interface FleetFilters {
  readonly host?: string | undefined;
  readonly backend?: string | undefined;
}

/** @throws ServiceError `host-not-found`, `backend-not-found` with the nearest that exist. */
export async function checkFilters(
  db: Db,
  caller: Caller,
  { host, backend }: FleetFilters,
): Promise<void> {
  // Members do not see hosts: for them it is a filter like any other.
  if (!caller.roles.has('manager')) return;
  const scope = scopeOf(caller);
  if (host !== undefined) await findHost(db, scope, { host });
  if (backend === undefined) return;
  if (backend.includes('@') || isUuid(backend)) {
    await findBackend(db, scope, { backend });
    return;
  }
  const found = await selectBackends(db, scope)
    .where('backend.name', '=', backend)
    .limit(1)
    .executeTakeFirst();
  if (found !== undefined) return;
  const known = await selectBackends(db, scope).execute();
  const names = [...new Set(known.map(({ name }) => name))];
  throw notFound('backend-not-found', { noun: 'backend', name: backend, names });
}

/** A host by name or id, among those that the caller sees. */
import { ServiceError } from '@cyborg/model/errors';
import { isUuid } from '@cyborg/model/ids';
import { nearest, nearestHint } from '@cyborg/model/nearest';
import type { HostTable } from '@cyborg/store/schema';
import type { Selectable } from 'kysely';

import type { Db } from '../deps.ts';
import { hostsInScope, type Scope } from '../scope.ts';

export type HostRow = Selectable<HostTable>;

/** Names compared for "did you mean". */
const namesMax = 2000;

/** @throws ServiceError `host-not-found` with the nearest names. */
export async function findHost(
  db: Db,
  scope: Scope,
  { host, isLocked = false }: { readonly host: string; readonly isLocked?: boolean },
): Promise<HostRow> {
  const query = db
    .selectFrom('host')
    .selectAll()
    .where((eb) =>
      isUuid(host) ? eb.or([eb('name', '=', host), eb('id', '=', host)]) : eb('name', '=', host),
    )
    .where(hostsInScope(scope));
  const row = await (isLocked ? query.forUpdate() : query).executeTakeFirst();
  if (row === undefined) throw await hostNotFound(db, scope, host);
  return row;
}

export async function hostNotFound(db: Db, scope: Scope, host: string): Promise<ServiceError> {
  const rows = await db
    .selectFrom('host')
    .select('name')
    .where(hostsInScope(scope))
    .limit(namesMax)
    .execute();
  return notFound('host-not-found', {
    noun: 'host',
    name: host,
    names: rows.map(({ name }) => name),
  });
}

/** A 404 that names what was asked for and the nearest that exist. */
export function notFound(
  code: ConstructorParameters<typeof ServiceError>[0],
  { noun, name, names }: { noun: string; name: string; names: readonly string[] },
): ServiceError {
  const hint = nearestHint(name, names, `there is no ${noun} yet`);
  return new ServiceError(code, `There is no ${noun} "${name}"; ${hint}.`, {
    extra: { nearest: nearest(name, names) },
  });
}

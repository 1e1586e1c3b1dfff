import { ServiceError } from '@cyborg/model/errors';
import { nearest } from '@cyborg/model/nearest';
import type { DriverTable, DriverVersionTable } from '@cyborg/store/schema-drivers';
import type { Selectable } from 'kysely';

import type { Db } from '../deps.ts';
import { compareVersions } from '../deployments/versions.ts';
import { notFound } from '../hosts/find-host.ts';

export type DriverRow = Selectable<DriverTable>;
export type VersionRow = Selectable<DriverVersionTable>;

export interface KnownDriver {
  readonly driver: DriverRow;
  /** Newest first. */
  readonly versions: readonly VersionRow[];
}

/** @throws ServiceError `driver-not-found` with the nearest ids. */
export async function findDriver(db: Db, driverId: string): Promise<KnownDriver> {
  const driver = await db
    .selectFrom('driver')
    .selectAll()
    .where('id', '=', driverId)
    .executeTakeFirst();
  if (driver === undefined) {
    const known = await db.selectFrom('driver').select('id').orderBy('id').execute();
    const names = known.map(({ id }) => id);
    throw notFound('driver-not-found', { noun: 'driver', name: driverId, names });
  }
  return { driver, versions: await listVersions(db, [driverId]) };
}

export async function listVersions(db: Db, driverIds: readonly string[]): Promise<VersionRow[]> {
  if (driverIds.length === 0) return [];
  const rows = await db
    .selectFrom('driver_version')
    .selectAll()
    .where('driver_id', 'in', driverIds)
    .execute();
  return rows.toSorted((a, b) => compareVersions(b.version, a.version));
}

export function newestApproved(versions: readonly VersionRow[]): VersionRow | undefined {
  return versions.find(({ state }) => state === 'approved');
}

/** @throws ServiceError `driver-version-not-found` unless the version (or any, without one) is approved. */
export function approvedVersion(
  { driver, versions }: KnownDriver,
  wanted: string | undefined,
): VersionRow {
  const approved = versions.filter(({ state }) => state === 'approved');
  const found = wanted === undefined ? approved[0] : approved.find((row) => row.version === wanted);
  if (found !== undefined) return found;
  const names = approved.map(({ version }) => version);
  if (wanted === undefined) {
    throw new ServiceError(
      'driver-version-not-found',
      `No version of driver ${driver.id} is approved: an admin approves one first.`,
    );
  }
  const isUploaded = versions.some((row) => row.version === wanted);
  const why = isUploaded ? 'is uploaded but not approved' : 'does not exist';
  throw new ServiceError(
    'driver-version-not-found',
    `Version ${wanted} of driver ${driver.id} ${why}; approved: ${names.join(', ') || 'none'}.`,
    { extra: { nearest: nearest(wanted, names) } },
  );
}

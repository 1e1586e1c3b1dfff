/** What may be done to the versions of a driver: upload one, approve it, delete it. */
import type { Inspected } from '@cyborg/driver-package/inspect';
import { findSigner, noTrust, refusalOf, type DriverTrust } from '@cyborg/driver-package/signature';
import type { Caller } from '@cyborg/model/caller';
import { ServiceError } from '@cyborg/model/errors';
import { nearest } from '@cyborg/model/nearest';
import { deletePackage } from '@cyborg/store/driver-packages';
import { toJson } from '@cyborg/store/json';
import { sql } from 'kysely';

import type { ConductorDeps, Tx } from '../deps.ts';
import { checkIfMatch } from '../etag.ts';
import { recordEvents } from '../record-event.ts';
import type { Act } from '../transaction.ts';
import { findDriver, type VersionRow } from './find-driver.ts';
import { updatedAt } from './version-view.ts';

export function trustOf({ driverTrust }: Pick<ConductorDeps, 'driverTrust'>): DriverTrust {
  return driverTrust ?? noTrust;
}

export interface UploadedPackage extends Inspected {
  readonly signature: string | null;
}

/**
 * The version that is there already when the same package was uploaded before.
 *
 * @throws ServiceError `signature-refused`, `package-refused`, `already-exists`.
 */
export async function planUpload(
  tx: Tx,
  uploaded: UploadedPackage,
  { trust, protocol }: { readonly trust: DriverTrust; readonly protocol: number },
): Promise<VersionRow | undefined> {
  const { manifest, digest } = uploaded;
  const refusal = refusalOf(uploaded, trust);
  if (refusal !== undefined) throw new ServiceError('signature-refused', refusal);
  const { min, max } = manifest.protocol;
  if (protocol < min || protocol > max) {
    throw new ServiceError(
      'package-refused',
      `manifest.json: protocol: it speaks ${min} to ${max}; agents of this release speak ${protocol}.`,
    );
  }
  const { id, version } = manifest;
  const known = await tx
    .selectFrom('driver_version')
    .selectAll()
    .where('driver_id', '=', id)
    .where('version', '=', version)
    .executeTakeFirst();
  if (known === undefined || known.digest === digest) return known;
  const what = known.is_builtin ? 'comes with this release' : 'is there with another content';
  throw new ServiceError(
    'already-exists',
    `Version ${version} of driver ${id} ${what}: give the package another version.`,
  );
}

export async function addVersion(
  running: Act,
  caller: Caller,
  uploaded: UploadedPackage & { readonly id: string; readonly trust: DriverTrust },
): Promise<VersionRow> {
  const { tx, now } = running;
  const { manifest, digest, signature, bytes, trust } = uploaded;
  const { id, version, title, ...content } = manifest;
  await tx
    .insertInto('driver')
    .values({ id, title, created_at: now })
    .onConflict((conflict) => conflict.column('id').doNothing())
    .execute();
  await tx.updateTable('driver_package').set({ digest }).where('id', '=', uploaded.id).execute();
  const row = await tx
    .insertInto('driver_version')
    .values({
      driver_id: id,
      version,
      state: 'uploaded',
      is_builtin: false,
      digest,
      signature,
      signed_by: signerOf({ digest, signature }, trust),
      size_bytes: bytes,
      package_id: uploaded.id,
      manifest: toJson(content),
      uploaded_by: caller.userId,
      created_at: now,
    })
    .returningAll()
    .executeTakeFirstOrThrow();
  await tellOfVersion(running, caller, { kind: 'driver.uploaded', row });
  return row;
}

function signerOf(
  signed: { readonly digest: string; readonly signature: string | null },
  { keys }: DriverTrust,
): string | null {
  return findSigner(signed, keys)?.fingerprint ?? null;
}

/** @throws ServiceError `driver-not-found`, `driver-version-not-found` with the nearest. */
export async function findVersion(
  tx: Tx,
  wanted: { readonly driver_id: string; readonly version: string },
  { isLocked = false }: { readonly isLocked?: boolean } = {},
): Promise<VersionRow> {
  const { driver, versions } = await findDriver(tx, wanted.driver_id);
  if (isLocked) {
    // As changes of its deployment do, so that none begins to use what is being deleted.
    await tx.selectFrom('driver').select('id').where('id', '=', driver.id).forUpdate().execute();
  }
  const query = tx
    .selectFrom('driver_version')
    .selectAll()
    .where('driver_id', '=', driver.id)
    .where('version', '=', wanted.version);
  const row = await (isLocked ? query.forUpdate() : query).executeTakeFirst();
  if (row !== undefined) return row;
  const names = versions.map(({ version }) => version);
  throw new ServiceError(
    'driver-version-not-found',
    `Driver ${driver.id} has no version ${wanted.version}; it has ${names.join(', ') || 'none'}.`,
    { extra: { nearest: nearest(wanted.version, names) } },
  );
}

/** @throws ServiceError `signature-refused`; `wrong-state` when the digest is another one than was looked at. */
export function checkApproval(
  row: VersionRow,
  { digest, trust }: { readonly digest: string | undefined; readonly trust: DriverTrust },
): void {
  if (row.is_builtin || row.digest === null) return;
  if (digest !== undefined && digest !== row.digest) {
    throw new ServiceError(
      'wrong-state',
      `Version ${row.version} of driver ${row.driver_id} has the digest ${row.digest}, not ${digest}: look at it again.`,
    );
  }
  const refusal = refusalOf({ digest: row.digest, signature: row.signature }, trust);
  if (refusal !== undefined) throw new ServiceError('signature-refused', refusal);
}

export async function approve(
  running: Act,
  caller: Caller,
  { row, trust }: { readonly row: VersionRow; readonly trust: DriverTrust },
): Promise<VersionRow> {
  if (row.state === 'approved') return row;
  const approved = await running.tx
    .updateTable('driver_version')
    .set({
      state: 'approved',
      approved_by: caller.userId,
      approved_at: running.now,
      approved_digest: row.digest,
      signed_by: signerOf({ digest: row.digest ?? '', signature: row.signature }, trust),
    })
    .where('driver_id', '=', row.driver_id)
    .where('version', '=', row.version)
    .returningAll()
    .executeTakeFirstOrThrow();
  await tellOfVersion(running, caller, { kind: 'driver.approved', row: approved });
  return approved;
}

/** @throws ServiceError `stale-edit` */
export function checkVersionUnchanged(ifMatch: string | undefined, row: VersionRow): void {
  const dates = { created_at: row.created_at, updated_at: updatedAt(row) };
  checkIfMatch(ifMatch, dates, `Version ${row.version} of driver ${row.driver_id}`);
}

/** @throws ServiceError `in-use` naming where, `wrong-state` for what comes with the release, `stale-edit`. */
export async function checkDeletion(
  tx: Tx,
  row: VersionRow,
  ifMatch: string | undefined,
): Promise<void> {
  const name = `Version ${row.version} of driver ${row.driver_id}`;
  checkVersionUnchanged(ifMatch, row);
  if (row.is_builtin) {
    throw new ServiceError('wrong-state', `${name} comes with this release: it cannot be deleted.`);
  }
  const { rows: users } = await sql<{ host: string }>`
    select h.name as host from installation i join host h on h.id = i.host_id
    where i.driver_id = ${row.driver_id} and i.state <> 'removed'
      and ${row.version} in (i.wanted_version, i.running_version)
    order by h.name`.execute(tx);
  const deployment = await tx
    .selectFrom('deployment')
    .select('version')
    .where('driver_id', '=', row.driver_id)
    .executeTakeFirst();
  if (users.length === 0 && deployment?.version !== row.version) return;
  const hosts = users.map(({ host }) => host);
  const where = hosts.length === 0 ? '' : ` (on ${hosts.slice(0, 5).join(', ')})`;
  throw new ServiceError(
    'in-use',
    `${name} is installed${where}: update the driver to another version or uninstall it first.`,
    { extra: { hosts } },
  );
}

/** With its last version a driver that nothing refers to goes, too. */
export async function deleteVersion(running: Act, caller: Caller, row: VersionRow): Promise<void> {
  const { tx } = running;
  await tx
    .deleteFrom('driver_version')
    .where('driver_id', '=', row.driver_id)
    .where('version', '=', row.version)
    .execute();
  if (row.package_id !== null) await deletePackage(tx, row.package_id);
  await sql`delete from installation i where i.driver_id = ${row.driver_id} and i.state = 'removed'
    and not exists (select from driver_version where driver_id = i.driver_id)
    and not exists (select from backend where installation_id = i.id)`.execute(tx);
  await sql`delete from driver d where d.id = ${row.driver_id}
    and not exists (select from driver_version where driver_id = d.id)
    and not exists (select from deployment where driver_id = d.id)
    and not exists (select from installation where driver_id = d.id)
    and not exists (select from backend where driver_id = d.id)`.execute(tx);
  await tellOfVersion(running, caller, { kind: 'driver.deleted', row });
}

export async function tellOfVersion(
  running: Act,
  caller: Caller,
  {
    kind,
    row,
    data = {},
  }: {
    readonly kind:
      | 'driver.uploaded'
      | 'driver.approved'
      | 'driver.conformance-reported'
      | 'driver.deleted';
    readonly row: VersionRow;
    readonly data?: Readonly<Record<string, unknown>>;
  },
): Promise<void> {
  const { driver_id: id, version, digest, signed_by } = row;
  await recordEvents(running, [
    {
      kind,
      subjectKind: 'driver',
      subjectId: id,
      userId: caller.userId,
      projectId: caller.projectId,
      data: { version, digest, signed_by, ...data },
    },
  ]);
}

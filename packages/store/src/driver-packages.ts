/** Tarballs of driver packages: in pieces, so that none is ever whole in memory. */
import { sql, type Kysely, type Selectable } from 'kysely';

import type { DriverPackageTable } from './schema-drivers.ts';
import type { Database } from './schema.ts';

export type DriverPackageRow = Selectable<DriverPackageTable>;

/** Counted with its piece, so that what is still coming is known, too. */
export async function addPackagePiece(
  db: Kysely<Database>,
  piece: { readonly id: string; readonly number: number; readonly data: Buffer },
): Promise<void> {
  const { id, number, data } = piece;
  await sql`with piece as (insert into driver_package_piece (package_id, number, data)
      values (${id}::uuid, ${number}, ${data}))
    update driver_package set size_bytes = size_bytes + ${data.length}, pieces = ${number + 1}
    where id = ${id}::uuid`.execute(db);
}

/** One piece in memory at a time. */
export async function* readPackagePieces(
  db: Kysely<Database>,
  { id, pieces }: Pick<DriverPackageRow, 'id' | 'pieces'>,
): AsyncGenerator<Buffer> {
  for (let number = 0; number < pieces; number++) {
    const { data } = await db
      .selectFrom('driver_package_piece')
      .select('data')
      .where('package_id', '=', id)
      .where('number', '=', number)
      .executeTakeFirstOrThrow();
    yield data;
  }
}

export async function deletePackage(db: Kysely<Database>, id: string): Promise<void> {
  await db.deleteFrom('driver_package').where('id', '=', id).execute();
}

/** Those whose upload was never finished. */
export async function forgetUnfinishedPackages(
  db: Kysely<Database>,
  begunBefore: Date,
): Promise<void> {
  await db
    .deleteFrom('driver_package')
    .where('digest', 'is', null)
    .where('created_at', '<', begunBefore)
    .execute();
}

/** What a host runs or is to run; nobody else's. */
export async function findPackageOfHost(
  db: Kysely<Database>,
  { hostId, digest }: { readonly hostId: string; readonly digest: string },
): Promise<DriverPackageRow | undefined> {
  const { rows } = await sql<DriverPackageRow>`select p.* from driver_package p
    join driver_version v on v.package_id = p.id
    join installation i on i.driver_id = v.driver_id and v.version in (i.wanted_version, i.running_version)
    where i.host_id = ${hostId}::uuid and i.state <> 'removed' and v.approved_digest = ${digest}
      and p.digest = ${digest} limit 1`.execute(db);
  return rows[0];
}

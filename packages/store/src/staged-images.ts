/** Program images on their way to hosts: in pieces, so that none is ever whole in memory. */
import { sql, type Kysely, type RawBuilder, type Selectable, type SqlBool } from 'kysely';

import type { StagedImageTable } from './schema-programs.ts';
import type { Database } from './schema.ts';

export type StagedImageRow = Selectable<StagedImageTable>;

export async function insertStagedImage(
  db: Kysely<Database>,
  image: Pick<StagedImageRow, 'id' | 'image_id' | 'name'> & { readonly now: Date },
): Promise<void> {
  const { id, image_id, name, now } = image;
  await db
    .insertInto('staged_image')
    .values({ id, image_id, name, used_at: now, created_at: now })
    .execute();
}

/** Counted with its piece, so that what is still coming is bounded too. */
export async function addImagePiece(
  db: Kysely<Database>,
  given: {
    readonly id: string;
    readonly number: number;
    readonly data: Buffer;
    readonly now: Date;
  },
): Promise<void> {
  const { id, number, data, now } = given;
  await sql`with piece as (insert into staged_image_piece (staged_image_id, number, data)
      values (${id}::uuid, ${number}, ${data}))
    update staged_image set size_bytes = size_bytes + ${data.length}, pieces = ${number + 1}, used_at = ${now}
    where id = ${id}::uuid`.execute(db);
}

export async function completeStagedImage(
  db: Kysely<Database>,
  { id, sha256, now }: { readonly id: string; readonly sha256: string; readonly now: Date },
): Promise<void> {
  await db
    .updateTable('staged_image')
    .set({ sha256, used_at: now, updated_at: now })
    .where('id', '=', id)
    .execute();
}

/** A whole one of this Glance image, whose bytes never change. */
export async function findStagedImage(
  db: Kysely<Database>,
  imageId: string,
): Promise<StagedImageRow | undefined> {
  return db
    .selectFrom('staged_image')
    .selectAll()
    .where('image_id', '=', imageId)
    .where('sha256', 'is not', null)
    .orderBy('created_at', 'desc')
    .executeTakeFirst();
}

export interface UploadRow extends StagedImageRow {
  readonly sha256: string;
}

/** A whole one that was uploaded. */
export function findUpload(db: Kysely<Database>, id: string): Promise<UploadRow | undefined> {
  return firstUpload(db, sql`id = ${id}::uuid`);
}

export function findUploadByDigest(
  db: Kysely<Database>,
  sha256: string,
): Promise<UploadRow | undefined> {
  return firstUpload(db, sql`sha256 = ${sha256}`);
}

async function firstUpload(
  db: Kysely<Database>,
  is: RawBuilder<unknown>,
): Promise<UploadRow | undefined> {
  const { rows } = await sql<UploadRow>`select * from staged_image
    where image_id is null and sha256 is not null and ${is} order by created_at limit 1`.execute(
    db,
  );
  return rows[0];
}

/** It is kept from now on as long as a new one. */
export async function touchStagedImage(db: Kysely<Database>, id: string, now: Date): Promise<void> {
  await db.updateTable('staged_image').set({ used_at: now }).where('id', '=', id).execute();
}

/** What this host is to write now; nobody else's. */
export async function findOrderedImage(
  db: Kysely<Database>,
  { hostId, sha256 }: { readonly hostId: string; readonly sha256: string },
): Promise<StagedImageRow | undefined> {
  const { rows } = await sql<StagedImageRow>`select i.* from staged_image i
    join programming p on p.staged_image_id = i.id
    where p.host_id = ${hostId}::uuid and p.state = 'writing' and i.sha256 = ${sha256} limit 1`.execute(
    db,
  );
  return rows[0];
}

/** One piece in memory at a time. */
export async function* readImagePieces(
  db: Kysely<Database>,
  { id, pieces }: Pick<StagedImageRow, 'id' | 'pieces'>,
): AsyncGenerator<Buffer> {
  for (let number = 0; number < pieces; number++) {
    const { data } = await db
      .selectFrom('staged_image_piece')
      .select('data')
      .where('staged_image_id', '=', id)
      .where('number', '=', number)
      .executeTakeFirstOrThrow();
    yield data;
  }
}

export async function stagedBytes(db: Kysely<Database>): Promise<number> {
  const { rows } = await sql<{ bytes: number }>`
    select coalesce(sum(size_bytes), 0)::bigint as bytes from staged_image`.execute(db);
  return rows[0]?.bytes ?? 0;
}

export async function deleteStagedImage(db: Kysely<Database>, id: string): Promise<void> {
  await db.deleteFrom('staged_image').where('id', '=', id).execute();
}

const unused = sql<SqlBool>`not exists (select from programming p where p.staged_image_id = staged_image.id
  and p.state in ('staging', 'writing'))`;

/** Whether there is anything that `forgetStagedImages` would forget. */
export function hasForgettableImages(usedBefore: Date): RawBuilder<boolean> {
  return sql`exists (select from staged_image where used_at < ${usedBefore} and ${unused})`;
}

/** Those that nobody uses, the longest unused first. @returns how many. */
export async function forgetStagedImages(
  db: Kysely<Database>,
  { usedBefore, limit }: { readonly usedBefore: Date; readonly limit: number },
): Promise<number> {
  const { rows } = await sql<{ id: string }>`select id from staged_image
    where used_at < ${usedBefore} and ${unused} order by used_at limit ${sql.lit(limit)}
    for update skip locked`.execute(db);
  if (rows.length === 0) return 0;
  const ids = rows.map(({ id }) => id);
  await sql`update programming set staged_image_id = null where staged_image_id = any(${ids}::uuid[])`.execute(
    db,
  );
  await sql`delete from staged_image where id = any(${ids}::uuid[])`.execute(db);
  return ids.length;
}

/** Drivers that come with the server. */
import type { Kysely } from 'kysely';

import { toJson } from './json.ts';
import type { Database, DriverManifest } from './schema.ts';

export interface BuiltinDriver {
  readonly id: string;
  readonly title: string;
  readonly version: string;
  readonly manifest: DriverManifest;
}

/** Enters a built-in version as approved; an earlier one of the same name gets the manifest of this release. */
export async function putBuiltinDriver(
  db: Kysely<Database>,
  { id, title, version, manifest }: BuiltinDriver,
  now: Date,
): Promise<void> {
  await db
    .insertInto('driver')
    .values({ id, title, created_at: now })
    .onConflict((conflict) => conflict.column('id').doUpdateSet({ title }))
    .execute();
  await db
    .insertInto('driver_version')
    .values({
      driver_id: id,
      version,
      state: 'approved',
      is_builtin: true,
      digest: null,
      manifest: toJson(manifest),
      approved_by: null,
      created_at: now,
    })
    .onConflict((conflict) =>
      conflict
        .columns(['driver_id', 'version'])
        .doUpdateSet({ manifest: toJson(manifest), is_builtin: true }),
    )
    .execute();
}

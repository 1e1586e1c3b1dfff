import { sql } from 'kysely';
import type { Kysely } from 'kysely';
import { Migrator } from 'kysely/migration';

import { migrations as releaseMigrations } from './migrations/index.ts';
import { checkFingerprints, withFingerprint, type ReleaseMigration } from './schema-fingerprint.ts';

/** Any number, the same in every release: two servers that start together take turns. */
const migrationLockKey = 7_267_331_905;

/** The database was migrated by a newer release than this one. */
export class DowngradeRefused extends Error {
  override readonly name = 'DowngradeRefused';
  readonly unknown: readonly string[];

  constructor(unknown: readonly string[]) {
    super(
      `Downgrade refused: the database has migrations that this release does not know (${unknown.join(', ')}). ` +
        'Start the release that applied them or a newer one, or restore a backup that was made before the upgrade.',
    );
    this.unknown = unknown;
  }
}

export interface MigrateResult {
  /** Names of the migrations applied now, in order; empty when the database was up to date. */
  readonly applied: readonly string[];
}

/**
 * Applies every migration of this release that the database lacks, each once, one server at a time.
 *
 * @throws {DowngradeRefused} the database has migrations that this release does not know.
 * @throws {SchemaDiffers} one of its migrations was another one when it was applied.
 * @throws {Error} a migration failed: all of this call's are rolled back; the cause is the database's error.
 */
export async function migrateToLatest<Schema>(
  db: Kysely<Schema>,
  migrations: Record<string, ReleaseMigration> = releaseMigrations,
): Promise<MigrateResult> {
  return db.connection().execute(async (connection) => {
    await sql`select pg_advisory_lock(${sql.lit(migrationLockKey)})`.execute(connection);
    try {
      return await applyMigrations(connection, migrations);
    } finally {
      await unlock(connection);
    }
  });
}

async function applyMigrations<Schema>(
  db: Kysely<Schema>,
  migrations: Record<string, ReleaseMigration>,
): Promise<MigrateResult> {
  const known = await appliedMigrations(db);
  const unknown = known.filter((name) => !Object.hasOwn(migrations, name));
  if (unknown.length > 0) throw new DowngradeRefused(unknown);
  await checkFingerprints(db, known, migrations);
  if (Object.keys(migrations).length === 0) return { applied: [] };
  const provided = Object.fromEntries(
    Object.entries(migrations).map(([name, each]) => [name, withFingerprint(name, each)]),
  );
  const migrator = new Migrator({ db, provider: { getMigrations: async () => provided } });
  const { error, results = [] } = await migrator.migrateToLatest();
  const failed = results.find((result) => result.status === 'Error');
  if (failed !== undefined) {
    throw new Error(`The migration ${failed.migrationName} failed: ${messageOf(error)}`, {
      cause: error,
    });
  }
  if (error !== undefined) throw error;
  return { applied: results.map((result) => result.migrationName) };
}

async function unlock<Schema>(db: Kysely<Schema>): Promise<void> {
  try {
    await sql`select pg_advisory_unlock(${sql.lit(migrationLockKey)})`.execute(db);
  } catch {
    // The connection is gone, and the lock with it; the migration's own error is the one to show.
  }
}

async function appliedMigrations<Schema>(db: Kysely<Schema>): Promise<string[]> {
  const table = await sql<{ found: boolean }>`
    select to_regclass('kysely_migration') is not null as found`.execute(db);
  if (table.rows[0]?.found !== true) return [];
  const { rows } = await sql<{ name: string }>`
    select name from kysely_migration order by name`.execute(db);
  return rows.map((row) => row.name);
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

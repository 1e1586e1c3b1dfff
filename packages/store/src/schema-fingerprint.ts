/**
 * What a migration's statements were when they were applied, beside their name: a database of another build, whose first
 * migration had the same name and made other tables, is refused at the start instead of failing somewhere later.
 */
import { createHash } from 'node:crypto';

import { sql, type Kysely } from 'kysely';
import type { Migration } from 'kysely/migration';

/** One whose text is remembered. */
export interface ReleaseMigration extends Migration {
  readonly fingerprint?: string;
}

/** The tables are those of another build. */
export class SchemaDiffers extends Error {
  override readonly name = 'SchemaDiffers';
  /** null: made before fingerprints were kept. */
  readonly found: string | null;
  readonly wanted: string;

  constructor(migration: string, found: string | null, wanted: string) {
    super(
      `its tables are of another build of this program (${migration} has fingerprint ${found ?? 'none'}, this build's is ${wanted})`,
    );
    this.found = found;
    this.wanted = wanted;
  }
}

const charsShown = 12;

/** The same however the statements are indented. */
export function fingerprintOf(statements: readonly string[]): string {
  const text = statements.map((each) => each.replaceAll(/\s+/g, ' ').trim()).join(';\n');
  return createHash('sha256').update(text).digest('hex').slice(0, charsShown);
}

/** Writes the fingerprint in the transaction of the migration. */
export function withFingerprint(name: string, migration: ReleaseMigration): Migration {
  const { fingerprint } = migration;
  if (fingerprint === undefined) return migration;
  return {
    async up(db) {
      await migration.up(db);
      await sql`create table if not exists schema_fingerprint (
        migration text primary key, fingerprint text not null)`.execute(db);
      await sql`insert into schema_fingerprint values (${name}, ${fingerprint})`.execute(db);
    },
  };
}

/** @throws {SchemaDiffers} when one of these was applied with another text. */
export async function checkFingerprints<Schema>(
  db: Kysely<Schema>,
  applied: readonly string[],
  migrations: Readonly<Record<string, ReleaseMigration>>,
): Promise<void> {
  if (applied.length === 0) return;
  const kept = await readFingerprints(db);
  for (const name of applied) {
    const wanted = migrations[name]?.fingerprint;
    const found = kept.get(name) ?? null;
    if (wanted !== undefined && found !== wanted) throw new SchemaDiffers(name, found, wanted);
  }
}

async function readFingerprints<Schema>(db: Kysely<Schema>): Promise<Map<string, string>> {
  const table = await sql<{ found: boolean }>`
    select to_regclass('schema_fingerprint') is not null as found`.execute(db);
  if (table.rows[0]?.found !== true) return new Map();
  const { rows } = await sql<{ migration: string; fingerprint: string }>`
    select migration, fingerprint from schema_fingerprint`.execute(db);
  return new Map(rows.map((row) => [row.migration, row.fingerprint]));
}

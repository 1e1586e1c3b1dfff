import { createHash, randomUUID } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

import type { Kysely } from 'kysely';
import pg from 'pg';

import { connect } from '@cyborg/store/connect';
import { migrateToLatest } from '@cyborg/store/migrate';
import type { Database } from '@cyborg/store/schema';

import { postgresFailureVariable, postgresUrlVariable } from './environment.ts';
import { quietLog } from './log.ts';

/** A database of its own with every migration applied; dropped when disposed. */
export interface TestDatabase extends AsyncDisposable {
  readonly db: Kysely<Database>;
  readonly pool: pg.Pool;
  readonly name: string;
  /** For `connect`, and for processes that the test starts. */
  readonly url: string;
  /** Whether a statement waits for what another transaction has locked. */
  readonly someoneWaits: () => Promise<boolean>;
}

export interface EmptyDatabase extends AsyncDisposable {
  readonly name: string;
  readonly url: string;
}

const poolSizeMax = 10;
const templateLockKey = 7_267_331_906;

/** Clones the run's template: about 20 ms. Use with `await using`. */
export async function openTestDatabase(): Promise<TestDatabase> {
  const serverUrl = testPostgresUrl();
  const template = await ensureTemplate(serverUrl);
  const empty = await createDatabase(serverUrl, `template ${template} strategy file_copy`);
  const { db, pool } = connect({ url: empty.url, log: quietLog, poolSizeMax });
  return {
    db,
    pool,
    name: empty.name,
    url: empty.url,
    async someoneWaits() {
      const { rows } = await pool.query(`select from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'`);
      return rows.length > 0;
    },
    async [Symbol.asyncDispose](): Promise<void> {
      await db.destroy();
      await empty[Symbol.asyncDispose]();
    },
  };
}

/** A database without tables, for tests of migrations and for servers that migrate it themselves. */
export function openEmptyDatabase(): Promise<EmptyDatabase> {
  return createDatabase(testPostgresUrl(), 'template template0');
}

/** @throws {Error} saying why there is no PostgreSQL in this run. */
export function testPostgresUrl(): string {
  const url = process.env[postgresUrlVariable];
  if (url !== undefined) return url;
  const why =
    process.env[postgresFailureVariable] ??
    'the vitest project lacks globalSetup packages/testing/src/global-setup.ts';
  throw new Error(`No PostgreSQL for this test: ${why}`);
}

async function createDatabase(serverUrl: string, how: string): Promise<EmptyDatabase> {
  const name = `test_${randomUUID().replaceAll('-', '')}`;
  await withClient(serverUrl, (client) => client.query(`create database ${name} ${how}`));
  return {
    name,
    url: databaseUrl(serverUrl, name),
    async [Symbol.asyncDispose](): Promise<void> {
      await withClient(serverUrl, (client) => client.query(`drop database ${name} with (force)`));
    },
  };
}

/** Made by the first test that needs it; renamed when whole, so nobody clones a half-made one. */
async function ensureTemplate(serverUrl: string): Promise<string> {
  const name = `cyborg_template_${migrationsHash()}`;
  await withClient(serverUrl, async (client) => {
    if (await exists(client, name)) return;
    await client.query(`select pg_advisory_lock(${templateLockKey})`);
    if (await exists(client, name)) return;
    const building = `${name}_building`;
    await client.query(`drop database if exists ${building} with (force)`);
    await client.query(`create database ${building} template template0`);
    const { db } = connect({ url: databaseUrl(serverUrl, building), log: quietLog });
    try {
      await migrateToLatest(db);
    } finally {
      await db.destroy();
    }
    await client.query(`alter database ${building} rename to ${name}`);
  });
  return name;
}

async function exists(client: pg.Client, name: string): Promise<boolean> {
  const found = await client.query('select 1 from pg_database where datname = $1', [name]);
  return found.rowCount === 1;
}

/** Ending the session also gives back its advisory lock. */
async function withClient<Result>(
  url: string,
  use: (client: pg.Client) => Promise<Result>,
): Promise<Result> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => undefined); // its queries fail with the same error
  try {
    await client.connect();
    return await use(client);
  } finally {
    await client.end();
  }
}

function databaseUrl(serverUrl: string, name: string): string {
  const url = new URL(serverUrl);
  url.pathname = `/${name}`;
  return url.href;
}

/** In watch mode, or on a PostgreSQL that stays, another set of migrations needs another template. */
function migrationsHash(): string {
  const store = dirname(createRequire(import.meta.url).resolve('@cyborg/store/migrate'));
  const folder = join(store, 'migrations');
  const hash = createHash('sha256');
  for (const file of readdirSync(folder).toSorted()) {
    hash.update(file).update(readFileSync(join(folder, file)));
  }
  return hash.digest('hex').slice(0, 16);
}

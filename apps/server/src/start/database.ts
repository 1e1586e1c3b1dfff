/** The database of this server: given, or run by ourselves in the state directory; migrated before anybody reads it. */
import { join } from 'node:path';

import type { Clock } from '@cyborg/service/clock';
import type { Logger } from '@cyborg/service/logging';
import { OptionError } from '@cyborg/service/option-error';
import { connect } from '@cyborg/store/connect';
import type { Connection } from '@cyborg/store/connect';
import { openDatabaseClock } from '@cyborg/store/database-clock';
import { startEmbeddedPostgres } from '@cyborg/store/embedded/start';
import { migrateToLatest } from '@cyborg/store/migrate';
import { SchemaDiffers } from '@cyborg/store/schema-fingerprint';

import { ForeignSchema } from '../failure.ts';
import type { ServerOptions } from '../options.ts';

export interface OpenDatabase {
  readonly connection: Connection;
  readonly url: string;
  /** Run by ourselves: no other server can be on it. */
  readonly isEmbedded: boolean;
  /** Wall time is the database's, timers are the process's. */
  readonly clock: Clock;
  refreshClock(): Promise<void>;
}

export interface Surroundings {
  readonly clock: Clock;
  readonly log: Logger;
  /** Undone in reverse order, also when the start fails half-way. */
  readonly stack: AsyncDisposableStack;
}

type DatabaseOptions = Pick<ServerOptions, 'databaseUrl' | 'databasePoolSize' | 'stateDir'>;

/** Connections besides the pool: wake-ups, migrations, an operator. */
const spareConnections = 20;
const versionMin = 15;

/** @throws {OptionError} when neither database nor state directory was given; else what the database says. */
export async function openDatabase(
  options: DatabaseOptions,
  { clock, log, stack }: Surroundings,
): Promise<OpenDatabase> {
  const url = options.databaseUrl ?? (await startEmbedded(options, { clock, log, stack }));
  const connection = connect({
    url,
    log,
    poolSizeMax: options.databasePoolSize,
    applicationName: 'cyborg-server',
  });
  stack.defer(() => connection.db.destroy());
  await checkVersion(connection);
  const { applied } = await migrateToLatest(connection.db).catch((error: unknown) => {
    throw error instanceof SchemaDiffers ? foreignSchema(options, error) : error;
  });
  if (applied.length > 0) log.info({ applied }, 'the database was migrated');
  const databaseClock = await openDatabaseClock(connection.db, () => clock.monotonicMs());
  return {
    connection,
    url,
    isEmbedded: options.databaseUrl === undefined,
    clock: { ...clock, now: () => databaseClock.now() },
    refreshClock: () => databaseClock.refresh(),
  };
}

/** Nobody's data is migrated by guessing. */
function foreignSchema({ databaseUrl, stateDir }: DatabaseOptions, cause: SchemaDiffers): Error {
  const [where, other] =
    databaseUrl === undefined
      ? [`The database in ${stateDir}`, 'give another --state-dir, or move this one away']
      : ['The database of --database-url', 'give an empty one'];
  return new ForeignSchema(
    `${where} cannot be used: ${cause.message}, and nothing in it was changed. Start the build that made it, or begin anew: ${other}.`,
    { cause },
  );
}

async function startEmbedded(
  { stateDir, databasePoolSize }: DatabaseOptions,
  { clock, log, stack }: Surroundings,
): Promise<string> {
  if (stateDir === undefined) {
    throw new OptionError(
      'There is no database: give --database-url, or --state-dir for an embedded PostgreSQL.',
    );
  }
  const postgres = await startEmbeddedPostgres({
    directory: join(stateDir, 'postgres'),
    log,
    clock,
    settings: { max_connections: String(databasePoolSize + spareConnections) },
  });
  stack.defer(() => postgres.stop());
  return postgres.url;
}

async function checkVersion({ pool }: Connection): Promise<void> {
  const { rows } = await pool.query<{ server_version: string }>('show server_version');
  const version = rows[0]?.server_version ?? '';
  if (Number.parseInt(version, 10) >= versionMin) return;
  throw new OptionError(
    `--database-url: the database is PostgreSQL ${version}; it must be ${versionMin} or newer.`,
  );
}
